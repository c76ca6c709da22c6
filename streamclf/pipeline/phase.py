"""Whether channels cancel each other when they are averaged: one was wired or mixed upside down."""

from __future__ import annotations

import math

import numpy as np

from streamclf.core.records import Block, Waveform

STRETCH_S = 10.0
"""Of audio with something in it, over which channels are compared."""

SHORTEST_S = 1.0
"""A whole recording shorter than the stretch is judged by all of it, from this length on."""

LEFT = 0.1
"""Of the power that unrelated channels would leave: less than this is left of channels that cancel
each other. Of two channels of one level it is 1 plus their correlation. In 1,182 stretches of music
and sounds in stereo it was 0.83 or more, in 486 shorter sounds 0.27 or more."""

NOTHING = 1e-7
"""Of the same: what rounding leaves."""

EACH = 8
"""Behind the first stretch one of so many blocks is looked at: looking at all took as long as their
mean does."""

QUIET = 10 ** (-70 / 20)
"""Root mean square below which nothing is heard that could be lost."""


class Phase:
    """Compares what channels hold with what their mean keeps, stretch by stretch; tells once."""

    def __init__(self) -> None:
        self._stretch = _Stretch()
        self._judged = self._told = False
        self._n_blocks = 0

    def hear(self, block: Block, mono: Waveform) -> str:
        """Take a block and its mean; what to tell, or nothing."""
        self._n_blocks += 1
        passed_over = self._judged and self._n_blocks % EACH
        if self._told or passed_over or block.waveform.shape[0] < 2:
            return ""
        stretch = self._stretch
        if stretch.kind != (kind := (block.waveform.shape[0], block.sample_rate)):
            self._stretch = stretch = _Stretch(*kind)
        stretch.add(block, mono)
        return self._judge() if stretch.n_samples >= STRETCH_S * block.sample_rate else ""

    def end(self) -> str:
        """What to tell of audio that ended before the first stretch did, or nothing."""
        long_enough = self._stretch.n_samples >= SHORTEST_S * self._stretch.sample_rate
        return self._judge() if long_enough and not self._judged else ""

    def _judge(self) -> str:
        stretch, self._stretch = self._stretch, _Stretch(*self._stretch.kind)
        self._judged = True
        left = stretch.left
        if not left < LEFT:
            return ""
        self._told = True
        n_channels, begin_s = stretch.n_channels, stretch.position / stretch.sample_rate
        rest = f"{10 * math.log10(left / n_channels):.0f} dB" if left > NOTHING else "nothing"
        what = "the two channels" if n_channels == 2 else f"the {n_channels} channels"
        return (
            f"{what} are in opposite phase from {begin_s:.2f} s on: averaged they cancel each "
            f"other ({rest} is left), listen to one of them with --channel 1"
        )


class _Stretch:
    """Audio of one kind, but for its pauses.

    Attributes:
        position: Of its first sample.
        n_samples: A channel, so far.
    """

    def __init__(self, n_channels: int = 0, sample_rate: int = 1) -> None:
        self.n_channels, self.sample_rate = n_channels, sample_rate
        self.position = self.n_samples = 0
        self._power = self._mean_power = 0.0

    @property
    def kind(self) -> tuple[int, int]:
        """Channels and rate."""
        return self.n_channels, self.sample_rate

    @property
    def left(self) -> float:
        """Power of the mean, as a part of what unrelated channels would leave of themselves."""
        return self.n_channels**2 * self._mean_power / self._power

    def add(self, block: Block, mono: Waveform) -> None:
        """Add a block with something in it."""
        every = block.waveform.ravel(order="K")  # as it lies in memory, without a copy
        with np.errstate(over="ignore"):  # samples may be anything; such a sum is no audio's
            power = float(np.dot(every, every))
        if not QUIET**2 * every.size < power < np.inf:  # written so that NaN does not pass
            return
        self.position = self.position if self.n_samples else block.position
        self.n_samples += block.n_samples
        self._power += power
        self._mean_power += float(np.dot(mono[0], mono[0]))
