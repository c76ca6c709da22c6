"""Excerpts of a recording, read to be played aloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from streamclf.core.errors import RecordingError
from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.sources.recording.recording import Recording

SEEK_BEYOND_S = 30.0
"""Position in seconds beyond which FFmpeg seeks by time stamps, not by decoding from the start."""
READ_THROUGH_S = 2.0
"""Seconds ahead that are read and dropped; a farther or an earlier position is sought."""


class Excerpts:
    """Reader of excerpts from a recording, mixed to mono, at the recording's own rate.

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
        """Read the first block to learn the sample rate.

        Raises:
            RecordingError: The recording cannot be read.
        """
        if not self.sample_rate:
            self._go_to(0.0)
            self._next()
        if not self.sample_rate:
            raise RecordingError(f"{self._path}: holds nothing that can be played")

    def read(self, from_s: float, to_s: float) -> Waveform:
        """Read an excerpt as ``(samples,)``, with zeros for gaps; it is shorter at the end.

        Raises:
            RecordingError: The recording cannot be read.
        """
        self.open()
        rate = self.sample_rate
        if not self._piece_s <= from_s < self._end_s + READ_THROUGH_S:
            self._go_to(from_s)
        wanted = np.zeros(max(round(to_s * rate) - round(from_s * rate), 0), dtype=np.float32)
        n_read = 0
        while n_read < wanted.size:
            skip = round(from_s * rate) + n_read - round(self._piece_s * rate)
            if skip >= self._piece.size:
                if not self._next():
                    break
                continue
            # There is a gap before the piece.
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
        if exactly or seconds < SEEK_BEYOND_S or self._recording.is_piped:
            self._items = self._recording.blocks(1)
        else:
            self._items = self._find(seconds)
        self._piece, self._piece_s = self._piece[:0], seconds if self.sample_rate else 0.0

    def _find(self, seconds: float) -> Iterator[Block]:
        """Seek by time stamps, so that a day of MP3 is not decoded to play its end."""
        from streamclf.sources.recording.ffmpeg import decode_from

        return decode_from(self._path, seconds)

    def _next(self) -> bool:
        """Load the next piece; return False at the end."""
        try:
            for item in self._items:
                if isinstance(item, Block):
                    self._take(item)
                    return True
        except RecordingError:
            pass  # the damage was reported when the recording was analysed
        return False

    def _take(self, block: Block) -> None:
        rate = block.sample_rate
        self.sample_rate = self.sample_rate or rate
        mono = block.waveform.mean(axis=0, dtype=np.float32)
        if rate != self.sample_rate:
            mono = soxr.resample(mono, rate, self.sample_rate)
        self._piece, self._piece_s = mono, block.position / rate
