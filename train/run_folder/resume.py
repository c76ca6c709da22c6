"""Resuming a run: with its own options and on the same clips, or not at all."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from streamclf.core.errors import UsageError
from train.base.errors import RunError
from train.datasets import ClipSet
from train.nets.contract import System
from train.run_folder.load_network import read_recipe
from train.run_folder.run import CONFIG, RunFolder
from train.run_folder.run_options import make_parser

MACHINE_OPTIONS = {
    "data", "download", "prepared", "save", "overwrite", "resume", "threads", "accelerator",
}  # fmt: skip
"""Options about places and the machine, which do not decide the result."""


def record_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options that decide the result, for ``config.json``."""
    return {
        name: str(value.resolve()) if isinstance(value, Path) else value
        for name, value in sorted(vars(options).items())
        if name not in MACHINE_OPTIONS
    }


def adopt_run_options(
    system_type: type[System], options: argparse.Namespace, run: RunFolder
) -> System:
    """Put a run's own options in place of those given, and load its recipe.

    Returns:
        The system with the run's recipe.

    Raises:
        UsageError: The run is of another network, or was begun with other options than those given.
        RunError: Its configuration is incomplete.
    """
    config = run.read_json(CONFIG)
    try:
        if config["network"] != system_type.name:
            raise UsageError(
                f"{run.path}: a run of {config['network']}, not of {system_type.name}; "
                f"python -m train.{config['network']} goes on with it"
            )
        adopt_options(system_type, options, recorded_options(config))
        return system_type(read_recipe(system_type, config))
    except (KeyError, TypeError) as error:
        raise RunError(f"{run.path / CONFIG}: lacks {error}; train anew") from error


def adopt_options(
    system_type: type[System], options: argparse.Namespace, recorded: dict[str, Any]
) -> None:
    """Put recorded options in place of those given.

    Raises:
        UsageError: Another value was given for one of them.
    """
    parser = make_parser(system_type)
    for name, value in recorded.items():
        if name in MACHINE_OPTIONS:  # older versions recorded these, too
            continue
        _take_over_option(parser, options, name, value)


def recorded_options(config: dict[str, Any]) -> dict[str, Any]:
    """The options that a run was begun with.

    The first runs have no record of them; what else their configuration tells is used instead.
    """
    if "options" in config:
        return config["options"]
    data = config["data"]
    return {
        "seed": config["seed"],
        "folds": data["folds"],
        "test_fold": data["test_fold"],
        "max_clips": data["max_clips"],
    }


def check_same_data(run: RunFolder, clips: ClipSet, options: argparse.Namespace) -> None:
    """Refuse other clips than those the run was begun with.

    Raises:
        UsageError: The clips differ.
    """
    data = run.read_json(CONFIG)["data"]
    if (data["name"], data["origin"]) != (clips.name, clips.origin):
        raise UsageError(
            f"--data: {options.data} holds other clips ({clips.name}) than the run was begun "
            f"with ({data['name']}); give the same data"
        )


def check_same_teacher(run: RunFolder, about: dict[str, Any]) -> None:
    """Refuse another teacher, or none, where the run was begun with one.

    Raises:
        UsageError: The teacher differs.
    """
    config = run.read_json(CONFIG)
    for name in ("through_noise", "teacher"):
        begun = config.get(name)
        if begun and about.get(name, {}).get("sha256") != begun["sha256"]:
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"--resume: the run has a teacher, give {option} ({begun['file']}) again"
            )


def _take_over_option(
    parser: argparse.ArgumentParser, options: argparse.Namespace, name: str, recorded: Any
) -> None:
    given = getattr(options, name, None)
    plain = str(given.resolve()) if isinstance(given, Path) else given
    if plain not in (recorded, parser.get_default(name)):
        option = "--" + name.replace("_", "-")
        raise UsageError(
            f"{option} is {given}, the run was begun with {recorded}: drop the option, or train "
            "anew into another folder"
        )
    is_path = recorded is not None and option_type(parser, name) is Path
    setattr(options, name, Path(recorded) if is_path else recorded)


def option_type(parser: argparse.ArgumentParser, name: str) -> Any:
    """The type that an option's text is converted to."""
    return next((action.type for action in parser._actions if action.dest == name), None)
