"""How to make a run again: its command and those of the runs it went on from, for the card.

Options are taken from the parser of the command itself: whatever it takes and what is not in
`NOT_DECIDING` decides of the weights, so that a new option cannot be forgotten.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.nets.contract import find_system
from train.run_folder.run_options import make_parser

NOT_DECIDING = frozenset(
    ["help", "data", "prepared", "save", "overwrite", "resume", "keep", "threads", "accelerator",
     "workers", "download"]
)  # fmt: skip
"""Options that say where and by what, not what. Of data only the name is told, never where it lay;
sums in another order (threads, another processor) differ in their last digits."""


def describe_command(
    script: str, parser: argparse.ArgumentParser, options: Mapping[str, Any]
) -> str:
    """What to type, but for where the data lies.

    Args:
        script: Behind ``python -m train.``.
        parser: Its options.
        options: By their names in Python.
    """
    words = [f"python -m train.{script}"]
    for action in parser._actions:
        if action.dest not in NOT_DECIDING:
            words += _describe_option(action, options)
    return " ".join(words)


def list_commands(config: Mapping[str, Any]) -> list[str]:
    """All commands that led to a run of a network, the first one first.

    Args:
        config: Its ``config.json``, which holds the commands of the runs before it: of imitation,
            of the run that it goes on from through noise, or of its first phase.
    """
    before = next(
        (config[name] for name in ("through_noise", "imitation", "first") if config.get(name)), {}
    )
    network = config["network"]
    parser = make_parser(find_system(network))
    own = describe_command(network, parser, decided_options(config))
    return [*before.get("commands", ()), own]


def decided_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's options with what was decided by its data and its time instead of by them.

    The folds are told as they were, since a whole data set has more; epochs that were run stand
    for a budget of minutes.
    """
    options = dict(config.get("options", {}))
    data, recipe = config.get("data", {}), config.get("recipe", {})
    if data.get("folds"):
        options |= {"folds": data["folds"], "test_fold": data.get("test_fold", 0)}
    if options.get("dataset") == "auto" and data.get("name") == "esc10":
        options["esc10"] = True
    if options.get("devices") == 1:
        del options["devices"]
    if options.pop("budget_minutes", None):
        plan = recipe.get("plan") or [[0, recipe["epochs"]]]
        options["epochs"] = plan[0][1]
        options["replan"] = [tuple(change) for change in plan[1:]]
    return options


def describe_form(config: Mapping[str, Any]) -> str:
    """A run's network with its own options, to tell its forms apart: ``wavemxnet --depth 3``."""
    system_type = find_system(str(config["network"]))
    own = argparse.ArgumentParser(add_help=False)
    system_type.add_options(own)
    words = [system_type.name]
    for action in own._actions:
        if action.dest not in NOT_DECIDING:
            words += _describe_option(action, config.get("options", {}))
    return " ".join(words)


def _describe_option(action: argparse.Action, options: Mapping[str, Any]) -> list[str]:
    """An option and its value, the default too: another version may have another."""
    value = options.get(action.dest)
    if value is None or value is False or value == [] or value == "auto":
        return []
    if value is True:
        return [action.option_strings[0]]
    return [action.option_strings[0], _describe_value(value)]


def _describe_value(value: Any) -> str:
    if isinstance(value, list) and isinstance(value[0], Path):
        return " ".join(map(_describe_value, value))
    if isinstance(value, list) and isinstance(value[0], list | tuple):
        return ",".join(f"{behind}:{length}" for behind, length in value)
    if isinstance(value, list):
        return shlex.quote(",".join(map(str, value)))
    if isinstance(value, float):
        return repr(value)
    return shlex.quote(Path(str(value)).name)
