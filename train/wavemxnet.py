"""M3, M5, M11, M18 and M34-res: very deep networks on raw waveforms of four seconds.

W. Dai, C. Dai, S. Qu, J. Li, S. Das, "Very Deep Convolutional Neural Networks for Raw
Waveforms", ICASSP 2017. Eight kHz, each window standardised (in the graph), one wide first
convolution, then small ones, no fully connected layers. ``--depth`` chooses.

Published accuracy on fold 10 of UrbanSound8K: M3 56.12 %, M5 63.42 %, M11 69.07 %, M18 71.68 %,
M34-res 63.47 %. The paper trains for 100 to 400 epochs with Adam, whose rate it does not name.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.audio.augment import fit_length, to_device
from train.audio.sound_store import TrainingData, make_training_data
from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.nets.contract import System
from train.nets.log_mel import OverWaveform

WINDOW_SAMPLES = 32000
QUIETEST = 1e-5
"""Smallest standard deviation that is divided by, so that silence stays silence."""

FILTERS = {3: 256, 5: 128, 11: 64, 18: 64, 34: 48}
GROUPS = {
    3: [(256, 1)],
    5: [(128, 1), (256, 1), (512, 1)],
    11: [(64, 2), (128, 2), (256, 3), (512, 2)],
    18: [(64, 4), (128, 4), (256, 4), (512, 4)],
    34: [(48, 3), (96, 4), (192, 6), (384, 3)],
}
"""Channels and convolutions of each group; pairs of convolutions for M34-res."""


@dataclass(frozen=True, kw_only=True)
class WaveMxRecipe(Recipe):
    """The recipe's fields for these networks.

    Attributes:
        depth: Layers with weights: 3, 5, 11, 18 or 34.
    """

    depth: int = 11


class WaveMxNet(nn.Module):
    """One of the five networks; no convolution has a bias, and BatchNorm and ReLU follow each."""

    def __init__(self, depth: int, n_classes: int) -> None:
        super().__init__()
        n_maps = FILTERS[depth]
        # 32,000 samples -> 8,000 -> 2,000, then 500, 125 and 32 after the groups.
        self.stem = nn.Sequential(*_conv(1, n_maps, 80, 4, 38), nn.MaxPool1d(4))
        layers: list[nn.Module] = []
        for n_outputs, repeats in GROUPS[depth]:
            for _ in range(repeats):
                if depth == 34:
                    layers.append(_Pair(n_maps, n_outputs))
                else:
                    layers += _conv(n_maps, n_outputs, 3, 1, 1)
                n_maps = n_outputs
            layers.append(nn.MaxPool1d(4, ceil_mode=True))
        # The fourth group is followed by the global average, not by another pool.
        self.layers = nn.Sequential(*layers[: -1 if len(GROUPS[depth]) == 4 else None])
        self.output = nn.Linear(n_maps, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, 32000)`` at any level -> ``(batch, classes)``."""
        maps = self.layers(self.stem(standardise(waveform)[:, None]))
        return self.output(maps.mean(dim=2))


class WaveMxSystem(System):
    """Trains `WaveMxNet`."""

    name = "wavemxnet"
    title = "M3 to M34-res, deep networks on raw waveforms (Dai et al. 2017)"
    sample_rate = 8000
    window_samples = WINDOW_SAMPLES
    fill = "zeros"
    dataset = "urbansound8k"
    recipe_type = WaveMxRecipe

    @classmethod
    def default_recipe(cls) -> WaveMxRecipe:
        """The recipe as far as published, with most epochs; batch size and rate are our own."""
        return WaveMxRecipe(
            epochs=400,
            batch_size=64,
            optimiser="adam",
            learning_rate=1e-3,
            weight_decay=1e-4,
            schedule="steps",
        )

    @classmethod
    def variants(cls) -> dict[str, Recipe]:
        """A variant for each depth."""
        return {f"m{depth}": replace(cls.default_recipe(), depth=depth) for depth in GROUPS}

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add ``--depth``."""
        parser.add_argument(
            "--depth", type=int, choices=list(GROUPS), default=11, help="layers (11)"
        )

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Take over ``--depth``; a resumed run keeps its own."""
        if not options.resume:
            self.recipe = replace(self.recipe, depth=options.depth)
        return {}

    def build(self, n_classes: int) -> WaveMxNet:
        """Build the network with new weights."""
        return WaveMxNet(self.recipe.depth, n_classes)

    def front_end(self, network: WaveMxNet) -> nn.Module:
        """The first convolution, without the standardisation."""
        return OverWaveform(network.stem[:-1])

    def crops(self, waveform: np.ndarray) -> list[np.ndarray]:
        """One window: the first four seconds, with zeros after a shorter clip."""
        return [np.pad(waveform[:WINDOW_SAMPLES], (0, max(0, WINDOW_SAMPLES - len(waveform))))]

    def training_data(
        self, network: nn.Module, clips: ClipSet, device: torch.device
    ) -> TrainingData:
        """All clips."""
        return make_training_data(clips, device)

    def batch(
        self, training_data: TrainingData, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Four seconds of each clip, from anywhere in it; zeros follow a shorter clip."""
        sounds = training_data.sounds.take(indices)
        lengths = training_data.sounds.lengths[to_device(indices, sounds)]
        # A shorter clip counts as a window long with its zeros, so it stays at the beginning.
        lengths = lengths.clamp(min=WINDOW_SAMPLES)
        sounds = F.pad(sounds, (0, max(0, WINDOW_SAMPLES - sounds.shape[1])))
        places = to_device(random.uniform(0, 1, len(indices)), sounds)
        return fit_length(sounds, lengths, places, WINDOW_SAMPLES), training_data.labels_of(indices)


def standardise(waveform: Tensor) -> Tensor:
    """Scale waveforms ``(batch, samples)`` to mean 0 and standard deviation 1; silence to zeros."""
    centred = waveform - waveform.mean(dim=1, keepdim=True)
    deviation = centred.square().mean(dim=1, keepdim=True).sqrt()
    return centred / deviation.clamp(min=QUIETEST)


class _Pair(nn.Module):
    """Two convolutions added to the input, with BatchNorm after the sum."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        second = nn.Conv1d(n_outputs, n_outputs, 3, padding=1, bias=False)
        self.layers = nn.Sequential(
            *_conv(n_inputs, n_outputs, 3, 1, 1), second, nn.BatchNorm1d(n_outputs)
        )
        self.norm = nn.BatchNorm1d(n_outputs)

    def forward(self, maps: Tensor) -> Tensor:
        changed = self.layers(maps)
        # Where the number of maps doubles, the input is repeated.
        maps = torch.cat([maps] * (changed.shape[1] // maps.shape[1]), dim=1)
        return F.relu(self.norm(maps + changed))


def _conv(n_inputs: int, n_outputs: int, size: int, stride: int, padding: int) -> list[nn.Module]:
    conv = nn.Conv1d(n_inputs, n_outputs, size, stride, padding, bias=False)
    return [conv, nn.BatchNorm1d(n_outputs), nn.ReLU()]


SYSTEM = WaveMxSystem

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("wavemxnet"))
