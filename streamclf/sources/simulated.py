"""A recording played as if it were a microphone, at its pace or any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from streamclf.errors import UsageError
from streamclf.records import Block, Gap, Notice
from streamclf.sources.base import Source
from streamclf.sources.clock import Clock, StopSignal, SystemClock
from streamclf.sources.recording import Recording

BLOCK_S = 0.05


class SimulatedMicrophone(Source):
    """Plays a file into the engine.

    Args:
        path: The recording.
        speed: Times real pace; 0 as fast as it goes.
        loop: Begin again at the end, for ever.
        block_s: Length of a block in seconds.
        clock: Real time, unless a test has its own.

    Raises:
        RecordingError: The file cannot be opened.
        UsageError: ``speed`` is below 0.
    """

    live: ClassVar[bool] = True

    def __init__(
        self,
        path: Path | str,
        *,
        speed: float = 1.0,
        loop: bool = False,
        block_s: float = BLOCK_S,
        clock: Clock | None = None,
    ) -> None:
        if not 0 <= speed < float("inf"):
            raise UsageError(f"--speed {speed}: must be 0 (as fast as it goes) or above")
        self.name = f"sim:{path}"
        self._path = path
        self._speed = speed
        self._loop = loop
        self._block_s = block_s
        self._clock = clock or SystemClock()
        self._recording = Recording(path)
        self._stop = StopSignal(self._clock)

    @property
    def duration_s(self) -> float | None:
        """Length in seconds, unless it loops."""
        return None if self._loop else self._recording.duration_s

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        """Yield the recording in small blocks, each once its last sample has sounded.

        Raises:
            RecordingError: The recording is damaged, after all that could be read.
        """
        started = self._clock.now()
        position = 0
        while not self._stop.is_set():
            base = position
            for item in self._recording.blocks(sample_rate):
                for shifted in self._pieces(item, base):
                    if not isinstance(shifted, Notice):
                        position = shifted.end
                        self._wait_until(started, position / shifted.sample_rate)
                    if self._stop.is_set():
                        return
                    yield shifted
            self._recording.close()
            if not self._loop:
                return
            self._recording = Recording(self._path)

    def stop(self) -> None:
        """End at once, also while waiting."""
        self._stop.set()

    def close(self) -> None:
        """Close the recording."""
        self._recording.close()

    def _pieces(self, item: Block | Gap | Notice, base: int) -> Iterator[Block | Gap | Notice]:
        if isinstance(item, Gap):
            yield Gap(base + item.position, item.n_samples, item.sample_rate, item.cause)
        elif isinstance(item, Notice):
            yield Notice(base + item.position, item.sample_rate, item.message, item.level)
        else:
            size = max(round(self._block_s * item.sample_rate), 1)
            for first in range(0, item.n_samples, size):
                waveform = item.waveform[:, first : first + size]
                yield Block(base + item.position + first, waveform, item.sample_rate)

    def _wait_until(self, started: float, stream_s: float) -> None:
        if not self._speed:
            return
        remaining = started + stream_s / self._speed - self._clock.now()
        if remaining > 0:
            self._stop.sleep(remaining)
