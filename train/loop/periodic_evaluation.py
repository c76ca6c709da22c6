"""Evaluation during training on clips not trained on: for the history and the best epoch."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.datasets.prepared import ClipSet
from train.loop.budget import Budget
from train.nets.contract import System
from train.nets.inference import WindowLogits, run_windows
from train.run_folder.checkpoint import Progress, keep_best
from train.run_folder.run import RunFolder

N_VALIDATIONS = 50
"""Evaluations of the validation clips over a whole run, each of which may choose its epoch."""


class PeriodicEvaluation:
    """Evaluates the averaged weights on clips that are not trained on.

    Args:
        system: System of the network.
        network: The network; its trainable part gets the averaged weights during an evaluation.
        average: The averaged weights.
        validation: Clips that choose the epoch, if any.
        held_out: The test fold, if any.
        run: Run folder that keeps the weights of the best epochs.
        keep: How many epochs' weights to keep.
        budget: Limits the time of evaluations, if given.
    """

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

    def evaluate(self, progress: Progress, n_epochs: int) -> dict[str, float]:
        """Evaluate after an epoch where it is time to; keep the weights if they are among the best.

        The network's own weights are put back afterwards.

        Args:
            progress: Progress of the run, with the finished epoch as its last row.
            n_epochs: Length of the schedule.

        Returns:
            Columns for the history: loss and accuracy (or error) of the clips that were evaluated.
        """
        epoch, last = len(progress.epochs), len(progress.epochs) == n_epochs
        validating = self.validation and (
            last or epoch % max(1, round(n_epochs / N_VALIDATIONS)) == 0
        )
        # At the end the held-out fold is evaluated anyway.
        testing = (
            self.held_out
            and not last
            and epoch % max(1, round(n_epochs / self.system.n_evaluations)) == 0
        )
        if self.budget and testing:
            testing = self.budget.allows_evaluation()
        if not validating and not testing:
            return {}
        trainable = self.system.trainable(self.network)
        own = {name: value.clone() for name, value in trainable.state_dict().items()}
        trainable.load_state_dict(self.average)
        row = {}
        if validating:
            row |= self._measure(self.validation, "validation")
            score = row["validation_clips"] * (-1 if self.system.task == "regression" else 1)
            keep_best(self.run, self.network, progress, score, epoch, self.keep)
        if testing:
            began = time.monotonic()
            row |= self._measure(self.held_out, "held_out")
            if self.budget:
                self.budget.evaluations_s += time.monotonic() - began
        trainable.load_state_dict(own)
        trainable.train()
        return row

    def _measure(self, clips: ClipSet, name: str) -> dict[str, float]:
        system = self.system
        outputs = run_windows(self.network, clips, system.window_samples, fill=system.fill)
        row = {f"{name}_loss": window_loss(system, outputs)}
        if outputs.is_regression:
            return row | {f"{name}_clips": outputs.clip_error()}
        return row | {
            f"{name}_clips": outputs.clip_accuracy(), f"{name}_windows": outputs.window_accuracy()
        }  # fmt: skip


def window_loss(system: System, outputs: WindowLogits) -> float:
    """The training loss of single windows, each with its clip's label."""
    logits = torch.from_numpy(outputs.logits).float()
    targets = torch.from_numpy(outputs.targets)[torch.from_numpy(outputs.clip)]
    if outputs.is_regression:
        return float(system.loss(logits, targets[:, None].float()))
    return float(F.cross_entropy(logits, targets))
