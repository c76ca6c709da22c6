"""Weights from earlier runs as a start for `pocket`: of imitation, or of `train.pocket` itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from train.base.errors import RunError
from train.datasets import ClipSet
from train.nets.pocket_network import PocketBody
from train.run_folder.checkpoint import LAST
from train.run_folder.reproduce import list_commands
from train.run_folder.run import CONFIG, RESULT, WEIGHTS, RunFolder

IMITATION = "imitation"
"""The network's name in a run of `train.imitate`."""

POCKET = "pocket"


def read_imitation(
    path: str | Path, widths: Sequence[int]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the layers of a run of `train.imitate`.

    Returns:
        The layers' parameters, and an entry for ``config.json``.

    Raises:
        RunError: It is no such run, has not ended, or is of another width.
    """
    run, about = _open(Path(path), widths)
    weights, _ = run.read_tensors(WEIGHTS)
    for name, value in PocketBody(1, widths).state_dict().items():
        fits = name in weights and weights[name].shape == value.shape
        if not fits and not name.startswith("output."):
            raise RunError(f"{path}: its layers are {list(widths)} wide by its {CONFIG}, not by "
                           f"its {WEIGHTS} ({name}); imitate anew")  # fmt: skip
    return weights, about


def read_layers_kind(path: Path) -> str:
    """Which layers a run has, as `PocketRecipe.layers` says.

    Raises:
        RunError: There is no run.
    """
    config = RunFolder.open(path).read_json(CONFIG)
    return str(config.get("recipe", {}).get("layers") or config.get("layers", POCKET))


def read_widths(path: str | Path) -> tuple[int, ...]:
    """How wide the layers of a run of imitation are; nothing of another run.

    Raises:
        RunError: There is no run.
    """
    config = RunFolder.open(Path(path)).read_json(CONFIG)
    return tuple(config.get("widths", ())) if config.get("network") == IMITATION else ()


def read_imitator(path: Path, like: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the layers and the imitating heads of a run, for a run that continues its learning.

    Args:
        path: The run to start from.
        like: ``config.json`` of the new run. Teacher, sources and test fold must be the same, or
            the old run's mixtures may hold clips that the new one is evaluated on. The seed must
            differ, or the new mixtures are those that were learned from already.

    Returns:
        The averaged weights, and what is known of the old run.

    Raises:
        RunError: As for `read_imitation`, or the two runs do not go together.
    """
    run, about = _open(path, like["widths"])
    for name in ("teacher", "sources", "test_fold"):
        if about[name] != like[name]:
            raise RunError(
                f"{path}: has another {name}, {shorten_text(about[name])}, not "
                f"{shorten_text(like[name])}; start from a run with the same options"
            )
    if like["seed"] in (about["seed"], *about.get("earlier_seeds", ())):
        raise RunError(f"{path}: has heard the mixtures of --seed {like['seed']}; give another")
    tensors, _ = run.read_tensors(LAST)
    part = "average/"
    return {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}, about


def read_pocket_run(
    path: Path, clips: ClipSet, widths: Sequence[int], like: nn.Module
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the body of a finished run of `train.pocket`.

    Args:
        path: The run.
        clips: The clips to train on; classes and folds must be those of that run.
        widths: Widths of the recipe.
        like: A body of the same recipe.

    Returns:
        The body's parameters, and entries for ``config.json``.

    Raises:
        RunError: It is no such run, has not ended, or differs where it must not.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    if config.get("network") != POCKET:
        raise RunError(f"{path}: a run of {config.get('network')}, --through-noise takes one of "
                       f"{POCKET}; python -m train.{POCKET} makes it")  # fmt: skip
    now = {"labels": list(clips.labels), "folds": list(clips.folds), "widths": list(widths)}
    there = {**config, "folds": config["data"]["folds"], "widths": config["recipe"]["widths"]}
    for name, value in now.items():
        if list(there[name]) != value:
            raise RunError(f"{path}: has other {name}, {shorten_text(there[name])}, not "
                           f"{shorten_text(value)}; go on with the same ones")  # fmt: skip
    weights, _ = run.read_tensors(WEIGHTS)
    part = "body."
    body = {k.removeprefix(part): v for k, v in weights.items() if k.startswith(part)}
    for name, value in like.state_dict().items():
        if name not in body or body[name].shape != value.shape:
            there = tuple(body[name].shape) if name in body else "missing"
            raise RunError(f"{path}: of another version of {POCKET}, its {name} is {there}, not "
                           f"{tuple(value.shape)}; train it anew")  # fmt: skip
    kept = ("imitation", "layers_of", "last_layer_alone", "teacher")
    about = {name: config[name] for name in kept if name in config}  # fmt: skip
    digest = hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest()
    before = {"file": path.name, "sha256": digest, "epochs": config["recipe"]["epochs"],
              "commands": list_commands(config)}  # fmt: skip
    return body, about | {"through_noise": before}


def shorten_text(value: Any) -> str:
    """Shorten a value for a message of one line."""
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "..."


def _open(path: Path, widths: Sequence[int]) -> tuple[RunFolder, dict[str, Any]]:
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    if config.get("network") != IMITATION:
        raise RunError(f"{path}: a run of {config.get('network')}, --start takes one of imitation, "
                       "or a model file: python -m export makes it of a run of pocket")  # fmt: skip
    if config.get("layers", POCKET) != POCKET:
        raise RunError(f"{path}: its layers are the {config['layers']}'s, --start takes those of "
                       f"{POCKET}: train.distil --layers {POCKET} makes them")  # fmt: skip
    if tuple(config["widths"]) != tuple(widths):
        raise RunError(f"{path}: its layers are {config['widths']} wide, the recipe's "
                       f"{list(widths)}; imitate anew")  # fmt: skip
    return run, describe_imitation(config) | run.read_json(RESULT)


def describe_imitation(config: dict[str, Any]) -> dict[str, Any]:
    """What a run that begins with another's layers keeps of that one's ``config.json``."""
    about = {key: config[key] for key in ("teacher", "steps", "seed", "test_fold", "sources")}
    about["sources"] = list_sources(config)
    known = ("earlier_seeds", "commands", "layers_of", "quieter", "named")
    return about | {key: config[key] for key in known if key in config}


def list_sources(config: dict[str, Any]) -> list[dict[str, Any]]:
    """What a run of imitation, and the runs that it began with, have heard; each set once."""
    heard = [*config.get("start", {}).get("sources", ()), *config["sources"]]
    return [own for k, own in enumerate(heard) if own not in heard[:k]]
