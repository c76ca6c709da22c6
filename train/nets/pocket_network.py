"""The network that `train.pocket` trains: small, over log-mel spectrograms.

It has 64 mel bands of 40 ms frames every 25 ms, a 3x3 convolution and six separable ones with
pooling, a mean over frequency and one linear layer: 0.61 M parameters. The linear layer gets the
mean over time and the maximum of the outputs of three layers, not of the last one alone: what
distinguishes two sounds may be lost after layers that learned something else. Nothing is padded
along time, so overlapping windows share everything but mean and maximum; frames are 0.1 s apart.

Sources: separable convolutions of A. Howard et al., "MobileNets", 2017; mean and maximum of Q. Kong
et al., "PANNs", 2020; several levels of J. Lee and J. Nam, "Multi-Level and Multi-Scale Feature
Aggregation Using Pretrained Convolutional Neural Networks for Music Auto-Tagging", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.nets.layers import NamedLayers, conv_block, separable_block
from train.nets.log_mel import LogMel

SAMPLE_RATE = 16000
WINDOW_SAMPLES = 24000
N_FFT = 640
HOP_LENGTH = 400
N_MELS = 64

WIDTHS = (48, 96, 192, 192, 384, 384, 512)
"""Channels of each of the seven blocks."""


class PocketBody(NamedLayers):
    """The trained layers: log-mel spectrogram to logits.

    Attributes:
        level_channels: Channels of each of the three levels that the last layer gets.
    """

    def __init__(self, n_classes: int, widths: Sequence[int], n_mels: int = N_MELS) -> None:
        super().__init__()
        a, b, c, d, e, f, g = widths
        # Normalised by running statistics, not the window's own, so that loudness is preserved.
        self.scale = nn.BatchNorm1d(n_mels)
        levels = [
            [
                *conv_block(1, a, stride=2),
                *separable_block(a, b),
                nn.MaxPool2d(2),
                *separable_block(b, c),
                *separable_block(c, d),
                nn.MaxPool2d(2),
            ],
            [*separable_block(d, e), *separable_block(e, f), nn.MaxPool2d((2, 1))],
            separable_block(f, g),
        ]
        self.layers = nn.Sequential(*chain.from_iterable(levels))
        self._ends = list(accumulate(len(level) for level in levels))
        self.level_channels = (d, f, g)
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(2 * sum(self.level_channels), n_classes)
        # With channels last a training step takes a third less time on a CPU.
        self.to(memory_format=torch.channels_last)

    def pooled(self, features: Tensor) -> Tensor:
        """The input of the last layer: ``(batch, mels, frames)`` -> ``(batch, channels)``."""
        *earlier, last = self.levels(features)
        n_frames = last.shape[2]
        # Each frame of an earlier level is pooled over the frames that one frame of the last level
        # depends on. All levels then form one tensor of frames, at which the exporter can cut off
        # everything that windows share.
        spans = [level.shape[2] - n_frames + 1 for level in earlier]
        means = [F.avg_pool1d(*pair, stride=1) for pair in zip(earlier, spans, strict=True)]
        maxima = [F.max_pool1d(*pair, stride=1) for pair in zip(earlier, spans, strict=True)]
        frames = torch.cat([*means, last, *maxima], dim=1)
        n_means, n_earlier = sum(self.level_channels), sum(self.level_channels[:-1])
        mean, maximum = frames[:, :n_means].mean(dim=2), frames[:, n_earlier:].amax(dim=2)
        return torch.cat([mean, maximum], dim=1)

    def levels(self, features: Tensor) -> list[Tensor]:
        """Means over mels of three layers: ``(batch, channels, frames)``, frames 0.1 s apart."""
        maps, levels = self.scale(features)[:, None], []
        for begin, end in pairwise([0, *self._ends]):
            maps = self.layers[begin:end](maps)
            levels.append(maps.mean(dim=2))
        return levels


class PocketNet(nn.Module):
    """The whole network: front end and body."""

    def __init__(self, n_classes: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.front_end = LogMel(SAMPLE_RATE, N_FFT, HOP_LENGTH, N_MELS)
        self.body = PocketBody(n_classes, widths)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] -> ``(batch, classes)``."""
        return self.body(self.front_end(waveform))
