"""EnvNet: sound classification from the raw waveform, learned filters and all.

Y. Tokozume, T. Harada, "Learning environmental sounds with end-to-end convolutional neural
network", ICASSP 2017; between-class learning (``--bc``) and strong augmentation (``--strong``)
from Y. Tokozume, Y. Ushiku, T. Harada, "Learning from Between-class Examples for Deep Sound
Recognition", ICLR 2018. Facts of training as in the authors' code.

Published error on ESC-50, standard and BC: 29.2 % and 24.1 %; on ESC-10: 12.8 % and 11.3 %.
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

from train.augment import crop_scaled, draw_gains, to_device
from train.datasets.prepared import FULL_SCALE, ClipSet
from train.mixing import draw_other_class, mix_between_classes, mix_labels
from train.recipe import Recipe
from train.system import System

SAMPLE_RATE = 16000
WINDOW_SAMPLES = 24014
STRONGEST_SCALE = 1.25
STRONGEST_GAIN_DB = 6.0


@dataclass(frozen=True, kw_only=True)
class EnvNetRecipe(Recipe):
    """EnvNet's own choices.

    Attributes:
        between_classes: Mix two clips of different classes and learn the ratio; the published
            schedule is then twice as long.
        strong: Random time scale and gain.
    """

    between_classes: bool = False
    strong: bool = False


class EnvNet(nn.Module):
    """The network; every convolution has neither padding nor bias."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        # Filters over the waveform, then (batch, 40, 1, 150) is turned into a picture.
        self.stem = nn.Sequential(
            *_conv(1, 40, (1, 8)), *_conv(40, 40, (1, 8)), nn.MaxPool2d((1, 160))
        )
        self.layers = nn.Sequential(
            *_conv(1, 50, (8, 13)), nn.MaxPool2d(3), *_conv(50, 50, (1, 5)), nn.MaxPool2d((1, 3))
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            *_linear(50 * 11 * 14, 4096),
            *_linear(4096, 4096),
            nn.Linear(4096, n_classes),
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, 24014)`` in [-1, 1] -> ``(batch, classes)``."""
        picture = self.stem(waveform[:, None, None, :]).transpose(1, 2)
        return self.head(self.layers(picture))


@dataclass
class EnvNetMaterial:
    """What batches are cut from.

    Attributes:
        sounds: ``(clips, samples)`` int16.
        begins: ``(clips,)``, first sample that isn't exactly zero.
        ends: ``(clips,)``, one behind the last such.
        labels: ``(clips, classes)``.
        targets: ``(clips,)``, on the host.
    """

    sounds: Tensor
    begins: Tensor
    ends: Tensor
    labels: Tensor
    targets: np.ndarray


class EnvNetSystem(System):
    """Trains `EnvNet`."""

    name = "envnet"
    title = "EnvNet, a network on raw waveforms (Tokozume & Harada 2017)"
    sample_rate = SAMPLE_RATE
    window_samples = WINDOW_SAMPLES
    recipe_type = EnvNetRecipe

    @classmethod
    def default_recipe(cls) -> EnvNetRecipe:
        """As published for ESC-50 and ESC-10."""
        return EnvNetRecipe(
            epochs=600,
            batch_size=64,
            optimiser="sgd",
            learning_rate=0.01,
            weight_decay=5e-4,
            schedule="steps",
            drops=(0.5, 0.75),
        )

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """``--bc`` and ``--strong``."""
        parser.add_argument(
            "--bc", action="store_true", help="between-class learning, over twice the epochs"
        )
        parser.add_argument(
            "--strong", action="store_true", help="strong augmentation: time scale and gain"
        )

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Take in ``--bc`` and ``--strong``; a resumed run keeps its own."""
        if not options.resume:
            self.recipe = replace(
                self.recipe,
                between_classes=options.bc,
                strong=options.strong,
                epochs=self.recipe.epochs * (2 if options.bc else 1),
            )
        return {}

    def build(self, n_classes: int) -> EnvNet:
        """The network, freshly initialised."""
        return EnvNet(n_classes)

    def material(self, network: nn.Module, clips: ClipSet, device: torch.device) -> EnvNetMaterial:
        """All clips, with the silence around each told apart from it."""
        sounds = clips.matrix()
        sounding = sounds != 0
        empty = ~sounding.any(axis=1)
        begins = np.where(empty, 0, sounding.argmax(axis=1))
        ends = np.where(empty, 1, sounds.shape[1] - sounding[:, ::-1].argmax(axis=1))
        labels = F.one_hot(torch.from_numpy(clips.targets), len(clips.labels)).float()
        return EnvNetMaterial(
            torch.from_numpy(sounds).to(device),
            torch.from_numpy(begins).to(device),
            torch.from_numpy(ends).to(device),
            labels.to(device),
            clips.targets,
        )

    def batch(
        self, material: EnvNetMaterial, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Crops of the clips; in between-class learning each mixed with one of another class."""
        waveform = self._crops(material, indices, random)
        labels = material.labels[to_device(indices, material.labels)]
        if self.recipe.between_classes:
            others = draw_other_class(material.targets, indices, random)
            ratios = to_device(random.uniform(1e-6, 1 - 1e-6, len(indices)), waveform)
            second = self._crops(material, others, random)
            waveform = mix_between_classes(waveform, second, ratios, SAMPLE_RATE)
            other_labels = material.labels[to_device(others, material.labels)]
            labels = mix_labels(labels, other_labels, ratios)
        if self.recipe.strong:
            gains = draw_gains(random, len(indices), -STRONGEST_GAIN_DB, STRONGEST_GAIN_DB)
            waveform = waveform * to_device(gains, waveform)[:, None]
        return waveform, labels

    def _crops(
        self, material: EnvNetMaterial, indices: np.ndarray, random: np.random.Generator
    ) -> Tensor:
        rows = to_device(indices, material.sounds)
        sounds = material.sounds[rows].float() / FULL_SCALE
        places = to_device(random.uniform(0, 1, len(indices)), sounds)
        exponents = random.uniform(-1, 1, len(indices)) if self.recipe.strong else np.zeros(1)
        scales = to_device(STRONGEST_SCALE**exponents, sounds).expand(len(indices))
        begins, ends = material.begins[rows], material.ends[rows]
        return crop_scaled(sounds, begins, ends, places, scales, WINDOW_SAMPLES)


def _conv(n_inputs: int, n_outputs: int, size: tuple[int, int]) -> list[nn.Module]:
    conv = nn.Conv2d(n_inputs, n_outputs, size, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return [conv, nn.BatchNorm2d(n_outputs), nn.ReLU()]


def _linear(n_inputs: int, n_outputs: int) -> list[nn.Module]:
    return [nn.Linear(n_inputs, n_outputs), nn.ReLU(), nn.Dropout(0.5)]


SYSTEM = EnvNetSystem

if __name__ == "__main__":
    from train.command import main

    sys.exit(main("envnet"))
