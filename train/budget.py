"""How long a schedule may be: so many epochs, or so many minutes on this machine."""

from __future__ import annotations

import time

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from train.datasets.prepared import ClipSet
from train.learner import Learner
from train.recipe import Recipe
from train.system import System


def shorten(
    system: System,
    network: nn.Module,
    training: ClipSet,
    fabric: Fabric,
    *,
    epochs: int | None,
    minutes: float | None,
) -> Recipe:
    """The system's recipe over fewer epochs, its schedule with it.

    Args:
        system: Whose recipe it is.
        network: To try a few steps on; it is spoiled by them.
        training: The clips.
        fabric: The devices.
        epochs: So many, be it more than the full schedule has.
        minutes: As many epochs as fit into them, at most the full schedule.
    """
    recipe = system.recipe
    if epochs:
        return recipe.shortened(epochs)
    if minutes:
        step_s = time_step(system, network, training, fabric)
        epoch_s = step_s * max(1, round(len(training.clips) / recipe.batch_size))
        fitting = max(1, int(minutes * 60 / epoch_s))
        # One process measures, all go by it.
        return recipe.shortened(fabric.broadcast(min(fitting, recipe.epochs)))
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
