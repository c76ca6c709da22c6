"""Spoken digits, from 8 kHz waveforms: the tutorial's M5 and a better net of its size class.

``--net m5`` is the network and recipe of PyTorch's tutorial "Speech Command Classification with
torchaudio": M5 (Dai et al., ICASSP 2017) with a first stride of 16, 25,290 parameters for ten
digits, Adam over 10 epochs. It reached 79 % of its test set (Google Speech Commands).

``--net best`` is our own: a small residual network on a log-mel spectrogram, under 100,000
parameters, trained with random shift, speed, gain and masks. Its goal is set by BC-ResNet-1 (B. Kim
et al., Interspeech 2021), which reaches 96.9 % of 12 commands with 9.2 thousand parameters.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.audio.augment import crop_scaled, draw_gains, mask_spectrum, to_device
from train.audio.sound_store import TrainingData, make_training_data
from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.nets.contract import System
from train.nets.log_mel import LogMel, OverWaveform

SAMPLE_RATE = 8000
WINDOW_SAMPLES = 8000
DROP_EVERY = 20
FASTEST = 1.15
GAIN_DB = 10.0
WIDEST_MELS, WIDEST_FRAMES = 6, 6


@dataclass(frozen=True, kw_only=True)
class DigitsRecipe(Recipe):
    """The recipe's fields for `digits`.

    Attributes:
        net: ``m5`` or ``best``.
    """

    net: Literal["m5", "best"] = "m5"


class DigitsM5(nn.Module):
    """The tutorial's network, for any waveform of 6,848 samples or more."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(1, 32, 80, 16), *_conv(32, 32, 3), *_conv(32, 64, 3), *_conv(64, 64, 3)
        )
        self.output = nn.Linear(64, n_classes)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] -> ``(batch, classes)``."""
        return self.output(self.layers(waveform[:, None]).mean(dim=2))


class DigitsBody(nn.Module):
    """Log-mel spectrogram to logits: six residual 3x3 convolutions, pooled three times."""

    def __init__(self, n_classes: int, n_mels: int) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(n_mels)
        self.first = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.layers = nn.Sequential(
            _Residual(16, 16), nn.MaxPool2d(2),
            _Residual(16, 32), _Residual(32, 32), nn.MaxPool2d(2),
            _Residual(32, 64), nn.MaxPool2d(2),
            _Residual(64, 64),
        )  # fmt: skip
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(64, n_classes)
        # With channels last a step takes less time on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, classes)``."""
        maps = self.layers(self.first(self.scale(features)[:, None])).mean(dim=2)
        return self.output(self.dropout(maps.mean(dim=2) + maps.amax(dim=2)))


class DigitsBest(nn.Module):
    """Front end (32 ms frames every 20 ms, 40 mels) and body."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.front_end = LogMel(SAMPLE_RATE, 256, 160, 40)
        self.body = DigitsBody(n_classes, 40)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] -> ``(batch, classes)``."""
        return self.body(self.front_end(waveform))


@dataclass
class DigitsData(TrainingData):
    """Clips, and the front end that turns them into features where the network has one.

    Attributes:
        front_end: The front end; None for M5.
    """

    front_end: LogMel | None


