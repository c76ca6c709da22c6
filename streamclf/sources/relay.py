"""Several sources one after another on one timeline, for changing the microphone in a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.base import Source, State
from streamclf.sources.clock import Clock, SystemClock

SWITCHED = "device changed"
"""Cause of the gap between two sources."""


class Relay(Source):
    """Source that delivers another source, and after `switch` the next, with a gap between them.

    Positions continue over all sources. After `cut`, `blocks` may be called again and continues
    where it ended, unlike that of other sources; a model is changed in this way without losing
    audio.

    Args:
        source: The first source.
        clock: Clock that measures the gaps; the system's by default.

    Attributes:
        position: Position just after the last sample delivered or missing, at ``sample_rate``.
        sample_rate: Sample rate of the last record, in Hz.
    """

    def __init__(self, source: Source, clock: Clock | None = None) -> None:
        self.live = source.live  # type: ignore[misc]
        self.position = 0
        self.sample_rate = 1
        self._clock = clock or SystemClock()
        self._source = source
        self._items: Iterator[Block | Gap | Notice] | None = None
        self._next: Source | None = None
        self._lock = threading.Lock()
        self._delivered_at: float | None = None
        self._delivered_from: Source | None = None
        self._cut = self._stopped = self._exhausted = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the source that is being read."""
        return self._source.name

    @property
    def alias(self) -> str | None:  # type: ignore[override]
        """Name in results that somebody gave the source that is being read."""
        return self._source.alias

    @property
    def source(self) -> Source:
        """The source that is being read."""
        return self._source

    @property
    def duration_s(self) -> float | None:
        """Length in seconds of the source that is being read, where it is known."""
        return self._source.duration_s

    @property
    def started(self) -> datetime | None:
        """Time at which the recording that is being read began; None if unknown."""
        return self._source.started

    @property
    def keeps_time(self) -> bool:
        """Whether audio of the source that is being read arrives when it sounds."""
        return self._source.keeps_time

    @property
    def pace(self) -> float | None:
        """Speed of the source that is being read, in multiples of real time, see `Source.pace`."""
        return self._source.pace

    @property
    def state(self) -> State:
        """State of the source that is being read."""
        return self._source.state

    @property
    def drift_ppm(self) -> float | None:
        """Rate error in ppm of the clock of the source that is being read."""
        return self._source.drift_ppm

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield audio until the source ends, or until `stop` or `cut`.

        Raises:
            SourceError: The source fails; after `switch` to another, `blocks` may be called again.
        """
        while self._take_next():
            if self._items is None:
                self._items = self._source.blocks(sample_rate)
            for item in self._items:
                yield from self._place(item)
                if self._must_end():
                    return
            self._items, self._exhausted = iter(()), True
            if self._next is None:
                return

    @property
    def has_ended(self) -> bool:
        """Whether the source has ended and no other one follows."""
        return self._exhausted and self._next is None

    @property
    def has_next(self) -> bool:
        """Whether a source given to `switch` has not been read yet."""
        return self._next is not None

    def switch(self, source: Source) -> None:
        """Continue with another source, which this object closes; any thread may call this.

        A source given earlier that has not been read yet is closed unread. After `stop`, the new
        source is closed unread.
        """
        with self._lock:
            unread, self._next = self._next, source
            if self._stopped:
                unread, self._next = source, unread
            # Taken under the lock, because another thread may replace it afterwards.
            present = self._source
        if unread is not None:
            unread.close()
        present.stop()

    def cut(self) -> None:
        """End `blocks` after the next record, or before the first; a new call continues there."""
        self._cut = True

    def stop(self) -> None:
        """End `blocks` for good; the current source is stopped."""
        with self._lock:
            self._stopped = True
            present = self._source
        present.stop()

    def close(self) -> None:
        """Release the sources; no audio is read afterwards."""
        self.stop()
        with self._lock:
            following, self._next = self._next, None
        self._source.close()
        if following is not None:
            following.close()

    def _take_next(self) -> bool:
        """Change to the next source if there is one; returns False if `blocks` must end."""
        with self._lock:
            if self._must_end():
                return False
            if self._next is None:
                return True
            before, self._source = self._source, self._next
            self._next = self._items = None
            self._exhausted = False
        before.close()
        return True

    def _must_end(self) -> bool:
        """Whether `blocks` must end here; this clears the request made by `cut`."""
        if self._cut:
            self._cut = False
            return True
        return self._stopped

    def _place(self, item: Block | Gap | Notice) -> Iterator[Block | Gap | Notice]:
        """Yield a record at its position on the common timeline, after the record before it."""
        if item.sample_rate != self.sample_rate:
            doubled = 2 * self.position * item.sample_rate + self.sample_rate
            self.position = doubled // (2 * self.sample_rate)
            self.sample_rate = item.sample_rate
        if isinstance(item, Notice):
            yield Notice(self.position, item.sample_rate, item.message, item.level)
            return
        if isinstance(item, Gap):
            yield Gap(self.position, item.n_samples, item.sample_rate, item.cause)
            if self._delivered_at is not None:
                # This gap is reported already; the gap before the next source must not repeat it.
                self._delivered_at += item.n_samples / item.sample_rate
        else:
            yield from self._bridge(item)
            yield Block(self.position, item.waveform, item.sample_rate)
            self._delivered_at = self._clock.now()
            self._delivered_from = self._source
        self.position += item.end - item.position

    def _bridge(self, block: Block) -> Iterator[Gap]:
        """Yield the gap between the last audio of a source and the first block of the next."""
        # Between two recordings nothing is missing, whatever time has passed.
        if not self.live or self._delivered_at is None or self._delivered_from is self._source:
            return
        missing_s = self._clock.now() - self._delivered_at
        n_samples = round(missing_s * block.sample_rate) - block.n_samples
        if n_samples > 0:
            yield Gap(self.position, n_samples, block.sample_rate, SWITCHED)
            self.position += n_samples
