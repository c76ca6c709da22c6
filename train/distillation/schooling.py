"""The batches that a pupil learns from, and its loss: what the teacher said of each window."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.audio.augment import cut
from train.base.recipe import Recipe
from train.distillation.heard import STEP_S, FrontEnd, column_weights, decode_spectra
from train.distillation.pupil import HOP, AnyPupil
from train.nets.efficientat import N_FEATURES, N_LABELS
from train.nets.pocket_network import SAMPLE_RATE, WINDOW_SAMPLES
from train.pocket_parts.mel_power import add_noise, colour, draw_noise, quieten

CROP_S = 4.0
NOISE_SHARE, SNR_DB = 0.6, (0.0, 30.0)
QUIET_SHARE, QUIET_DB = 0.6, 40.0
COLOUR_DB = 2.0

SCORES_WEIGHT = 0.3


class Crops:
    """Sizes of the pupil's crops and windows in frames of its front end.

    Attributes:
        per_step: Frames in a step of 0.1 s.
        n_frames: Frames of a crop.
        n_windows: Windows in a crop, `HOP` steps apart.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self.per_step = round(STEP_S * SAMPLE_RATE / front_end.hop_length)
        self.n_frames = round(CROP_S * SAMPLE_RATE / front_end.hop_length)
        room = self.n_frames - front_end.n_frames(WINDOW_SAMPLES)
        self.n_windows = room // self.per_step // HOP + 1


class Schooling:
    """The system for `train.loop.learner.Learner`, and the batches cut from shards.

    Attributes:
        recipe: Of the learning.
        front_end: The pupil's.
        noises: Made noises, as power.
        crops: Sizes.
        teacher_head: What says AudioSet's labels of the teacher's features.
        names_head: What says the names of a labelled set of them, where the pupil learns these.
        names_weight: Weight of these names in the loss.
    """

    def __init__(self, recipe: Recipe | None, front_end: FrontEnd, noises: Tensor) -> None:
        self.recipe, self.front_end, self.noises = recipe, front_end, noises
        self.crops = Crops(front_end)
        self._weights = column_weights(100)
        self.teacher_head: nn.Module | None = None
        self.names_head: nn.Module | None = None
        self.names_weight = 0.0

    def trainable(self, network: AnyPupil) -> AnyPupil:
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
            ``(batch, mels, frames)``, and ``(batch * windows, 384 or 384 + 272)``.
        """
        n_steps = (shard["spectra"].shape[2] - self.crops.n_frames) // self.crops.per_step
        starts = random.integers(0, n_steps + 1, len(rows))
        power = torch.expm1(self.cut(shard, rows, starts)) * self.front_end.floor
        power = colour(power, random, COLOUR_DB)
        noise = draw_noise(self.noises, len(power), self.crops.n_frames, random)
        power = add_noise(power, noise, random, NOISE_SHARE, SNR_DB)
        power = quieten(power, random, QUIET_SHARE, QUIET_DB)
        return self.front_end.compress(power), self.said(shard, rows, starts)

    def cut(self, shard: dict[str, Tensor], rows: np.ndarray, starts: np.ndarray) -> Tensor:
        """Crops of spectra, as the teacher heard them: ``(batch, mels, frames)``.

        Args:
            shard: Of `train.distillation.heard.Heard`.
            rows: ``(batch,)``.
            starts: ``(batch,)``, steps of 0.1 s.
        """
        begins = starts * self.crops.per_step
        return decode_spectra(cut(shard["spectra"], rows, begins, self.crops.n_frames))

    def middles(self, shard: dict[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """All rows, and the start of each one's middle crop."""
        n_mixtures, _, n_frames = shard["spectra"].shape
        start = (n_frames - self.crops.n_frames) // self.crops.per_step // 2
        return np.arange(n_mixtures), np.full(n_mixtures, start)

    def said(self, shard: dict[str, Tensor], rows: np.ndarray, starts: np.ndarray) -> Tensor:
        """``(batch * windows, 384 or 384 + 272)``: means over the columns of each window."""
        firsts = starts[:, None] + HOP * np.arange(self.crops.n_windows)
        device = shard["features"].device
        weights = self._weights[torch.from_numpy(firsts)].to(device, non_blocking=True)
        places = torch.from_numpy(rows).to(device, non_blocking=True)
        kept = [shard[name][places] for name in ("features", "hints") if name in shard]
        columns = torch.cat(kept, dim=2).float()
        return torch.einsum("bwc,bcn->bwn", weights, columns).flatten(0, 1)

    def errors(self, given: Tensor, said: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(windows,)`` each: errors of features and of hints, cross-entropy of labels.

        Where no hints are kept, their error is 0.
        """
        network = self.network
        wanted = (said - network.mean) / network.spread
        error = (given[:, : wanted.shape[1]].float() - wanted).square()
        with torch.no_grad():
            scores = torch.sigmoid(self.teacher_head(said[:, :N_FEATURES]))
        logits = given[:, -N_LABELS:].float()
        entropy = F.binary_cross_entropy_with_logits(logits, scores, reduction="none").sum(dim=1)
        hinted = error[:, N_FEATURES:].sum(dim=1) / max(1, error.shape[1] - N_FEATURES)
        return error[:, :N_FEATURES].mean(dim=1), hinted, entropy

    def loss(self, given: Tensor, said: Tensor) -> Tensor:
        """The mean over windows."""
        error, hinted, entropy = self.errors(given, said)
        total = (error + hinted + SCORES_WEIGHT * entropy).mean()
        if self.names_head is not None:
            total = total + self.names_weight * self.name_error(given, said)
        return total

    def name_error(self, given: Tensor, said: Tensor) -> Tensor:
        """Divergence of the names from those that the teacher's head gives: a mean."""
        with torch.no_grad():
            wanted = self.names_head(said[:, :N_FEATURES]).softmax(dim=1)
        names = given[:, N_FEATURES:-N_LABELS].float().log_softmax(dim=1)
        return F.kl_div(names, wanted, reduction="batchmean")

    def metric_sum(self, given: Tensor, said: Tensor) -> Tensor:
        """The features' errors, summed."""
        return self.errors(given, said)[0].sum()