class DigitsSystem(System):
    """Trains `DigitsM5` or `DigitsBest`."""

    name = "digits"
    title = "spoken digits from 8 kHz waveforms"
    sample_rate = SAMPLE_RATE
    window_samples = WINDOW_SAMPLES
    fill = "zeros"
    dataset = "fsdd"
    recipe_type = DigitsRecipe

    @classmethod
    def default_recipe(cls) -> DigitsRecipe:
        """The tutorial's recipe; its rate drops every 20 epochs, which it does not reach."""
        return DigitsRecipe(
            epochs=10,
            batch_size=256,
            optimiser="adam",
            learning_rate=0.01,
            weight_decay=1e-4,
            schedule="steps",
        )

    @classmethod
    def variants(cls) -> dict[str, Recipe]:
        """Both networks, each with its own recipe."""
        best = DigitsRecipe(
            net="best",
            epochs=60,
            batch_size=64,
            optimiser="adamw",
            learning_rate=5e-3,
            weight_decay=0.02,
            schedule="one-cycle",
            warm_up=0.15,
            clip_norm=5.0,
            ema=0.998,
        )
        return {"m5": cls.default_recipe(), "best": best}

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add ``--net``."""
        nets = list(cls.variants())
        parser.add_argument(
            "--net", choices=nets, default=nets[0], help="the tutorial's M5, or our own (m5)"
        )

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Take over ``--net``; a resumed run keeps its own.

        The tutorial's rate drops at fixed epochs, not at fractions of a schedule. On sets smaller
        than Speech Commands M5 needs more epochs, and then reaches the drops.
        """
        if not options.resume:
            self.recipe = self.variants()[options.net]
            if options.net == "m5" and options.epochs:
                drops = range(DROP_EVERY, options.epochs, DROP_EVERY)
                self.recipe = replace(self.recipe, drops=tuple(k / options.epochs for k in drops))
        return {}

    def build(self, n_classes: int) -> nn.Module:
        """Build the network with new weights."""
        return DigitsM5(n_classes) if self.recipe.net == "m5" else DigitsBest(n_classes)

    def trainable(self, network: nn.Module) -> nn.Module:
        """All of M5; of the other network all but the front end."""
        return network if self.recipe.net == "m5" else network.body

    def front_end(self, network: nn.Module) -> nn.Module | None:
        """M5's first convolution; the other network's filters are fixed."""
        return OverWaveform(network.layers[0]) if self.recipe.net == "m5" else None

    def crops(self, waveform: np.ndarray) -> list[np.ndarray]:
        """One crop: the clip from its beginning, padded or cut to a window."""
        padded = np.pad(waveform[:WINDOW_SAMPLES], (0, max(0, WINDOW_SAMPLES - len(waveform))))
        return [padded]

    def training_data(self, network: nn.Module, clips: ClipSet, device: torch.device) -> DigitsData:
        """All clips, with the front end."""
        training_data = make_training_data(clips, device)
        return DigitsData(**vars(training_data), front_end=getattr(network, "front_end", None))

    def batch(
        self, training_data: DigitsData, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The first second of each clip for M5; augmented log-mel windows for the other network.

        The tutorial pads with zeros to the batch's longest clip, which is a second there. Other
        sets have longer clips, and such padding would dominate the windows that `streamclf` uses.
        """
        sounds, labels = training_data.sounds.take(indices), training_data.labels_of(indices)
        if training_data.front_end is None:
            return F.pad(sounds, (0, WINDOW_SAMPLES - sounds.shape[1])), labels  # pads or cuts
        n_batch = len(indices)
        rows = to_device(indices, sounds)
        begins, ends = torch.zeros_like(rows), training_data.sounds.lengths[rows]
        speeds = to_device(FASTEST ** random.uniform(-1, 1, n_batch), sounds)
        places = to_device(random.uniform(0, 1, n_batch), sounds)
        waveform = crop_scaled(sounds, begins, ends, places, speeds, WINDOW_SAMPLES, pad=0)
        gains = to_device(draw_gains(random, n_batch, -GAIN_DB, GAIN_DB) ** 2, waveform)
        with torch.no_grad():
            power = training_data.front_end.power_by_fft(waveform) * gains[:, None, None]
        features = training_data.front_end.compress(power)
        mels, frames = (WIDEST_MELS, 1), (WIDEST_FRAMES, 2)
        return mask_spectrum(features, random, mels=mels, frames=frames), labels


class _Residual(nn.Module):
    """BatchNorm, ReLU and a 3x3 convolution, added to the input."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(n_inputs)
        self.conv = nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        changed = self.conv(F.relu(self.norm(maps)))
        # Where the number of maps doubles, the input is repeated.
        return changed + torch.cat([maps] * (changed.shape[1] // maps.shape[1]), dim=1)


def _conv(n_inputs: int, n_outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv1d(n_inputs, n_outputs, size, stride)
    return [conv, nn.BatchNorm1d(n_outputs), nn.ReLU(), nn.MaxPool1d(4)]


SYSTEM = DigitsSystem

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("digits"))
