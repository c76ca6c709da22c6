"""A source that is opened again whenever it fails, for ever, on one timeline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime

from streamclf.core.errors import SourceError, StreamclfError
from streamclf.core.records import Block, Gap, Notice, rescale
from streamclf.core.text_format import format_length
from streamclf.sources.backoff import BackOff
from streamclf.sources.base import Source, State
from streamclf.sources.clock import Clock, StopSignal, SystemClock
from streamclf.sources.pause import Pause

SOURCE_LOST = "source lost"
"""Cause of the gap from the last audio before a failure, or from the start, to the next audio."""
STEADY_AFTER_S = 10.0
"""Seconds of audio after which a source counts as steady; the delays then start anew."""


class RetriedSource(Source):
    """Source that opens another source, and opens it again after each failure.

    It differs from a microphone and from a stream, which find a lost connection again by
    themselves, in what it survives: a source that is not there at the start, or that fails for any
    other reason. Positions begin with the first attempt and continue over all of them, with a gap
    for the time in which none succeeded.

    After `cut`, `blocks` may be called again and continues where it ended, so that a model is
    changed without losing audio.

    Args:
        name: Name of the source in results, whichever device or address is behind it.
        open_source: Opens the source. It is called in the thread that reads.
        report: Called with one line when the source fails and when it is heard again.
        retries: Whether to try again; otherwise `blocks` raises the first error.
        clock: Clock that measures how long the source was lost; the system's by default.

    Attributes:
        has_ended: Whether the source has come to its end, or `stop` was called.
        is_lost: Whether the last attempt failed, and no audio has come since.
    """

    live = True

    def __init__(
        self,
        name: str,
        open_source: Callable[[], Source],
        *,
        report: Callable[[str], None] = lambda message: None,
        retries: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.has_ended = False
        self.is_lost = False
        self._open = open_source
        self._report = report
        self._retries = retries
        self._clock = clock or SystemClock()
        self._stop = StopSignal(self._clock)
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._items: Iterator[Block | Gap | Notice] | None = None
        self._cut = False
        self._pause = Pause(self.tell_waiting)
        self._position, self._sample_rate = 0, 1
        self._failed_at: float | None = None
        self._accounted_until: float | None = None
        self._has_delivered = False
        self._told = ""

    @property
    def started(self) -> datetime | None:
        """Time of the first sample, if the present source tells it."""
        return self._source.started if self._source else None

    @property
    def duration_s(self) -> float | None:
        """Length of the present source in seconds, if it is known."""
        return self._source.duration_s if self._source else None

    @property
    def keeps_time(self) -> bool:
        """Whether audio of the present source arrives when it sounds."""
        return self._source.keeps_time if self._source else True

    @property
    def pace(self) -> float | None:
        """Speed of the present source in multiples of real time, see `Source.pace`."""
        return self._source.pace if self._source else None

    @property
    def state(self) -> State:
        """State of the source; it is lost while no attempt has succeeded."""
        source = self._source
        return "lost" if self.is_lost or source is None else source.state

    @property
    def drift_ppm(self) -> float | None:
        """Rate error in ppm of the clock of the present source."""
        return self._source.drift_ppm if self._source else None

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield audio until the source ends, or until `stop` or `cut`.

        Raises:
            SourceError: The source failed, and it is not tried again.
        """
        if self._items is None:
            self._items = self._read(sample_rate)
        while not self._take_cut():
            try:
                item = next(self._items, None)
            except SourceError:
                self.has_ended = True
                yield from self._pause.rest()
                raise
            if item is None:
                self.has_ended = True
                break
            yield from self._pause.filter(item)
        yield from self._pause.rest()

    @property
    def paused(self) -> bool:
        """Whether audio is thrown away as it arrives, and recorded as missing.

        Any thread may set it. The source stays open, so that time goes on without a break.
        """
        return self._pause.on

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._pause.on = paused

    def cut(self) -> None:
        """End `blocks` before the next record; a new call continues there.

        It may be called from another thread. While the source is lost, `blocks` ends when it is
        heard again.
        """
        self._cut = True

    def stop(self) -> None:
        """End `blocks` soon, and for good."""
        self._stop.set()
        with self._lock:
            source = self._source
        if source is not None:
            source.stop()

    def close(self) -> None:
        """Release the source."""
        self.stop()
        with self._lock:
            source, self._source = self._source, None
        if source is not None:
            source.close()

    def _take_cut(self) -> bool:
        cut, self._cut = self._cut, False
        return cut

    def _read(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        back_off = BackOff()
        self._sample_rate, self._accounted_until = sample_rate, self._clock.now()
        while not self._stop.is_set():
            self.tell_waiting()
            began_s = self._position / self._sample_rate
            try:
                yield from self._read_once(sample_rate)
                return
            except Exception as error:  # any error: what fails here must not end the stream
                self._note_failure(error)
                if not self._retries:
                    yield from self._account_until_now()
                    raise _as_source_error(self.name, error) from error
            if self._position / self._sample_rate - began_s >= STEADY_AFTER_S:
                back_off.reset()
            self._stop.sleep(back_off.next_s())
        yield from self._account_until_now()

    def _read_once(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Open the source and yield what it delivers, to its end or its first error."""
        source = self._open()
        with self._lock:
            before, self._source = self._source, source
        if before is not None:
            before.close()
        source.on_waiting = self.tell_waiting
        if self._stop.is_set():  # it came while the source was opened
            source.stop()
        try:
            for item in source.blocks(sample_rate):
                yield from self._place(item, source)
        finally:
            source.close()

    def _note_failure(self, error: Exception) -> None:
        if self._failed_at is None:
            self._failed_at = self._clock.now()
        self.is_lost = True
        text = _describe(error)
        if self._retries and text != self._told:  # told once, however often it is tried
            self._told = text
            self._report(f"warning: {text}; it is tried again and again")

    def _place(self, item: Block | Gap | Notice, source: Source) -> Iterator[Block | Gap | Notice]:
        """Yield a record at its position on the timeline, after the time without audio."""
        if item.sample_rate != self._sample_rate:
            self._position = rescale(self._position, self._sample_rate, item.sample_rate)
            self._sample_rate = item.sample_rate
        if isinstance(item, Notice):
            yield Notice(self._position, item.sample_rate, item.message, item.level)
            return
        n_samples = item.end - item.position
        if self._failed_at is not None:
            yield from self._resume(n_samples, source)
        start, self._position = self._position, self._position + n_samples
        self._accounted_until, self._has_delivered = self._clock.now(), True
        if isinstance(item, Gap):
            yield Gap(start, n_samples, item.sample_rate, item.cause)
        else:
            yield Block(start, item.waveform, item.sample_rate)

    def _resume(self, n_samples: int, source: Source) -> Iterator[Gap]:
        """Report that the source is back, and yield the gap before its first record."""
        now = self._clock.now()
        assert self._failed_at is not None
        away = format_length(now - self._failed_at)
        again = "heard again" if self._has_delivered else "heard"
        self._report(f"{again} after {away} of trying")
        if source.keeps_time:
            yield from self._account_until(now, n_samples)
        self._failed_at, self._told, self.is_lost = None, "", False

    def _account_until_now(self) -> Iterator[Gap]:
        """Yield the gap up to now, if the source is lost."""
        if self._failed_at is not None and self.keeps_time:
            yield from self._account_until(self._clock.now(), 0)

    def _account_until(self, now: float, n_samples: int) -> Iterator[Gap]:
        assert self._accounted_until is not None
        n_missing = round((now - self._accounted_until) * self._sample_rate) - n_samples
        if n_missing > 0:
            yield Gap(self._position, n_missing, self._sample_rate, SOURCE_LOST)
            self._position += n_missing


def _describe(error: Exception) -> str:
    if isinstance(error, StreamclfError):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot be read on: {(error.strerror or str(error)).lower()}"
    return f"a mistake in streamclf itself: {type(error).__name__}: {error}"


def _as_source_error(name: str, error: Exception) -> SourceError:
    return error if isinstance(error, SourceError) else SourceError(f"{name}: {_describe(error)}")
