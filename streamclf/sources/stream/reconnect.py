"""A network stream that is called again when it breaks off."""

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
STALLED_S = 1.0
"""Where nothing came for so long, the stream stalls; the read times out later."""
STEADY_S = 10.0
"""A connection that held for so much audio is worth calling again at once."""


class Redial:
    """Decodes one connection after another, on one timeline.

    A stream of known length is a recording somewhere else: its end is its end, and what breaks it
    off is raised. One without a length is live, and is waited for.

    Args:
        dial: Opens the stream.
        clock: Measures how long it was gone.
        redials: Whether to call again at all.
        on_waiting: Called at each attempt.

    Attributes:
        position: Behind the last sample, at ``sample_rate``.
        sample_rate: Of the last sample, in Hz.
    """

    def __init__(
        self,
        dial: Callable[[], Decoder],
        clock: Clock,
        *,
        redials: bool = True,
        on_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self.position = 0
        self.sample_rate = 1
        self._dial = dial
        self._clock = clock
        self._redials = redials
        self._on_waiting = on_waiting
        self._stop = StopSignal(clock)
        self._state: State = "listening"
        self._heard_at: float | None = None
        self._is_back = False

    @property
    def state(self) -> State:
        """By the age of the newest block, as long as the connection stands."""
        heard_at = self._heard_at
        if self._state != "listening" or heard_at is None:
            return self._state
        return "stalled" if self._clock.now() - heard_at > STALLED_S else "listening"

    def items(self) -> Iterator[Block | Gap | Notice]:
        """Yield audio until the stream ends, or `stop`.

        Raises:
            SourceError: It cannot be opened at first; or it broke off, and is not called again.
        """
        decoder: Decoder | None = None if self._stop.is_set() else self._dial()
        back_off = BackOff()
        while decoder is not None:
            began = self.position / self.sample_rate
            is_live = decoder.duration_s is None
            reason = "it ended"
            try:
                for item in decoder.blocks(self._stop.is_set):
                    yield from self._place(item)
            except SourceError as error:
                if not (is_live and self._redials and self._heard_at is not None):
                    raise
                reason = str(error)
            finally:
                decoder.close()
            if self._stop.is_set() or not (is_live and self._redials):
                return
            if self.position / self.sample_rate - began >= STEADY_S:
                back_off.reset()
            self._state = "lost"
            message = f"connection lost: {reason}; trying again"
            yield Notice(self.position, self.sample_rate, message)
            decoder = self._call_again(back_off)

    def stop(self) -> None:
        """End at the next packet, or at once between two connections."""
        self._stop.set()

    def missing(self, position: int, sample_rate: int) -> Gap | None:
        """What has passed since a position that was delivered last, if the connection is lost."""
        if self._state == "listening" or self._heard_at is None:
            return None
        n_samples = round((self._clock.now() - self._heard_at) * sample_rate)
        return Gap(position, n_samples, sample_rate, CONNECTION_LOST) if n_samples > 0 else None

    def _call_again(self, back_off: BackOff) -> Decoder | None:
        """Try until somebody answers; None after `stop`."""
        while not self._stop.sleep(back_off.next_s()):
            self._state = "reconnecting"
            self._on_waiting()
            with suppress(SourceError):
                self._is_back = True
                return self._dial()
            self._state = "lost"
        return None

    def _place(self, item: Block | Gap | Notice) -> Iterator[Block | Gap | Notice]:
        """Count on from what came before, across the time without a connection."""
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
            if self._is_back and self._heard_at is not None:
                yield from self._resume(item, now - self._heard_at, before if changed else 0)
            self._is_back, self._heard_at, self._state = False, now, "listening"
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
