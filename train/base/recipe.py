"""The recipe of a training as data, as it is written into a run's ``config.json``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any, Literal, Self

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The fields of every network's recipe; a network's own subclass adds its own fields.

    Attributes:
        epochs: Length of the schedule.
        plan: ``(epochs before it, length)`` of each length that the schedule was given, the first
            one's ``(0, length)``; empty where it had `epochs` from the beginning.
        batch_size: Clips of a step.
        optimiser: ``sgd`` is SGD with Nesterov ``momentum``; ``adam`` adds the weight decay to the
            gradient (L2), ``adamw`` subtracts it from the weights.
        learning_rate: The highest rate of the schedule.
        schedule: ``steps`` multiplies the rate by 0.1 at each of ``drops``; ``one-cycle`` rises and
            falls along cosines with its peak at ``warm_up``, ``one-cycle-linear`` along lines;
            ``cosine`` falls along a cosine; ``trapezoid`` rises, stays, and falls along a line from
            the first of ``drops``: until then its length may change without any other change.
        drops: Fractions of the schedule.
        warm_up: Fraction of the schedule; before it ``steps`` trains at a tenth of the rate and
            ``cosine`` and ``trapezoid`` rise linearly.
        clip_norm: Gradients are scaled down to this norm; 0 leaves them alone.
        ema: Decay per step of the averaged weights that are kept as the result; 0 keeps the
            last weights.
    """

    epochs: int
    batch_size: int
    optimiser: Literal["sgd", "adam", "adamw"]
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["steps", "one-cycle", "one-cycle-linear", "cosine", "trapezoid"]
    drops: tuple[float, ...] = ()
    warm_up: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0
    plan: tuple[tuple[int, int], ...] = ()

    def shortened(self, epochs: int) -> Self:
        """The same schedule over another number of epochs: drops and warm-up are fractions."""
        return replace(self, epochs=epochs, plan=())

    def replanned(self, behind: int, epochs: int) -> Self:
        """The same schedule with another length from here on.

        Args:
            behind: Epochs done.
            epochs: The new length of the whole schedule.
        """
        plan = self.plan or ((0, self.epochs),)
        return replace(self, epochs=epochs, plan=(*plan, (behind, epochs)))

    def progress_at(self, step: int, per_epoch: int) -> float:
        """The fraction of the schedule that is done at a step, continuous where the plan changes.

        Args:
            step: Steps done.
            per_epoch: Steps of an epoch.
        """
        if not self.plan:
            return step / (self.epochs * per_epoch)
        progress, epoch = 0.0, step / per_epoch
        for (behind, length), following in zip_longest(self.plan, self.plan[1:]):
            end = following[0] if following else length
            done = (min(epoch, end) - behind) / (length - behind)
            progress += (1 - progress) * max(0.0, done)
        return progress

    def rate_at(self, progress: float) -> float:
        """The learning rate at a fraction of the schedule, 0 to 1."""
        if self.schedule == "steps":
            if progress < self.warm_up:
                return self.learning_rate * 0.1
            return self.learning_rate * 0.1 ** sum(progress >= drop for drop in self.drops)
        if progress < self.warm_up:
            rise = progress / self.warm_up
            if self.schedule == "one-cycle":
                rise = 0.04 + 0.96 * (1 - math.cos(math.pi * rise)) / 2
            elif self.schedule == "one-cycle-linear":
                rise = 0.04 + 0.96 * rise
            return self.learning_rate * rise
        if self.schedule == "trapezoid":
            (begin,) = self.drops
            return self.learning_rate * min(1.0, max(1e-4, (1 - progress) / (1 - begin)))
        fall = (progress - self.warm_up) / max(1 - self.warm_up, 1e-9)
        left = 1 - fall
        if self.schedule != "one-cycle-linear":
            left = (1 + math.cos(math.pi * fall)) / 2
        return self.learning_rate * (1e-4 + (1 - 1e-4) * left)

    def optimiser_for(self, module: nn.Module) -> torch.optim.Optimizer:
        """Make the optimiser of a module's parameters."""
        if self.optimiser == "adamw":
            # Decay pulls parameters to zero, which is right for weights, not for gains or biases.
            weights = [p for p in module.parameters() if p.ndim > 1]
            others = [p for p in module.parameters() if p.ndim <= 1]
            groups = [
                {"params": weights, "weight_decay": self.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ]
            # On a GPU one kernel takes the step of all parameters; a CPU has no such need.
            fused = all(p.is_cuda for p in module.parameters()) or None
            return torch.optim.AdamW(groups, lr=self.learning_rate, fused=fused)
        if self.optimiser == "adam":
            return torch.optim.Adam(
                module.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
            )
        return torch.optim.SGD(
            module.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=True,
            weight_decay=self.weight_decay,
        )

    def as_json(self) -> dict[str, Any]:
        """The recipe as a dictionary for ``config.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """The recipe from its dictionary in ``config.json``."""
        return cls(**{name: _as_tuple(value) for name, value in fields.items()})


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
