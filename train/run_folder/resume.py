"""Going on with a run: by its own options, on the same clips, or not at all."""

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

OF_THE_MACHINE = {
    "data", "download", "prepared", "save", "overwrite", "resume", "threads", "accelerator",
}  # fmt: skip
"""Options that say where, not what."""


def record_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options that decide what comes out, for ``config.json``."""
    return {
        name: str(value.resolve()) if isinstance(value, Path) else value
        for name, value in sorted(vars(options).items())
        if name not in OF_THE_MACHINE
    }


def take_over(system_type: type[System], options: argparse.Namespace, run: RunFolder) -> System:
    """Resume by the run's own options and recipe.

    Returns:
        The system with its recipe.

    Raises:
        UsageError: The run is of another network, or was begun with other options than given.
        RunError: Its configuration lacks something.
    """
    config = run.read_json(CONFIG)
    try:
        if config["network"] != system_type.name:
            raise UsageError(
                f"{run.path}: a run of {config['network']}, not of {system_type.name}; "
                f"python -m train.{config['network']} goes on with it"
            )
        take_over_options(system_type, options, recorded_options(config))
        return system_type(read_recipe(system_type, config))
    except (KeyError, TypeError) as error:
        raise RunError(f"{run.path / CONFIG}: lacks {error}; train anew") from error


def take_over_options(
    system_type: type[System], options: argparse.Namespace, recorded: dict[str, Any]
) -> None:
    """Put the recorded options in place of those given.

    Raises:
        UsageError: Another value was given for one of them.
    """
    parser = make_parser(system_type)
    for name, value in recorded.items():
        if name in OF_THE_MACHINE:  # recorded once, by older versions
            continue
        _take_over_option(parser, options, name, value)


def recorded_options(config: dict[str, Any]) -> dict[str, Any]:
    """The options a run was begun with; of the first runs what else their configuration tells."""
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
    """Refuse other clips than the run was begun with.

    Raises:
        UsageError: They are.
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
        UsageError: It is.
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
    """What an option's text is turned into."""
    return next((action.type for action in parser._actions if action.dest == name), None)
