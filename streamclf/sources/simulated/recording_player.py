"""Playback of a recording for a simulated microphone, once or in an endless loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from streamclf.core.errors import RecordingError
from streamclf.core.records import Block, Gap, Notice, Waveform
from streamclf.sources.recording.piped import check_can_reread
from streamclf.sources.recording.recording import Recording

SKIP_SAMPLES = 1 << 16


class RecordingPlayer:
    """Reader of a recording that delivers any number of samples at a time.

    Args:
        path: The recording.
        loop: Begin again at the end, for ever.

    Attributes:
        loops: Whether it begins again at the end.
        sample_rate: Sample rate of the first block in Hz; audio of another rate is resampled.
        n_channels: Number of channels of the first block.
        position: Index of the next sample, counted over all rounds.
        lost: Gap of the recording just before the next sample, or at its end; None for none.
        notices: Messages of the recording; the reader of this list empties it.
        error: Error that ended the recording early; None for none.

    Raises:
        RecordingError: The recording cannot be opened, or a pipe should be played in a loop.
    """

    def __init__(self, path: Path | str, *, loop: bool) -> None:
        self.sample_rate = 0
        self.n_channels = 1
        self.position = 0
        self.lost: Gap | None = None
        self.notices: list[str] = []
        self.error: RecordingError | None = None
        self._path = path
        if loop:
            check_can_reread(Path(path), "--loop")
        self.loops = loop
        self._recording = Recording(path)
        self._items: Iterator[Block | Gap | Notice] | None = None
        self._rest: Waveform | None = None
        self._length: int | None = None
        self._whole = True

    @property
    def duration_s(self) -> float | None:
        """Length in seconds, unless it loops."""
        return None if self.loops else self._recording.duration_s

    def start(self) -> None:
        """Read the first block, which sets the sample rate and the channels."""
        if self._items is None:
            self._fill()

    @property
    def exhausted(self) -> bool:
        """Whether no sample is left; a gap may still be `lost` after the last one."""
        return self._rest is None

    def take(self, n_samples: int) -> Waveform:
        """Read samples as ``(channels, samples)``; fewer than asked for before a gap or the end."""
        pieces = []
        while n_samples > 0 and self.lost is None and self._rest is not None:
            piece, rest = self._rest[:, :n_samples], self._rest[:, n_samples:]
            self._rest = rest if rest.shape[1] else None
            pieces.append(piece)
            n_samples -= piece.shape[1]
            self.position += piece.shape[1]
            if self._rest is None:
                self._fill()
        if not pieces:
            return np.zeros((self.n_channels, 0), np.float32)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)

    def skip(self, n_samples: int) -> None:
        """Skip samples that sound while no device records."""
        if self._length:  # whole rounds need not be read
            whole = n_samples - n_samples % self._length
            self.position += whole
            n_samples -= whole
        while n_samples > 0 and not self.exhausted:
            if self.lost is not None:
                n_samples -= self.take_loss()
            else:
                n_samples -= self.take(min(n_samples, SKIP_SAMPLES)).shape[1]

    def take_loss(self) -> int:
        """Skip the gap before the next sample; returns its length in samples."""
        n_samples = self.lost.n_samples if self.lost else 0
        self.lost = None
        self.position += n_samples
        return n_samples

    def stop(self) -> None:
        """Wake a reader that waits for a pipe; reading a file never waits."""
        if self._recording.is_piped:
            self._recording.stop()

    def close(self) -> None:
        """Close the file."""
        self._recording.close()

    def _fill(self) -> bool:
        """Read on until samples are available; returns False at the end."""
        while True:
            if self._items is None:
                self._items = self._recording.blocks(1)
            try:
                item = next(self._items, None)
            except RecordingError as error:
                self.error = error
                item = None
            if isinstance(item, Block):
                self._rest = self._adapt(item)
                if self._rest.shape[1]:
                    return True
                self._rest = None
            elif isinstance(item, Gap):
                self.lost, self._whole = item, False
            elif isinstance(item, Notice):
                self.notices.append(item.message)
            elif not self._rewind():
                return False

    def _rewind(self) -> bool:
        """Go back to the beginning if the recording loops and holds audio; else return False."""
        if not self.loops or self.error is not None or not self.sample_rate:
            self._items = iter(())
            return False
        self._recording.close()
        if self._length is None and self._whole:
            self._length = self.position
        self._recording, self._items = Recording(self._path), None
        return True

    def _adapt(self, block: Block) -> Waveform:
        waveform: Any = block.waveform
        if not self.sample_rate:
            self.sample_rate, self.n_channels = block.sample_rate, waveform.shape[0]
        if waveform.shape[0] != self.n_channels:
            mono = waveform.mean(axis=0, keepdims=True)
            waveform = np.repeat(mono, self.n_channels, axis=0)
        if block.sample_rate != self.sample_rate:
            waveform = soxr.resample(waveform.T, block.sample_rate, self.sample_rate).T
        return np.asarray(waveform, dtype=np.float32)
