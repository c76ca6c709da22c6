"""Windows -> logits, the stem run once over the audio that they share.

A window's frames are a slice of the stem's frames, provided that it begins where a frame begins.
Windows come in order, and each brings the audio behind the last one's end: that, and what the
next frame hears of the audio before, is all that the stem is run on. Where the hop is no multiple
of the stride, windows begin on several grids, which take turns; each has frames of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from streamclf.core.records import Waveform, Window
from streamclf.model.stem.split_model import Array, SplitModel

BATCH = 32
"""Windows of a recording at once that share nothing."""
SHARED_BATCH = 128
"""The same where they share a stem: their head's weights, often most of the model, are read once
a batch, and a window takes little memory there."""
DEVICE_BATCH = 256
"""The same on a GPU, where each batch hears the overlap with the one before again."""
DEVICES = {"cuda": "cuda"}
"""Providers for which halves are one graph (`one_pass`), and where their buffers lie."""


def fit_hop(hop: int, stride: int, *, exact: bool = False) -> int:
    """The distance of windows that is really used, all in samples.

    The nearest multiple of the stride where that is less than `NEAR` away; else the hop itself,
    for the stem may as well run on several grids.
    """
    nearest = max(1, round(hop / stride)) * stride
    return nearest if not exact and abs(nearest - hop) <= NEAR * hop else hop


NEAR = 0.05


def count_grids(hop: int, stride: int) -> int:
    """On how many grids the windows begin: so many times the stem hears all audio."""
    return stride // math.gcd(hop, stride)


ROW_FIELDS = 4
"""Rows are no shorter than so many times what a frame hears: each hears that much twice."""


class SharedStream:
    """The frames of one stream, from one batch of its windows to the next.

    Args:
        split: The model's halves.
        window_samples: Length of a window.
    """

    def __init__(self, split: SplitModel, window_samples: int) -> None:
        self._split = split
        self._window_samples = window_samples
        self._runs: dict[int, _Run] = {}  # the newest on each grid

    def logits(self, windows: Sequence[Window]) -> Array:
        """Score windows that follow those of the last call.

        Args:
            windows: In order; one that audio does not fill shares nothing.

        Returns:
            ``(windows, classes)``.
        """
        runs = [self._run_of(window) for window in windows]
        lasts = {run: window.position for run, window in zip(runs, windows, strict=True) if run}
        for run in lasts:
            run.advance()
        parts = [
            run.window(window.position) if run else self._alone(window)
            for run, window in zip(runs, windows, strict=True)
        ]
        logits = self._split.logits(np.concatenate(parts))
        for run, position in lasts.items():
            run.forget(position)
        # What the windows have moved past, by a gap or another hop, is of no use any more.
        end = windows[-1].position
        self._runs = {place: run for place, run in self._runs.items() if run.end > end}
        return logits

    def _run_of(self, window: Window) -> _Run | None:
        if window.n_samples < self._window_samples:
            return None
        place = window.position % self._split.stem.stride
        run = self._runs.get(place)
        if run is None or window.position >= run.end:
            run = self._runs[place] = _Run(self._split, window.position)
        run.push(window)
        return run

    def _alone(self, window: Window) -> Array:
        return self._split.window(self._split.frames(window.waveform[np.newaxis]), 0)


class _Run:
    """Unbroken audio and its frames."""

    def __init__(self, split: SplitModel, position: int) -> None:
        self._split = split
        self.start = position  # of the first frame kept
        self.end = position  # behind the last sample heard
        self._pending: list[Waveform] = []  # from where the next frame begins
        self._frames: list[Array] = []

    def push(self, window: Window) -> None:
        new = window.waveform[self.end - window.position :]
        if new.size:
            self._pending.append(new)
            self.end = window.end

    def advance(self) -> None:
        audio = np.concatenate(self._pending)
        n_frames = max(0, (audio.size - self._split.reach) // self._stride + 1)
        n_stretches = max(1, -(-n_frames // self._split.stretch))
        edges = [n_frames * k // n_stretches for k in range(n_stretches + 1)]
        for first, end in pairwise(edges):
            self._frames += self._hear(audio[first * self._stride :], end - first)
        # A copy, so that the windows' audio is not kept alive.
        self._pending = [audio[n_frames * self._stride :].copy()]
        if len(self._frames) > 1:
            self._frames = [np.concatenate(self._frames, axis=self._split.axis)]

    def _hear(self, audio: Waveform, n_frames: int) -> list[Array]:
        """The first frames of some audio, made in rows of one length; the last two may overlap."""
        if not n_frames:
            return []
        n_rows = n_frames * self._stride // (ROW_FIELDS * self._split.reach)
        n_rows = max(1, min(n_rows, self._split.n_rows))
        n_each = -(-n_frames // n_rows)
        starts = [min(row * n_each, n_frames - n_each) for row in range(n_rows)]
        n_samples = (n_each - 1) * self._stride + self._split.reach
        heard = [audio[k * self._stride : k * self._stride + n_samples] for k in starts]
        frames = self._split.frames(np.stack(heard))
        return [
            self._split.take(frames[row : row + 1], slice(row * n_each - start, n_each))
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
