"""The last minutes of a live stream's audio: to play events aloud, and to save clips."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Waveform

_FULL_SCALE = 32767


class RecentAudio:
    """Keeps audio of the last ``kept_s`` seconds, two bytes a sample.

    Args:
        kept_s: Seconds.

    Attributes:
        sample_rate: In Hz; audio at another rate takes the place of all that was kept.
    """

    def __init__(self, kept_s: float) -> None:
        self.sample_rate = 0
        self._kept_s = kept_s
        self._pieces: deque[tuple[float, npt.NDArray[np.int16]]] = deque()

    @property
    def seconds(self) -> float:
        """How much is kept."""
        return sum(samples.size for _, samples in self._pieces) / max(self.sample_rate, 1)

    def use_rate(self, sample_rate: int) -> None:
        """Expect audio at this rate: it can be saved and played at one rate only."""
        if self.sample_rate != sample_rate:
            self._pieces.clear()
            self.sample_rate = sample_rate

    def add(self, start_s: float, waveform: Waveform) -> None:
        """Keep ``(samples,)`` that begin at ``start_s``, and forget what is too old."""
        samples = np.rint(np.clip(waveform, -1, 1) * _FULL_SCALE).astype(np.int16)
        self._pieces.append((start_s, samples))
        oldest_s = start_s + samples.size / self.sample_rate - self._kept_s
        while self._pieces[0][0] < oldest_s:
            self._pieces.popleft()

    def pieces(self, from_s: float, to_s: float) -> list[tuple[float, npt.NDArray[np.int16]]]:
        """What overlaps a stretch, and where each piece begins."""
        rate = self.sample_rate
        return [(t, w) for t, w in self._pieces if t < to_s and t + w.size / rate > from_s]


def join(
    pieces: list[tuple[float, npt.NDArray[np.int16]]], rate: int, from_s: float, to_s: float
) -> tuple[float, Waveform]:
    """Put pieces together: where the stretch begins, and ``(samples,)`` with gaps as zeros."""
    if not pieces:
        return from_s, np.zeros(0, dtype=np.float32)
    first_s = pieces[0][0]
    last_s, last = pieces[-1]
    whole = np.zeros(round((last_s - first_s) * rate) + last.size, dtype=np.float32)
    for start_s, samples in pieces:
        first = round((start_s - first_s) * rate)
        room = whole[first : first + samples.size]
        np.multiply(samples[: room.size], np.float32(1 / _FULL_SCALE), out=room)
    cut_from = max(round((from_s - first_s) * rate), 0)
    cut_to = max(round((to_s - first_s) * rate), cut_from)
    return first_s + cut_from / rate, whole[cut_from:cut_to]
