"""EnvNet: sound classification from the raw waveform, with learned filters.

Y. Tokozume, T. Harada, "Learning environmental sounds with end-to-end convolutional neural
network", ICASSP 2017; between-class learning (``--bc``) and strong augmentation (``--strong``)
from Y. Tokozume, Y. Ushiku, T. Harada, "Learning from Between-class Examples for Deep Sound
Recognition", ICLR 2018. Details of the training are as in the authors' code.

Published error, standard and BC: ESC-50 29.2 % and 24.1 %, ESC-10 12.8 % and 11.3 %,
UrbanSound8K 33.7 % and 28.9 %.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from train.audio.augment import crop_scaled, draw_gains, to_device
from train.audio.mixing import draw_other_class, mix_between_classes, mix_labels
from train.audio.sound_store import TrainingData, make_training_data
from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.nets.contract import System
from train.nets.inference import ten_crops
from train.nets.log_mel import OverWaveform

N_HIDDEN = 4096
STRONGEST_SCALE = 1.25
STRONGEST_GAIN_DB = 6.0


@dataclass(frozen=True, kw_only=True)
class EnvNetRecipe(Recipe):
    """The recipe's fields for EnvNet.

    Attributes:
        between_classes: Mix two clips of different classes and learn the ratio; the published
            schedule is then twice as long.
        strong: Random time scale and gain.
    """

    between_classes: bool = False
    strong: bool = False


class EnvNet(nn.Module):
    """The network; no convolution has padding or bias."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        # Filters over the waveform; their output (batch, 40, 1, 150) then becomes an image.
        self.stem = nn.Sequential(
            *conv(1, 40, (1, 8)), *conv(40, 40, (1, 8)), nn.MaxPool2d((1, 160))
        )
        self.layers = nn.Sequential(
            *conv(1, 50, (8, 13)), nn.MaxPool2d(3), *conv(50, 50, (1, 5)), nn.MaxPool2d((1, 3))
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            *hidden(50 * 11 * 14, N_HIDDEN),
            *hidden(N_HIDDEN, N_HIDDEN),
            nn.Linear(N_HIDDEN, n_classes),
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, 24014)`` in [-1, 1] -> ``(batch, classes)``."""
        picture = self.stem(waveform[:, None, None, :]).transpose(1, 2)
        return self.head(self.layers(picture))


@dataclass
class EnvNetData(TrainingData):
    """Clips, with the bounds of the sound within the silence of each.

    Attributes:
        begins: ``(clips,)``, first sample that is not exactly zero.
        ends: ``(clips,)``, one after the last such sample.
    """

    begins: Tensor
    ends: Tensor


class EnvNetSystem(System):
    """Trains `EnvNet`, and other networks that crop as it does.

    Attributes:
        pad: Zeros at both ends of a clip before it is cropped; half a window if not given.
    """

    name = "envnet"
    title = "EnvNet, a network on raw waveforms (Tokozume & Harada 2017)"
    sample_rate = 16000
    window_samples = 24014
    recipe_type = EnvNetRecipe
    pad: ClassVar[int | None] = None

    @classmethod
    def published(cls, data_name: str) -> EnvNetRecipe:
        """The published recipe for a data set; for other sets that for ESC-50."""
        return EnvNetRecipe(
            epochs=400 if data_name == "urbansound8k" else 600,
            batch_size=64,
            optimiser="sgd",
            learning_rate=0.01,
            weight_decay=5e-4,
            schedule="steps",
            drops=(0.5, 0.75),
        )

    @classmethod
    def default_recipe(cls) -> EnvNetRecipe:
        """The published recipe for ESC-50."""
        return cls.published("esc50")

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add ``--bc`` and ``--strong``."""
        parser.add_argument(
            "--bc", action="store_true", help="between-class learning, over twice the epochs"
        )
        parser.add_argument(
            "--strong", action="store_true", help="strong augmentation: time scale and gain"
        )

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Set the data set's schedule, ``--bc`` and ``--strong``; a resumed run keeps its own."""
        if not options.resume:
            recipe = self.published(clips.name)
            # Twice the epochs, with as many of them for the warm-up as before.
            longer = 2 if options.bc else 1
            self.recipe = replace(
                recipe,
                between_classes=options.bc,
                strong=options.strong,
                epochs=recipe.epochs * longer,
                warm_up=recipe.warm_up / longer,
            )
        return {}

    def build(self, n_classes: int) -> EnvNet:
        """Build the network with new weights."""
        return EnvNet(n_classes)

    def crops(self, waveform: np.ndarray) -> list[np.ndarray]:
        """Ten crops of the clip, with as many zeros around it as in training."""
        return ten_crops(waveform, self.window_samples, self.pad)

    def front_end(self, network: nn.Module) -> nn.Module:
        """The two convolutions over the waveform."""
        return OverWaveform(network.stem[:-1], n_axes=2)

    def training_data(self, network: nn.Module, clips: ClipSet, device: torch.device) -> EnvNetData:
        """All clips, with the bounds of the sound in each."""
        bounds = torch.tensor([_bounds(clips.waveform(k)) for k in range(len(clips.clips))])
        begins, ends = bounds.to(device).unbind(dim=1)
        return EnvNetData(**vars(make_training_data(clips, device)), begins=begins, ends=ends)

    def batch(
        self, training_data: EnvNetData, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Crops of the clips; in between-class learning each is mixed with one of another class."""
        waveform = self._crops(training_data, indices, random)
        labels = training_data.labels_of(indices)
        if self.recipe.between_classes:
            others = draw_other_class(training_data.targets, indices, random)
            ratios = to_device(random.uniform(1e-6, 1 - 1e-6, len(indices)), waveform)
            second = self._crops(training_data, others, random)
            waveform = mix_between_classes(waveform, second, ratios, self.sample_rate)
            labels = mix_labels(labels, training_data.labels_of(others), ratios)
        if self.recipe.strong:
            gains = draw_gains(random, len(indices), -STRONGEST_GAIN_DB, STRONGEST_GAIN_DB)
            waveform = waveform * to_device(gains, waveform)[:, None]
        return waveform, labels

    def _crops(
        self, training_data: EnvNetData, indices: np.ndarray, random: np.random.Generator
    ) -> Tensor:
        sounds = training_data.sounds.take(indices)
        rows = to_device(indices, sounds)
        places = to_device(random.uniform(0, 1, len(indices)), sounds)
        exponents = random.uniform(-1, 1, len(indices)) if self.recipe.strong else np.zeros(1)
        scales = to_device(STRONGEST_SCALE**exponents, sounds).expand(len(indices))
        begins, ends = training_data.begins[rows], training_data.ends[rows]
        return crop_scaled(sounds, begins, ends, places, scales, self.window_samples, self.pad)


def _bounds(waveform: np.ndarray) -> tuple[int, int]:
    """First sample that is not zero, and one after the last; (0, 1) if all samples are zero."""
    sounding = np.flatnonzero(waveform)
    return (int(sounding[0]), int(sounding[-1]) + 1) if sounding.size else (0, 1)


def conv(
    n_inputs: int, n_outputs: int, size: tuple[int, int], stride: tuple[int, int] = (1, 1)
) -> list[nn.Module]:
    """A convolution without padding or bias, BatchNorm and ReLU."""
    layer = nn.Conv2d(n_inputs, n_outputs, size, stride, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return [layer, nn.BatchNorm2d(n_outputs), nn.ReLU()]


def hidden(n_inputs: int, n_outputs: int) -> list[nn.Module]:
    """A linear layer, ReLU and dropout."""
    return [nn.Linear(n_inputs, n_outputs), nn.ReLU(), nn.Dropout(0.5)]


SYSTEM = EnvNetSystem

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("envnet"))
