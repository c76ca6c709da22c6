"""Loading a finished run as a network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from train.base.errors import RunError
from train.base.recipe import Recipe
from train.nets.contract import System, find_system
from train.nets.inference import WindowLogits
from train.run_folder.run import CONFIG, WEIGHTS, RunFolder


def load_network(run: RunFolder, config: dict[str, Any]) -> tuple[System, nn.Module]:
    """Load a run's system, and its network with the trained weights, on the CPU in evaluation mode.

    Raises:
        RunError: The network is unknown, its training has not ended, or the weights belong to
            another network.
    """
    system_type = find_system(str(config.get("network")))
    if not (run.path / WEIGHTS).exists():
        raise RunError(
            f"{run.path}: has no {WEIGHTS}, its training has not ended; "
            f"--resume --save {run.path} goes on with it"
        )
    try:
        system = system_type(read_recipe(system_type, config))
        network = system.build(len(config["labels"]))
        network.load_state_dict(run.read_tensors(WEIGHTS)[0])
    except (RuntimeError, KeyError, TypeError) as error:
        raise RunError(
            f"{run.path}: weights and config.json don't fit together: {error}; train anew"
        ) from error
    return system, network.eval()


def open_held_out(path: Path) -> tuple[RunFolder, dict[str, Any], WindowLogits]:
    """Open a run that held out clips of classes.

    Returns:
        The folder, its ``config.json``, and the network's outputs for the held-out clips.

    Raises:
        RunError: The run cannot be read, or held no such clips out.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    outputs = None if "cross_validation" in config else run.read_held_out()
    if outputs is None or outputs.is_regression:
        raise RunError(f"{path}: held no clips of classes out; name a run that did")
    return run, config, outputs


def read_recipe(system_type: type[System], config: dict[str, Any]) -> Recipe:
    """Read a run's recipe.

    A field that an older run lacks gets its default, which is what that run did.

    Raises:
        RunError: It has a field that this network's recipe lacks, or lacks one that every recipe
            has.
    """
    known = {field.name: field for field in dataclasses.fields(system_type.recipe_type)}
    foreign = sorted(set(config["recipe"]) - set(known))
    if foreign:
        raise RunError(
            f"config.json: {system_type.name} has no {', '.join(foreign)} in its recipe; the run "
            "is of another network or version: train anew"
        )
    needed = {name for name, field in known.items() if field.default is dataclasses.MISSING}
    if missing := sorted(needed - set(config["recipe"])):
        raise RunError(f"config.json: its recipe has no {', '.join(missing)}; train anew")
    return system_type.recipe_type.from_json(config["recipe"])
