"""The last minutes of a live stream's audio, kept to play events aloud and to save clips."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Waveform

_FULL_SCALE = 32767


class RecentAudio:
    """Buffer of the last ``kept_s`` seconds of audio, at two bytes a sample.

    Args:
        kept_s: Length of the buffer, in seconds.

    Attributes:
        sample_rate: In Hz. When the rate changes, the buffer is emptied.
    """

    def __init__(self, kept_s: float) -> None:
        self.sample_rate = 0
        self._kept_s = kept_s
        self._pieces: deque[tuple[float, npt.NDArray[np.int16]]] = deque()

    @property
    def seconds(self) -> float:
        """Length of the audio in the buffer, in seconds."""
        return sum(samples.size for _, samples in self._pieces) / max(self.sample_rate, 1)

    def use_rate(self, sample_rate: int) -> None:
        """Set the sample rate in Hz; a new rate empties the buffer, which holds one rate only."""
        if self.sample_rate != sample_rate:
            self._pieces.clear()
            self.sample_rate = sample_rate

    def add(self, start_s: float, waveform: Waveform) -> None:
        """Append ``(samples,)`` that begin at ``start_s``, and drop pieces that are too old."""
        samples = np.rint(np.clip(waveform, -1, 1) * _FULL_SCALE).astype(np.int16)
        self._pieces.append((start_s, samples))
        oldest_s = start_s + samples.size / self.sample_rate - self._kept_s
        while self._pieces[0][0] < oldest_s:
            self._pieces.popleft()

    def pieces(self, from_s: float, to_s: float) -> list[tuple[float, npt.NDArray[np.int16]]]:
        """Pieces that overlap an interval, each with its start in seconds."""
        rate = self.sample_rate
        return [(t, w) for t, w in self._pieces if t < to_s and t + w.size / rate > from_s]


def join_pieces(
    pieces: list[tuple[float, npt.NDArray[np.int16]]], rate: int, from_s: float, to_s: float
) -> tuple[float, Waveform]:
    """Join pieces into one waveform, cut to an interval.

    Returns:
        Start of the waveform in seconds, and ``(samples,)`` with zeros for gaps.
    """
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
