"""The network that learns from EfficientAT: wider pocket layers, with heads for its outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.base.recipe import Recipe
from train.distillation.heard import FRAMES_PER_STEP, N_HINTS, column_weights
from train.nets.efficientat import N_FEATURES, N_LABELS, EfficientAT
from train.nets.log_mel import LogMel
from train.nets.pocket_network import WINDOW_SAMPLES, PocketBody
from train.pocket_parts.mel_power import add_noise, colour, draw_noise, quieten

WIDE = (48, 96, 192, 256, 448, 512, 640)
"""Channels of the layers; `train.nets.pocket_network.WIDTHS` are the bundled model's."""

CROP_FRAMES = 160
"""Frames of the pupil's spectra in one crop (4 s)."""

HOP = 3
"""Steps of 0.1 s between its windows in there."""

NOISE_SHARE, SNR_DB = 0.6, (0.0, 30.0)
QUIET_SHARE, QUIET_DB = 0.6, 40.0
COLOUR_DB = 2.0

SCORES_WEIGHT = 0.3
SMALLEST_SPREAD = 0.01


class Pupil(nn.Module):
    """The layers with heads.

    Features are said behind the last level, hints behind the one before; labels by the teacher's
    own head, which learns on, from the features that the pupil says.

    Attributes:
        body: What is kept.
        head: What says labels of features.
    """

    def __init__(self, widths: Sequence[int] = WIDE) -> None:
        super().__init__()
        self.body = PocketBody(2, widths)
        *_, middle, last = self.body.level_channels
        self.features = nn.Linear(2 * last, N_FEATURES)
        self.hints = nn.Linear(2 * middle, N_HINTS)
        self.head = EfficientAT().classifier
        self.register_buffer("mean", torch.zeros(N_FEATURES + N_HINTS))
        self.register_buffer("spread", torch.ones(N_FEATURES + N_HINTS))
        self.n_frames = n_window_frames()
        with torch.no_grad():
            levels = self.body.eval().levels(torch.zeros(1, 64, self.n_frames))
        self.train()
        self.spans = [level.shape[2] for level in levels]

    def windows(self, spectra: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and maximum, ``(batch, windows, channels)`` each, of each level over each window."""
        pairs = []
        for level, span in zip(self.body.levels(spectra), self.spans, strict=True):
            frames = level.unfold(2, span, HOP)
            pairs.append((frames.mean(dim=3).transpose(1, 2), frames.amax(dim=3).transpose(1, 2)))
        n = min(mean.shape[1] for mean, _ in pairs)
        return [(mean[:, :n], highest[:, :n]) for mean, highest in pairs]

    def forward(self, spectra: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch * windows, 384 + 272 + 527)``.

        Scaled features and hints, logits.
        """
        *_, middle, last = [torch.cat(pair, dim=2).flatten(0, 1) for pair in self.windows(spectra)]
        features, hints = self.features(last), self.hints(middle)
        said = features * self.spread[:N_FEATURES] + self.mean[:N_FEATURES]
        return torch.cat([features, hints, self.head(said)], dim=1)

    def measure(self, said: Tensor) -> None:
        """Scale what is to be said by what a teacher said of windows: ``(windows, 384 + 272)``."""
        spread = said.std(dim=0)
        self.mean.copy_(said.mean(dim=0))
        self.spread.copy_(spread.clamp(min=SMALLEST_SPREAD))


def n_window_frames() -> int:
    """Frames of a window of 1.5 s."""
    return (WINDOW_SAMPLES - 640) // 400 + 1


def n_windows(n_frames: int) -> int:
    """Windows in so many frames."""
    return (n_frames - n_window_frames()) // FRAMES_PER_STEP // HOP + 1


class Schooling:
    """The system for `train.loop.learner.Learner`, and the batches cut from shards."""

    def __init__(self, recipe: Recipe, front_end: LogMel, noises: Tensor) -> None:
        self.recipe, self.front_end, self.noises = recipe, front_end, noises
        self._weights = column_weights(100)
        self.teacher_head: nn.Module | None = None

    def trainable(self, network: Pupil) -> Pupil:
        """All of it."""
        self.network = network
        return network

    def batch(
        self, shard: dict[str, Tensor], rows: np.ndarray, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Crops of some mixtures, quieter, coloured, under noise, and what was said of them.

        Args:
            shard: Of `train.distillation.heard.Heard`.
            rows: ``(batch,)``.
            random: The only source of chance.

        Returns:
            ``(batch, mels, CROP_FRAMES)``, and ``(batch * windows, 384 + 272)``.
        """
        n_steps = (shard["spectra"].shape[2] - CROP_FRAMES) // FRAMES_PER_STEP
        starts = random.integers(0, n_steps + 1, len(rows))
        spectra = torch.stack(
            [
                shard["spectra"][row, :, s * FRAMES_PER_STEP : s * FRAMES_PER_STEP + CROP_FRAMES]
                for row, s in zip(rows.tolist(), starts.tolist(), strict=True)
            ]
        ).float()
        power = torch.expm1(spectra) * self.front_end.floor
        power = colour(power, random, COLOUR_DB)
        noise = draw_noise(self.noises, len(power), CROP_FRAMES, random)
        power = add_noise(power, noise, random, NOISE_SHARE, SNR_DB)
        power = quieten(power, random, QUIET_SHARE, QUIET_DB)
        return self.front_end.compress(power), self.said(shard, rows, starts, CROP_FRAMES)

    def all_said(self, shard: dict[str, Tensor]) -> Tensor:
        """``(windows, 384 + 272)``: what was said of the middle of each mixture."""
        n_mixtures, _, n_frames = shard["spectra"].shape
        start = (n_frames - CROP_FRAMES) // FRAMES_PER_STEP // 2
        return self.said(shard, np.arange(n_mixtures), np.full(n_mixtures, start), CROP_FRAMES)

    def said(
        self, shard: dict[str, Tensor], rows: np.ndarray, starts: np.ndarray, n_frames: int
    ) -> Tensor:
        """``(batch * windows, 384 + 272)``: means over the columns of each window."""
        firsts = starts[:, None] + HOP * np.arange(n_windows(n_frames))
        weights = self._weights[torch.from_numpy(firsts)]
        places = torch.from_numpy(rows)
        columns = torch.cat([shard["features"][places], shard["hints"][places]], dim=2).float()
        return torch.einsum("bwc,bcn->bwn", weights, columns).flatten(0, 1)

    def errors(self, given: Tensor, said: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(windows,)`` each: errors of features and of hints, cross-entropy of labels."""
        network = self.network
        wanted = (said - network.mean) / network.spread
        error = (given[:, : wanted.shape[1]].float() - wanted).square()
        with torch.no_grad():
            scores = torch.sigmoid(self.teacher_head(said[:, :N_FEATURES]))
        logits = given[:, -N_LABELS:].float()
        entropy = F.binary_cross_entropy_with_logits(logits, scores, reduction="none").sum(dim=1)
        return error[:, :N_FEATURES].mean(dim=1), error[:, N_FEATURES:].mean(dim=1), entropy

    def loss(self, given: Tensor, said: Tensor) -> Tensor:
        """The mean over windows."""
        error, hinted, entropy = self.errors(given, said)
        return (error + hinted + SCORES_WEIGHT * entropy).mean()

    def metric_sum(self, given: Tensor, said: Tensor) -> Tensor:
        """The features' errors, summed."""
        return self.errors(given, said)[0].sum()
