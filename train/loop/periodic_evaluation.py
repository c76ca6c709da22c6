"""Looks at clips that are not trained on: for the history, and to choose an epoch."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.datasets.prepared import ClipSet
from train.loop.budget import Budget
from train.nets.contract import System
from train.nets.inference import WindowLogits, hear_windows
from train.run_folder.checkpoint import Progress, keep_best
from train.run_folder.run import RunFolder

N_LOOKS = 12
"""How often, over a run, the held-out fold is looked at."""

N_CHOICES = 50
"""How often, over a run, the validation clips are asked whether this is the best epoch."""


class Looks:
    """How the averaged weights do on clips that are not trained on."""

    def __init__(
        self,
        system: System,
        network: nn.Module,
        average: dict[str, Tensor],
        validation: ClipSet | None,
        held_out: ClipSet | None,
        run: RunFolder,
        keep: int,
        budget: Budget | None = None,
    ) -> None:
        self.system, self.network, self.average = system, network, average
        self.validation, self.held_out, self.run, self.keep = validation, held_out, run, keep
        self.budget = budget

    def look(self, progress: Progress, n_epochs: int) -> dict[str, float]:
        """What the history should say of this epoch; keeps the weights if they are among the best.

        The network's own weights are put back.
        """
        epoch, last = len(progress.epochs), len(progress.epochs) == n_epochs
        choosing = self.validation and (last or epoch % max(1, round(n_epochs / N_CHOICES)) == 0)
        # At the end the held-out fold is judged anyway.
        looking = self.held_out and not last and epoch % max(1, round(n_epochs / N_LOOKS)) == 0
        if self.budget and looking:
            looking = self.budget.allows_look()
        if not choosing and not looking:
            return {}
        trainee = self.system.trainee(self.network)
        own = {name: value.clone() for name, value in trainee.state_dict().items()}
        trainee.load_state_dict(self.average)
        row = {}
        if choosing:
            row |= self._hear(self.validation, "validation")
            score = row["validation_clips"] * (-1 if self.system.task == "regression" else 1)
            keep_best(self.run, self.network, progress, score, epoch, self.keep)
        if looking:
            began = time.monotonic()
            row |= self._hear(self.held_out, "held_out")
            if self.budget:
                self.budget.looks_s += time.monotonic() - began
        trainee.load_state_dict(own)
        trainee.train()
        return row

    def _hear(self, clips: ClipSet, name: str) -> dict[str, float]:
        system = self.system
        heard = hear_windows(self.network, clips, system.window_samples, fill=system.fill)
        row = {f"{name}_loss": window_loss(system, heard)}
        if heard.is_regression:
            return row | {f"{name}_clips": heard.clip_error()}
        return row | {
            f"{name}_clips": heard.clip_accuracy(), f"{name}_windows": heard.window_accuracy()
        }  # fmt: skip


def window_loss(system: System, heard: WindowLogits) -> float:
    """The loss of single windows against what their clips are; what training learns by."""
    said = torch.from_numpy(heard.logits).float()
    targets = torch.from_numpy(heard.targets)[torch.from_numpy(heard.clip)]
    if heard.is_regression:
        return float(system.loss(said, targets[:, None].float()))
    return float(F.cross_entropy(said, targets))
