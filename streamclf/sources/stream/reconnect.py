"""Decoding of a network stream that is opened again after its connection was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice, rescale
from streamclf.sources.backoff import BackOff
from streamclf.sources.base import State
from streamclf.sources.clock import Clock, StopSignal
from streamclf.sources.recording.ffmpeg import Decoder

CONNECTION_LOST = "connection lost"
STALLED_AFTER_S = 1.0
"""Seconds without audio after which the stream counts as stalled; the read times out later."""
STEADY_AFTER_S = 10.0
"""Seconds of audio after which a connection counts as steady; the delays then start anew."""


class ReconnectingDecoder:
    """Decoder of one connection after another, on one timeline.

    A stream of known length is a recording on a server: its end is final, and an error that ends it
    is raised. A stream without a length is live, and is opened again when its connection is lost.

    Args:
        open_decoder: Opens the stream.
        clock: Clock that measures how long the connection was lost.
        reconnects: Whether to open a live stream again.
        on_waiting: Called at each attempt.

    Attributes:
        position: Position just after the last sample, at ``sample_rate``.
        sample_rate: Sample rate of the last record, in Hz.
    """

    def __init__(
        self,
        open_decoder: Callable[[], Decoder],
        clock: Clock,
        *,
        reconnects: bool = True,
        on_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self.position = 0
        self.sample_rate = 1
        self._open = open_decoder
        self._clock = clock
        self._reconnects = reconnects
        self._on_waiting = on_waiting
        self._stop = StopSignal(clock)
        self._state: State = "listening"
        self._received_at: float | None = None
        self._is_back = False

    @property
    def state(self) -> State:
        """State of the stream; while connected, it follows from the age of the newest block."""
        received_at = self._received_at
        if self._state != "listening" or received_at is None:
            return self._state
        return "stalled" if self._clock.now() - received_at > STALLED_AFTER_S else "listening"

    def items(self) -> Iterator[Block | Gap | Notice]:
        """Yield audio until the stream ends or `stop` is called.

        Raises:
            SourceError: The first attempt to open the stream failed, or the connection was lost
                and the stream is not opened again.
        """
        decoder: Decoder | None = None if self._stop.is_set() else self._open()
        back_off = BackOff()
        while decoder is not None:
            began = self.position / self.sample_rate
            is_live = decoder.duration_s is None
            reason = "it ended"
            try:
                for item in decoder.blocks(self._stop.is_set):
                    yield from self._place(item)
            except SourceError as error:
                if not (is_live and self._reconnects and self._received_at is not None):
                    raise
                reason = str(error)
            finally:
                decoder.close()
            if self._stop.is_set() or not (is_live and self._reconnects):
                return
            if self.position / self.sample_rate - began >= STEADY_AFTER_S:
                back_off.reset()
            self._state = "lost"
            message = f"connection lost: {reason}; trying again"
            yield Notice(self.position, self.sample_rate, message)
            decoder = self._reconnect(back_off)

    def stop(self) -> None:
        """Stop at the next packet, or at once between two connections."""
        self._stop.set()

    def missing_since(self, position: int, sample_rate: int) -> Gap | None:
        """Return the gap from the last position delivered to now; None while connected.

        Args:
            position: The position, at ``sample_rate``.
            sample_rate: Sample rate in Hz.
        """
        if self._state == "listening" or self._received_at is None:
            return None
        n_samples = round((self._clock.now() - self._received_at) * sample_rate)
        return Gap(position, n_samples, sample_rate, CONNECTION_LOST) if n_samples > 0 else None

    def _reconnect(self, back_off: BackOff) -> Decoder | None:
        """Try to open the stream until it succeeds; returns None after `stop`."""
        while not self._stop.sleep(back_off.next_s()):
            self._state = "reconnecting"
            self._on_waiting()
            with suppress(SourceError):
                self._is_back = True
                return self._open()
            self._state = "lost"
        return None

    def _place(self, item: Block | Gap | Notice) -> Iterator[Block | Gap | Notice]:
        """Yield a record at its position, after all before it and the time without connection."""
        changed = item.sample_rate != self.sample_rate and self.position > 0
        before = self.sample_rate
        if item.sample_rate != self.sample_rate:
            self.position = rescale(self.position, self.sample_rate, item.sample_rate)
            self.sample_rate = item.sample_rate
        if isinstance(item, Notice):
            yield Notice(self.position, item.sample_rate, item.message, item.level)
            return
        if isinstance(item, Block):
            now = self._clock.now()
            if self._is_back and self._received_at is not None:
                yield from self._resume(item, now - self._received_at, before if changed else 0)
            self._is_back, self._received_at, self._state = False, now, "listening"
            yield Block(self.position, item.waveform, item.sample_rate)
        else:
            yield Gap(self.position, item.n_samples, item.sample_rate, item.cause)
        self.position += item.end - item.position

    def _resume(self, block: Block, away_s: float, old_rate: int) -> Iterator[Gap | Notice]:
        n_samples = round(away_s * block.sample_rate) - block.n_samples
        if n_samples > 0:
            yield Gap(self.position, n_samples, block.sample_rate, CONNECTION_LOST)
            self.position += n_samples
        message = f"connected again after {away_s:.1f} s"
        if old_rate:
            message += f", at {block.sample_rate} Hz instead of {old_rate} Hz"
        yield Notice(self.position, block.sample_rate, message, "info")
