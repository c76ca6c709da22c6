"""The length of a schedule: a number of epochs, or a number of minutes on this machine.

Minutes are turned into epochs before the first step, from the time of a few steps, and again as the
run goes on: the machine may have other work, and evaluations of the held-out fold take time. A
schedule that gets another length continues from where it stands and reaches its end with the last
epoch. The lengths are recorded in the recipe (`Recipe.plan`), so that the run can be reproduced
without a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.evaluation.clip_accuracy import evaluate_network
from train.loop.learner import Learner
from train.nets.contract import System

if TYPE_CHECKING:
    from lightning_fabric import Fabric

EVALUATION_SHARE = 0.1
"""Part of the time that evaluations of the held-out fold may take; they serve the curves alone."""

REPLAN_SHARE = 0.05
"""Part of the budget between two replannings, and part of the epochs left that a change must
reach."""

N_TIMED_CLIPS = 8
"""Held-out clips that are timed to estimate how long the evaluation of all of them takes."""


@dataclass
class Budget:
    """The minutes that a run may take, from the opened data to the result.

    Attributes:
        seconds: The whole budget.
        judging_s: Time that the evaluation of the held-out fold takes at the end.
        full_epochs: Length of the full schedule, which is never exceeded.
        began: Start of this session, by the clock.
        before_s: Time that earlier sessions took.
        evaluations_s: Time that evaluations of the held-out fold took so far.
        replanned_s: Elapsed time at the last replanning.
        marks: ``(epochs done, seconds elapsed)`` at this session's start and each epoch's end.
        clock: Returns seconds since any fixed moment.
    """

    seconds: float
    judging_s: float
    full_epochs: int
    began: float
    before_s: float = 0.0
    evaluations_s: float = 0.0
    replanned_s: float = 0.0
    marks: list[tuple[int, float]] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has taken so far, in all its sessions."""
        return self.before_s + self.clock() - self.began

    def allows_evaluation(self) -> bool:
        """Whether there is time for another evaluation of the held-out fold."""
        return self.evaluations_s + self.judging_s <= EVALUATION_SHARE * self.elapsed_s

    def fitting_epochs(self, epoch_s: float) -> int:
        """How many epochs of ``epoch_s`` seconds fit into what is left; at least one."""
        left = self.seconds - self.judging_s - self.elapsed_s
        return max(1, int(left / max(epoch_s, 1e-9)))

    def start(self, epoch: int, before_s: float) -> None:
        """Begin to count the time of epochs.

        Args:
            epoch: Epochs that earlier sessions finished.
            before_s: Seconds that earlier sessions took.
        """
        self.before_s = before_s
        self.marks = [(epoch, self.elapsed_s)]

    def replan(self, recipe: Recipe, epoch: int) -> Recipe:
        """Choose the length that fits, by the pace of the epochs so far.

        Args:
            recipe: The recipe as it is.
            epoch: Epochs done; not the last one.

        Returns:
            The recipe with the new length, or unchanged where the difference is small.
        """
        self.marks.append((epoch, self.elapsed_s))
        if self.elapsed_s - self.replanned_s < REPLAN_SHARE * self.seconds:
            return recipe
        if recipe.plan and epoch <= recipe.plan[-1][0]:  # a resumed run has a later plan already
            return recipe
        self.replanned_s = self.elapsed_s
        # The pace of the later half of the epochs: it shows the present load, not one epoch alone.
        earlier, then = self.marks[(len(self.marks) - 1) // 2]
        pace = (self.elapsed_s - then) / (epoch - earlier)
        length = min(epoch + self.fitting_epochs(pace), self.full_epochs)
        if abs(length - recipe.epochs) < max(1, REPLAN_SHARE * (recipe.epochs - epoch)):
            return recipe
        return recipe.replanned(epoch, length)


def make_budget(
    system: System,
    network: nn.Module,
    held_out: ClipSet | None,
    *,
    minutes: float,
    full_epochs: int,
    began: float,
) -> Budget:
    """Make a budget; a few clips are evaluated to estimate the time of the final evaluation.

    Args:
        system: System of the network.
        network: Any state of it.
        held_out: The fold that is evaluated at the end, if there is one.
        minutes: The whole budget.
        full_epochs: Length of the full schedule.
        began: Start of this session, by the monotonic clock.
    """
    judging_s = 0.0
    if held_out is not None:
        some = held_out.limited(N_TIMED_CLIPS)
        before = time.monotonic()
        evaluate_network(system, network.eval(), some)
        judging_s = (time.monotonic() - before) * len(held_out.clips) / len(some.clips)
    return Budget(minutes * 60, judging_s, full_epochs, began)


def fit_schedule(
    system: System,
    network: nn.Module,
    training: ClipSet,
    fabric: Fabric,
    *,
    epochs: int | None,
    replan: list[tuple[int, int]] | None = None,
    budget: Budget | None = None,
) -> Recipe:
    """Shorten the system's recipe to a number of epochs or to a budget, its whole schedule with it.

    Args:
        system: System that has the recipe.
        network: Network to time a few steps on, which changes its weights.
        training: The training clips.
        fabric: The devices.
        epochs: Number of epochs, even where that is more than the full schedule has.
        replan: ``(epochs before it, length)`` of each later change of the length.
        budget: Time to fill with epochs, at most with the full schedule.
    """
    recipe = system.recipe
    if epochs:
        recipe = recipe.shortened(epochs)
        for behind, length in replan or []:
            recipe = recipe.replanned(behind, length)
        return recipe
    if budget:
        step_s = time_step(system, network, training, fabric)
        epoch_s = step_s * max(1, round(len(training.clips) / recipe.batch_size))
        # One process measures; all use its result.
        fitting_epochs = fabric.broadcast(min(budget.fitting_epochs(epoch_s), recipe.epochs))
        return recipe.shortened(fitting_epochs)
    return recipe


def time_step(system: System, network: nn.Module, training: ClipSet, fabric: Fabric) -> float:
    """Median seconds of a training step, measured on a network that is thrown away afterwards."""
    learner = Learner(system, network, fabric)
    training_data = system.training_data(network, training, fabric.device)
    random = np.random.default_rng(0)
    n_batch = min(system.recipe.batch_size, len(training.clips))
    seconds = []
    for step in range(8):
        began = time.perf_counter()
        inputs, labels = system.batch(training_data, np.arange(n_batch), random)
        learner.learn(inputs, labels, system.recipe.learning_rate, step).tolist()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[2:]))
