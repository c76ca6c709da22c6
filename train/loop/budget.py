"""How long a schedule may be: so many epochs, or so many minutes on this machine.

Minutes are reckoned before the first step from a few steps, and anew as the run goes on: a machine
has other work, too, and looks at the held-out fold take their time. A schedule that gets another
length goes on from where it stands and comes to its end with the last epoch; what it became is in
the recipe (`Recipe.plan`), so that the run can be made again without a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from train.base.recipe import Recipe
from train.datasets.prepared import ClipSet
from train.judging.clip_accuracy import judge
from train.loop.learner import Learner
from train.nets.contract import System

LOOKS_SHARE = 0.1
"""Part of the time that looks at the held-out fold may take, which are for the curves alone."""

RECKONED_EVERY = 0.05
"""Part of the budget between two reckonings, and of the epochs left that a change is worth."""

N_JUDGED = 8
"""Held-out clips that say how long judging all of them takes."""


@dataclass
class Budget:
    """The minutes that a run is to take, from its opened data to its result.

    Attributes:
        seconds: In all.
        judging_s: What judging the held-out fold takes at the end.
        full_epochs: Of the full schedule, which is never exceeded.
        began: When this session did, by the clock.
        before_s: What earlier sessions took.
        looks_s: What looks at the held-out fold took.
        reckoned_s: What had elapsed when it was last reckoned.
        marks: ``(epochs done, seconds elapsed)`` at this session's start and each epoch's end.
        clock: Seconds since any moment.
    """

    seconds: float
    judging_s: float
    full_epochs: int
    began: float
    before_s: float = 0.0
    looks_s: float = 0.0
    reckoned_s: float = 0.0
    marks: list[tuple[int, float]] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic

    @property
    def elapsed_s(self) -> float:
        """What the run has taken so far."""
        return self.before_s + self.clock() - self.began

    def allows_look(self) -> bool:
        """Whether there is time for another look at the held-out fold."""
        return self.looks_s + self.judging_s <= LOOKS_SHARE * self.elapsed_s

    def fitting(self, epoch_s: float) -> int:
        """How many epochs of so many seconds fit into what is left; at least one."""
        left = self.seconds - self.judging_s - self.elapsed_s
        return max(1, int(left / max(epoch_s, 1e-9)))

    def start(self, epoch: int, before_s: float) -> None:
        """Begin to count the time of epochs, behind so many of them and so many seconds."""
        self.before_s = before_s
        self.marks = [(epoch, self.elapsed_s)]

    def reckon(self, recipe: Recipe, epoch: int) -> Recipe:
        """The recipe with the length that fits, as the epochs so far went.

        Args:
            recipe: As it is.
            epoch: Epochs done; not the last one.
        """
        self.marks.append((epoch, self.elapsed_s))
        if self.elapsed_s - self.reckoned_s < RECKONED_EVERY * self.seconds:
            return recipe
        if recipe.plan and epoch <= recipe.plan[-1][0]:  # a resumed run has planned further
            return recipe
        self.reckoned_s = self.elapsed_s
        # The later half of the epochs: what the machine does now counts, but not one epoch alone.
        earlier, then = self.marks[(len(self.marks) - 1) // 2]
        pace = (self.elapsed_s - then) / (epoch - earlier)
        length = min(epoch + self.fitting(pace), self.full_epochs)
        if abs(length - recipe.epochs) < max(1, RECKONED_EVERY * (recipe.epochs - epoch)):
            return recipe
        return recipe.planned_anew(epoch, length)


def make_budget(
    system: System,
    network: nn.Module,
    held_out: ClipSet | None,
    *,
    minutes: float,
    full_epochs: int,
    began: float,
) -> Budget:
    """A budget that knows how long judging takes; it is tried on a few clips."""
    judging_s = 0.0
    if held_out is not None:
        some = held_out.limited(N_JUDGED)
        before = time.monotonic()
        judge(system, network.eval(), some)
        judging_s = (time.monotonic() - before) * len(held_out.clips) / len(some.clips)
    return Budget(minutes * 60, judging_s, full_epochs, began)


def shorten(
    system: System,
    network: nn.Module,
    training: ClipSet,
    fabric: Fabric,
    *,
    epochs: int | None,
    replan: list[tuple[int, int]] | None = None,
    budget: Budget | None = None,
) -> Recipe:
    """The system's recipe over fewer epochs, its schedule with it.

    Args:
        system: Whose recipe it is.
        network: To try a few steps on; it is spoiled by them.
        training: The clips.
        fabric: The devices.
        epochs: So many, be it more than the full schedule has.
        replan: ``(epochs behind it, length)``: where it is given another length.
        budget: As many epochs as fit into it, at most the full schedule.
    """
    recipe = system.recipe
    if epochs:
        recipe = recipe.shortened(epochs)
        for behind, length in replan or []:
            recipe = recipe.planned_anew(behind, length)
        return recipe
    if budget:
        step_s = time_step(system, network, training, fabric)
        epoch_s = step_s * max(1, round(len(training.clips) / recipe.batch_size))
        # One process measures, all go by it.
        fitting = fabric.broadcast(min(budget.fitting(epoch_s), recipe.epochs))
        return recipe.shortened(fitting)
    return recipe


def time_step(system: System, network: nn.Module, training: ClipSet, fabric: Fabric) -> float:
    """Seconds of one training step, tried on a network that is thrown away afterwards."""
    learner = Learner(system, network, fabric)
    material = system.material(network, training, fabric.device)
    random = np.random.default_rng(0)
    n_batch = min(system.recipe.batch_size, len(training.clips))
    seconds = []
    for step in range(8):
        began = time.perf_counter()
        inputs, labels = system.batch(material, np.arange(n_batch), random)
        learner.learn(inputs, labels, system.recipe.learning_rate, step).tolist()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[2:]))
