"""A mel-spectrogram CNN for UrbanSound8K, trained in stereo at 44.1 kHz.

The network and recipe are those of the notebook "Audio Deep Learning Made Simple: Sound
Classification" (K. Doshi, 2021): four seconds, shifted in time with wrap, log-mel spectrogram,
SpecAugment, four convolutions. The notebook measures on a random fifth of the clips
(``--random-split``), where clips of one recording are on both sides. Here the folds are the
default, and their figures are the ones that count.

Two things differ. Time is shifted by whole frames (11.6 ms) of spectra that are computed once
(`train.audio.sound_store`), not by samples: computing stereo spectra at 44.1 kHz for every batch
took four times as long as learning from them. And the exported network has one input channel, as
`streamclf` does, and uses it for both.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from train.audio.augment import mask_spectrum
from train.audio.sound_store import SpectrumStore, TrainingData, make_training_data
from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.nets.contract import System
from train.nets.log_mel import LogMel

SAMPLE_RATE = 44100
WINDOW_SAMPLES = 176_400
N_FFT, HOP_LENGTH, N_MELS, N_FRAMES = 1024, 512, 64, 344
TOP_DB = 80.0
FLOOR = 1e-10 / (N_FFT / 4) ** 2
"""The notebook's floor; its spectra are not relative to full scale. It lies far below any sound."""

SMALLEST_DEVIATION_DB = 0.01
FARTHEST_SHIFT = 0.4
WIDEST_MASK = 0.1
N_PARTS = 5


@dataclass(frozen=True, kw_only=True)
class MelCnnRecipe(Recipe):
    """The recipe's fields for `melcnn`.

    Attributes:
        random_split: The notebook's 80:20 split instead of the data set's folds.
    """

    random_split: bool = False


class MelCnnBody(nn.Module):
    """The trained layers: spectrogram in dB to logits."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(2, 8, 5), *_conv(8, 16, 3), *_conv(16, 32, 3), *_conv(32, 64, 3)
        )
        self.output = nn.Linear(64, n_classes)

    def forward(self, decibels: Tensor) -> Tensor:
        """``(batch, 2, 64, 344)`` -> ``(batch, classes)``."""
        mean = decibels.mean(dim=(1, 2, 3), keepdim=True)
        centred = decibels - mean
        deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        maps = self.layers(centred / deviation.clamp(min=SMALLEST_DEVIATION_DB))
        return self.output(maps.mean(dim=(2, 3)))


class MelCnn(nn.Module):
    """Front end and body."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        # Gives as many frames as the notebook's 176,000 samples have.
        pad = (N_FFT - HOP_LENGTH) // 2
        self.front_end = LogMel(SAMPLE_RATE, N_FFT, HOP_LENGTH, N_MELS, f_min=0.0, pad=pad)
        self.body = MelCnnBody(n_classes)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, 176400)`` in [-1, 1] -> ``(batch, classes)``."""
        power = self.front_end.power(waveform)
        return self.body(relative_to_peak(to_decibels(power[:, None])).expand(-1, 2, -1, -1))


def to_decibels(power: Tensor) -> Tensor:
    """Convert power to dB above the floor, any shape."""
    # Divided by the floor beforehand: the exporter takes a constant as small as the floor for zero.
    return torch.log10((power * (1 / FLOOR)).clamp(min=1.0)) * 10


def relative_to_peak(decibels: Tensor) -> Tensor:
    """Convert to dB below the loudest value, from `-TOP_DB` up.

    Args:
        decibels: ``(batch, channels, mels, frames)``.
    """
    return (decibels - decibels.amax(dim=(1, 2, 3), keepdim=True)).clamp(min=-TOP_DB)


class MelCnnSystem(System):
    """Trains `MelCnn`."""

    name = "melcnn"
    title = "a mel-spectrogram CNN for UrbanSound8K (the notebook's)"
    sample_rate = SAMPLE_RATE
    window_samples = WINDOW_SAMPLES
    fill = "zeros"
    dataset = "urbansound8k"
    n_channels = 2
    recipe_type = MelCnnRecipe

    @classmethod
    def default_recipe(cls) -> MelCnnRecipe:
        """The notebook's recipe, with a number of epochs at which its curve is flat."""
        return MelCnnRecipe(
            epochs=50,
            batch_size=16,
            optimiser="adam",
            learning_rate=1e-3,
            schedule="one-cycle-linear",
            warm_up=0.3,
        )

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """Add ``--random-split``."""
        parser.add_argument(
            "--random-split",
            action="store_true",
            help="80:20 at random, as in the notebook, instead of by fold: flatters",
        )

    def adapt(self, clips: ClipSet, options: Namespace) -> ClipSet:
        """Replace the folds by five random parts, where that is asked for."""
        if not options.resume:
            self.recipe = replace(self.recipe, random_split=options.random_split)
        if not self.recipe.random_split:
            return clips
        order = np.random.default_rng((options.seed, 2)).permutation(len(clips.clips))
        parts = (order % N_PARTS + 1).tolist()
        dealt = (replace(clip, fold=part) for clip, part in zip(clips.clips, parts, strict=True))
        return replace(clips, clips=tuple(dealt), fold_names={})

    def build(self, n_classes: int) -> MelCnn:
        """Build the network with new weights."""
        return MelCnn(n_classes)

    def trainable(self, network: MelCnn) -> nn.Module:
        """All but the front end."""
        return network.body

    def crops(self, waveform: np.ndarray) -> list[np.ndarray]:
        """One window: the first four seconds, with zeros around a shorter clip."""
        missing = max(0, WINDOW_SAMPLES - len(waveform))
        return [np.pad(waveform[:WINDOW_SAMPLES], (missing // 2, missing - missing // 2))]

    def card_note(self) -> str:
        """The note on its one channel."""
        return "Trained in stereo; the graph takes one channel and feeds it to both."

    def training_data(self, network: MelCnn, clips: ClipSet, device: torch.device) -> TrainingData:
        """The spectra of all clips; computing them again takes longer than learning from them."""
        spectra = SpectrumStore(clips, device, network.front_end, to_decibels, N_FRAMES)
        return make_training_data(clips, device, spectra)

    def batch(
        self, training_data: TrainingData, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Four seconds of each clip, shifted by whole frames, as masked spectrograms."""
        n_batch = len(indices)
        places = random.uniform(0, 1, n_batch)
        shifts = np.floor(random.uniform(0, FARTHEST_SHIFT, n_batch) * N_FRAMES).astype(np.int64)
        decibels = training_data.sounds.shifted(indices, places, shifts)
        if decibels.ndim == 3:
            decibels = decibels[:, None].repeat(1, 2, 1, 1)
        decibels = relative_to_peak(decibels)
        mels, frames = (int(size * WIDEST_MASK) for size in (N_MELS, N_FRAMES))
        decibels = mask_spectrum(decibels, random, mels=(mels, 2), frames=(frames, 2))
        return decibels, training_data.labels_of(indices)


def _conv(n_inputs: int, n_outputs: int, size: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_inputs, n_outputs, size, stride=2, padding=size // 2)
    nn.init.kaiming_normal_(conv.weight, a=0.1)
    nn.init.zeros_(conv.bias)
    return [conv, nn.ReLU(), nn.BatchNorm2d(n_outputs)]


SYSTEM = MelCnnSystem

if __name__ == "__main__":
    from train.cli.network_command import main

    sys.exit(main("melcnn"))
