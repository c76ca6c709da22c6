"""Scoring of overlapping windows, with each frame of the stem computed once.

The frames of a window are a slice of the stem's frames if the window begins where a frame begins.
Windows come in order. For each one the stem runs only on the audio after the end of the last
window, preceded by the audio that the next frame also depends on. If the hop is no multiple of the
stride, the windows begin on several grids in turn, and each grid has frames of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from streamclf.core.records import Waveform, Window
from streamclf.model.stem.split_model import Array, SplitModel

BATCH = 32
"""Batch size for windows of a recording that share nothing."""
SHARED_BATCH = 128
"""Batch size for windows that share a stem. A larger batch reads the weights of the head,
often most of the model, less often, and the frames of a window take little memory."""
DEVICE_BATCH = 256
"""Batch size of one graph on a GPU, where each batch computes its overlap with the last again."""
DEVICES = {"cuda": "cuda"}
"""Providers that can run stem and head as one graph (`one_pass`) -> the device of their buffers."""


def fit_hop(hop: int, stride: int, *, exact: bool = False) -> int:
    """Return the hop to use: the nearest multiple of the stride, if it is near enough.

    A hop further than `MAX_HOP_CHANGE` from a multiple is kept, and the stem runs on several grids.

    Args:
        hop: Requested distance between the starts of two windows, in samples.
        stride: Distance between two frames, in samples.
        exact: Keep the requested hop.
    """
    nearest = max(1, round(hop / stride)) * stride
    return nearest if not exact and abs(nearest - hop) <= MAX_HOP_CHANGE * hop else hop


MAX_HOP_CHANGE = 0.05
"""Largest change of the hop, as a part of the hop."""


def count_grids(hop: int, stride: int) -> int:
    """Count the grids of strides on which the windows begin; the stem runs once on each."""
    return stride // math.gcd(hop, stride)


MIN_ROW_FIELDS = 4
"""Shortest row, in receptive fields of a frame; each row computes one receptive field twice."""


class SharedStream:
    """Frames of one stream that later windows still need.

    Args:
        split: Stem and head of the model.
        window_samples: Length of a window.
    """

    def __init__(self, split: SplitModel, window_samples: int) -> None:
        self._split = split
        self._window_samples = window_samples
        self._runs: dict[int, _FrameRun] = {}  # the newest on each grid

    def logits(self, windows: Sequence[Window]) -> Array:
        """Compute the logits of windows that follow those of the last call.

        Args:
            windows: Windows in order. A window that audio does not fill shares no frames.

        Returns:
            ``(windows, classes)``.
        """
        runs = [self._run_of(window) for window in windows]
        last_positions = {
            run: window.position for run, window in zip(runs, windows, strict=True) if run
        }
        for run in last_positions:
            run.advance()
        parts = [
            run.window(window.position) if run else self._unshared_frames(window)
            for run, window in zip(runs, windows, strict=True)
        ]
        logits = self._split.logits(np.concatenate(parts))
        for run, position in last_positions.items():
            run.forget(position)
        # Runs before the last window are of no use any more, after a gap or a change of the hop.
        end = windows[-1].position
        self._runs = {place: run for place, run in self._runs.items() if run.end > end}
        return logits

    def _run_of(self, window: Window) -> _FrameRun | None:
        if window.n_samples < self._window_samples:
            return None
        place = window.position % self._split.stem.stride
        run = self._runs.get(place)
        if run is None or window.position >= run.end:
            run = self._runs[place] = _FrameRun(self._split, window.position)
        run.push(window)
        return run

    def _unshared_frames(self, window: Window) -> Array:
        return self._split.window(self._split.frames(window.waveform[np.newaxis]), 0)


class _FrameRun:
    """Frames of audio without a gap, on one grid of strides."""

    def __init__(self, split: SplitModel, position: int) -> None:
        self._split = split
        self.start = position  # position of the first stored frame
        self.end = position  # position just after the last sample
        self._pending: list[Waveform] = []  # audio from the start of the next frame on
        self._frames: list[Array] = []

    def push(self, window: Window) -> None:
        new = window.waveform[self.end - window.position :]
        if new.size:
            self._pending.append(new)
            self.end = window.end

    def advance(self) -> None:
        audio = np.concatenate(self._pending)
        n_frames = max(0, (audio.size - self._split.receptive_field) // self._stride + 1)
        n_chunks = max(1, -(-n_frames // self._split.max_chunk_frames))
        edges = [n_frames * k // n_chunks for k in range(n_chunks + 1)]
        for first, end in pairwise(edges):
            self._frames += self._compute_frames(audio[first * self._stride :], end - first)
        # A copy: a view would keep the audio of the windows in memory.
        self._pending = [audio[n_frames * self._stride :].copy()]
        if len(self._frames) > 1:
            self._frames = [np.concatenate(self._frames, axis=self._split.axis)]

    def _compute_frames(self, audio: Waveform, n_frames: int) -> list[Array]:
        """Compute the first frames of some audio in rows of equal length.

        The last two rows may overlap.
        """
        if not n_frames:
            return []
        n_rows = n_frames * self._stride // (MIN_ROW_FIELDS * self._split.receptive_field)
        n_rows = max(1, min(n_rows, self._split.max_rows))
        n_frames_per_row = -(-n_frames // n_rows)
        starts = [min(row * n_frames_per_row, n_frames - n_frames_per_row) for row in range(n_rows)]
        n_samples = (n_frames_per_row - 1) * self._stride + self._split.receptive_field
        rows = [audio[k * self._stride : k * self._stride + n_samples] for k in starts]
        frames = self._split.frames(np.stack(rows))
        return [
            self._split.take(
                frames[row : row + 1], slice(row * n_frames_per_row - start, n_frames_per_row)
            )
            for row, start in enumerate(starts)
        ]

    def window(self, position: int) -> Array:
        return self._split.window(self._frames[0], (position - self.start) // self._stride)

    def forget(self, position: int) -> None:
        passed = (position - self.start) // self._stride
        self._frames = [self._split.take(self._frames[0], slice(passed, None)).copy()]
        self.start += passed * self._stride

    @property
    def _stride(self) -> int:
        return self._split.stem.stride
