"""Pocket: a small log-mel network for 16 kHz and 1.5 s, the one that streamclf comes with.

64 mels of 40 ms frames every 20 ms, seven 3x3 convolutions (16-32-32-64-64-128-128) with three
2x2 max-pools, mean over frequency, mean plus max over time, one linear layer: 0.30 M parameters.
The mel front end is in the graph and learns nothing, so training caches its output and mixes,
amplifies and masks spectrograms instead of waveforms.

Sources: mean plus max pooling after Q. Kong et al., "PANNs", 2020; mixup after H. Zhang et al.,
2018; SpecAugment after D. Park et al., 2019.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.augment import cut, draw_gains, mask_bands, to_device
from train.datasets.prepared import FULL_SCALE, ClipSet
from train.features import LogMel
from train.mixing import mixup
from train.recipe import Recipe
from train.system import System
from train.teacher import HOP_S, soft_labels

SAMPLE_RATE = 16000
WINDOW_SAMPLES = 24000
N_FFT = 640
HOP_LENGTH = 320
N_MELS = 64
QUIET = 1e-4
"""Windows whose loudest frame is this far (-40 dB) below the clip's are not trained on."""


@dataclass(frozen=True, kw_only=True)
class PocketRecipe(Recipe):
    """Pocket's own choices.

    Attributes:
        mixup: Parameter of the Beta distribution of ratios; 0 does not mix.
        gain_db: Random gain, plus or minus.
        widest_mels: SpecAugment's widest band of mels; two a clip.
        widest_frames: SpecAugment's widest band of frames; two a clip.
        teacher_share: Part of each label that comes from the teacher, where there is one.
    """

    mixup: float = 0.5
    gain_db: float = 10.0
    widest_mels: int = 8
    widest_frames: int = 10
    teacher_share: float = 0.5


class PocketBody(nn.Module):
    """Log-mel spectrogram to logits."""

    def __init__(self, n_classes: int, n_mels: int = N_MELS) -> None:
        super().__init__()
        # Running statistics, not the window's own: how loud a window is stays audible.
        self.scale = nn.BatchNorm1d(n_mels)
        self.layers = nn.Sequential(
            *_conv(1, 16),
            *_conv(16, 32),
            nn.MaxPool2d(2),
            *_conv(32, 32),
            *_conv(32, 64),
            nn.MaxPool2d(2),
            *_conv(64, 64),
            *_conv(64, 128),
            nn.MaxPool2d(2),
            *_conv(128, 128),
        )
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(128, n_classes)
        # Channels beside each other: a training step takes a third less time on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, classes)``."""
        maps = self.layers(self.scale(features)[:, None]).mean(dim=2)
        return self.output(self.dropout(maps.mean(dim=2) + maps.amax(dim=2)))


class PocketNet(nn.Module):
    """The whole of it: front end and body."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.front_end = LogMel(SAMPLE_RATE, N_FFT, HOP_LENGTH, N_MELS)
        self.body = PocketBody(n_classes)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] -> ``(batch, classes)``."""
        return self.body(self.front_end(waveform))


@dataclass
class PocketMaterial:
    """What batches are cut from.

    Attributes:
        power: ``(clips, mels, frames)`` of whole clips.
        starts: For each clip the frames at which a window may begin.
        labels: ``(clips, places, classes)``: the label of a window that begins at ``place``
            times ``label_hop``.
        label_hop: Frames from one place to the next.
        front_end: For its logarithm.
    """

    power: Tensor
    starts: list[np.ndarray]
    labels: Tensor
    label_hop: int
    front_end: LogMel


