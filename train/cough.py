"""How much a sound is a cough: a regression on COUGHVID, or a classification.

The network is that of the tutorial on COUGHVID (L. Orlandic, T. Teijeiro, D. Atienza, "The COUGHVID
crowdsourcing dataset", Scientific Data 2021), which comes from "PyTorch for Audio" (V. Velardo):
one second at 22,050 Hz as a mel spectrogram of 64 mels and 44 frames, four convolutions, one
linear layer, sigmoid. The target is the set's own probability that a cough was detected.
``--classify`` replaces the output by a softmax over cough and no cough, divided at 0.8.

Two things differ from the tutorial. The mel power goes through a logarithm, and the second is cut
from anywhere in the recording instead of its beginning, as `streamclf` will use it anywhere.
``--mel power`` leaves the logarithm out, as the tutorial does. Such power values reach from 0.02,
their median, to 10,000: a loud sound saturates the new network's sigmoid, where the gradient
vanishes. Figures of both are in `research/results.md`.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.audio.augment import fit_length, to_device
from train.audio.sound_store import SpectrumStore, TrainingData, make_training_data
from train.base.recipe import Recipe
from train.datasets.prepared import REGRESSION, SINGLE_LABEL, ClipSet
from train.nets.contract import System
from train.nets.log_mel import LogMel

SAMPLE_RATE = 22050
WINDOW_SAMPLES = 22050
N_FFT, HOP_LENGTH, N_MELS, N_FRAMES = 1024, 512, 64, 44
COUGH_FROM = 0.8
CLASSES = ("no cough", "cough")
LOG_FULL_SCALE = 18.0
"""The logarithm's value at full scale; divided by it, features lie between about 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class CoughRecipe(Recipe):
    """The recipe's fields for `cough`.

    Attributes:
        classify: Cough and no cough instead of a value.
        mel: ``log`` of the mel power, or the ``power`` itself.
    """

    classify: bool = False
    mel: Literal["log", "power"] = "log"


class CoughBody(nn.Module):
    """The trained layers: mel spectrogram to one value, or to logits."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(1, 16), *_conv(16, 32), *_conv(32, 64), *_conv(64, 128), nn.Flatten()
        )
        self.output = nn.Linear(128 * 5 * 4, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, 64, 44)`` -> ``(batch, 1)`` in [0, 1], or ``(batch, 2)`` logits."""
        values = self.output(self.layers(features[:, None]))
        return values.sigmoid() if self.output.out_features == 1 else values


class CoughNet(nn.Module):
    """Front end and body."""

    def __init__(self, n_outputs: int, mel: str) -> None:
        super().__init__()
        self.front_end = LogMel(SAMPLE_RATE, N_FFT, HOP_LENGTH, N_MELS, f_min=0.0, pad=N_FFT // 2)
        self.mel = mel
        self.body = CoughBody(n_outputs)

    def features(self, power: Tensor) -> Tensor:
        """Input of the body from power in each mel band, any shape."""
        if self.mel == "log":
            return self.front_end.compress(power) / LOG_FULL_SCALE
        # Scaled to the tutorial's values; its spectra are not relative to full scale.
        return power * (N_FFT / 4) ** 2

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, 22050)`` in [-1, 1] -> ``(batch, outputs)``."""
        return self.body(self.features(self.front_end.power(waveform)))


class CoughSystem(System):
    """Trains `CoughNet`."""

    name = "cough"
    title = "how much a sound is a cough, from mel spectrograms"
    sample_rate = SAMPLE_RATE
    window_samples = WINDOW_SAMPLES
    fill = "zeros"
    dataset = "coughvid"
    task = REGRESSION
    recipe_type = CoughRecipe

    def __init__(self, recipe: Recipe | None = None) -> None:
        super().__init__(recipe)
        self._set_task()

    @classmethod
    def default_recipe(cls) -> CoughRecipe:
        """The tutorial's rate and batch size; number of epochs and schedule are our own choice."""
        return CoughRecipe(
            epochs=50,
            batch_size=128,
            optimiser="adam",
            learning_rate=1e-3,
            schedule="cosine",
        )

    @classmethod
    def variants(cls) -> dict[str, Recipe]:
        """A regression, a classification, and a classification by the power itself."""
        recipe = cls.default_recipe()
        classify = replace(recipe, classify=True)
        return {
            "regression": recipe,
            "classify": classify,
            "classify power": replace(classify, mel="power"),
        }

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add ``--classify`` and ``--mel``."""
        parser.add_argument(
            "--classify", action="store_true", help=f"cough or not (from {COUGH_FROM}), no value"
        )
        parser.add_argument(
            "--mel", choices=("log", "power"), default="log", help="log of mel powers or not (log)"
        )

    def adapt(self, clips: ClipSet, options: Namespace) -> ClipSet:
        """Turn values into classes, where that is asked for."""
        if not options.resume:
            self.recipe = replace(self.recipe, classify=options.classify, mel=options.mel)
        self._set_task()
        if not self.recipe.classify or clips.task == SINGLE_LABEL:
            return clips
        divided = (replace(clip, target=int(clip.target >= COUGH_FROM)) for clip in clips.clips)
        return replace(clips, task=SINGLE_LABEL, labels=CLASSES, clips=tuple(divided))

    def build(self, n_classes: int) -> CoughNet:
        """Build the network with new weights."""
        return CoughNet(n_classes, self.recipe.mel)

    def trainable(self, network: CoughNet) -> nn.Module:
        """All but the front end."""
        return network.body

    def crops(self, waveform: np.ndarray) -> list[np.ndarray]:
        """The first second, as in the tutorial, with zeros after a shorter clip."""
        return [np.pad(waveform[:WINDOW_SAMPLES], (0, max(0, WINDOW_SAMPLES - len(waveform))))]

    def training_data(
        self, network: CoughNet, clips: ClipSet, device: torch.device
    ) -> TrainingData:
        """The spectra of all clips."""
        spectra = SpectrumStore(clips, device, network.front_end, network.features)
        return make_training_data(clips, device, spectra)

    def batch(
        self, training_data: TrainingData, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """A second of each clip, from any frame on; silence follows a shorter clip."""
        spectra = training_data.sounds.take(indices)
        spectra = F.pad(spectra, (0, max(0, N_FRAMES - spectra.shape[-1])))
        # A shorter clip counts as a second long with its silence, so it stays at the beginning.
        lengths = training_data.sounds.lengths[to_device(indices, spectra)].clamp(min=N_FRAMES)
        places = to_device(random.uniform(0, 1, len(indices)), spectra)
        return fit_length(spectra, lengths, places, N_FRAMES), training_data.labels_of(indices)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error of the value; for classes the divergence."""
        if self.recipe.classify:
            return super().loss(logits, labels)
        return F.mse_loss(logits, labels)

    def _set_task(self) -> None:
        self.task = SINGLE_LABEL if self.recipe.classify else REGRESSION


def _conv(n_inputs: int, n_outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(n_inputs, n_outputs, 3, padding=2), nn.ReLU(), nn.MaxPool2d(2)]


SYSTEM = CoughSystem

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("cough"))
