"""Stretches of a recording, to be played aloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from streamclf.core.errors import RecordingError
from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.sources.recording.recording import Recording

LONG_S = 30.0
"""What lies so far into a recording that FFmpeg reads is looked for by time stamps."""
FAR_S = 2.0
"""So far ahead is read through; what is farther, or behind, is looked for."""


class Excerpts:
    """Reads a recording piece by piece, mono, at its own rate.

    Args:
        path: The recording; opened when first needed.

    Attributes:
        sample_rate: In Hz; 0 before anything was read.
    """

    def __init__(self, path: Path) -> None:
        self.sample_rate = 0
        self._path = path
        self._recording: Recording | None = None
        self._items: Iterator[Block | Gap | Notice] = iter(())
        self._piece: Waveform = np.zeros(0, dtype=np.float32)
        self._piece_s = 0.0

    def open(self) -> None:
        """Read the first block, which tells the rate.

        Raises:
            RecordingError: It cannot be read.
        """
        if not self.sample_rate:
            self._go_to(0.0)
            self._next()
        if not self.sample_rate:
            raise RecordingError(f"{self._path}: holds nothing that can be played")

    def read(self, from_s: float, to_s: float) -> Waveform:
        """``(samples,)`` of a stretch, gaps as zeros; shorter at the end.

        Raises:
            RecordingError: It cannot be read.
        """
        self.open()
        rate = self.sample_rate
        if not self._piece_s <= from_s < self._end_s + FAR_S:
            self._go_to(from_s)
        wanted = np.zeros(max(round(to_s * rate) - round(from_s * rate), 0), dtype=np.float32)
        n_read = 0
        while n_read < wanted.size:
            skip = round(from_s * rate) + n_read - round(self._piece_s * rate)
            if skip >= self._piece.size:
                if not self._next():
                    break
                continue
            # Before the piece there is a gap.
            n_read += max(-skip, 0)
            part = self._piece[max(skip, 0) : max(skip, 0) + max(wanted.size - n_read, 0)]
            wanted[n_read : n_read + part.size] = part
            n_read += part.size
        return wanted[:n_read]

    def close(self) -> None:
        """Close the file."""
        if self._recording is not None:
            self._recording.close()
        self._recording, self._items = None, iter(())

    @property
    def _end_s(self) -> float:
        return self._piece_s + self._piece.size / max(self.sample_rate, 1)

    def _go_to(self, seconds: float) -> None:
        self.close()
        self._recording = Recording(self._path)
        exactly = self._recording.skip(seconds)
        if exactly or seconds < LONG_S or self._recording.is_piped:
            self._items = self._recording.blocks(1)
        else:
            self._items = self._find(seconds)
        self._piece, self._piece_s = self._piece[:0], seconds if self.sample_rate else 0.0

    def _find(self, seconds: float) -> Iterator[Block]:
        """Look for a place by time stamps: a day of MP3 is not decoded to hear its end."""
        from streamclf.sources.recording.ffmpeg import decode_from

        return decode_from(self._path, seconds)

    def _next(self) -> bool:
        """Have the next piece at hand; False at the end."""
        try:
            for item in self._items:
                if isinstance(item, Block):
                    self._take(item)
                    return True
        except RecordingError:
            pass  # that it is damaged was told when it was analysed
        return False

    def _take(self, block: Block) -> None:
        rate = block.sample_rate
        self.sample_rate = self.sample_rate or rate
        mono = block.waveform.mean(axis=0, dtype=np.float32)
        if rate != self.sample_rate:
            mono = soxr.resample(mono, rate, self.sample_rate)
        self._piece, self._piece_s = mono, block.position / rate