class Pocket(System):
    """Trains `PocketNet`."""

    name = "pocket"
    title = "a small log-mel network for 16 kHz, the bundled one"
    sample_rate = SAMPLE_RATE
    window_samples = WINDOW_SAMPLES
    recipe_type = PocketRecipe

    soft: Tensor | None = None

    @classmethod
    def default_recipe(cls) -> PocketRecipe:
        """Ours."""
        return PocketRecipe(
            epochs=240,
            batch_size=64,
            optimiser="adamw",
            learning_rate=4e-3,
            weight_decay=0.05,
            schedule="one-cycle",
            warm_up=0.15,
            clip_norm=5.0,
            ema=0.998,
        )

    @classmethod
    def add_options(cls, parser: ArgumentParser) -> None:
        """``--teacher``."""
        parser.add_argument(
            "--teacher",
            type=Path,
            metavar="NPZ",
            help="features of a teacher; half of each label comes from a head fitted on them",
        )

    def configure(self, options: Namespace, clips: ClipSet) -> dict[str, Any]:
        """Fit the teacher's head, if there is one."""
        if options.teacher is None:
            return {}
        self.soft, about = soft_labels(options.teacher, clips)
        return {"teacher": about}

    def build(self, n_classes: int) -> PocketNet:
        """The network, freshly initialised."""
        return PocketNet(n_classes)

    def trainee(self, network: nn.Module) -> nn.Module:
        """All but the front end."""
        return network.body

    def material(self, network: PocketNet, clips: ClipSet, device: torch.device) -> PocketMaterial:
        """The power in each band of every clip, and where its windows may begin."""
        front_end = network.front_end
        rows = torch.from_numpy(clips.matrix()).split(64)
        with torch.no_grad():
            power = torch.cat([front_end.power(r.to(device).float() / FULL_SCALE) for r in rows])
        n_frames = front_end.n_frames(WINDOW_SAMPLES)
        hard = F.one_hot(torch.from_numpy(clips.targets), len(clips.labels)).float()
        labels = hard[:, None].to(device)
        if self.soft is not None:
            share = self.recipe.teacher_share
            labels = (1 - share) * labels + share * self.soft.to(device)
        return PocketMaterial(
            power, loud_starts(power, n_frames), labels, round(HOP_S * SAMPLE_RATE / HOP_LENGTH),
            front_end,
        )  # fmt: skip

    def batch(
        self, material: PocketMaterial, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Windows of the clips: amplified, mixed in pairs, masked."""
        power, labels = self._windows(material, indices, random)
        if self.recipe.mixup:
            power, labels = mixup(power, labels, random, self.recipe.mixup)
        features = material.front_end.compress(power)
        widest = (1, self.recipe.widest_mels), (2, self.recipe.widest_frames)
        for axis, width in widest:
            if width:
                features = mask_bands(features, random, axis=axis, widest=width, n_masks=2)
        return features, labels

    def _windows(
        self, material: PocketMaterial, indices: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        n_frames = material.front_end.n_frames(WINDOW_SAMPLES)
        starts = np.array([random.choice(material.starts[index]) for index in indices])
        rows = to_device(indices, material.power)
        power = cut(material.power, rows, to_device(starts, material.power), n_frames)
        gains = draw_gains(random, len(indices), -self.recipe.gain_db, self.recipe.gain_db)
        power = power * to_device(gains**2, power)[:, None, None]
        places = np.rint(starts / material.label_hop).astype(int)
        places = np.minimum(places, material.labels.shape[1] - 1)
        return power, material.labels[rows, to_device(places, power)]


def loud_starts(power: Tensor, n_frames: int) -> list[np.ndarray]:
    """For each clip the frames at which a window begins that holds some of its sound.

    Args:
        power: ``(clips, mels, frames)``; many clips of ESC-50 end in digital silence.
        n_frames: Of a window.
    """
    loudness = power.sum(dim=1)
    if loudness.shape[1] < n_frames:
        loudness = F.pad(loudness, (0, n_frames - loudness.shape[1]))
    loudest = F.max_pool1d(loudness[:, None], n_frames, stride=1)[:, 0]
    audible = (loudest >= QUIET * loudest.amax(dim=1, keepdim=True)).cpu().numpy()
    return [np.flatnonzero(row) for row in audible]


def _conv(n_inputs: int, n_outputs: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return [conv, nn.BatchNorm2d(n_outputs), nn.ReLU(inplace=True)]


SYSTEM = Pocket

if __name__ == "__main__":
    from train.command import main

    sys.exit(main("pocket"))
