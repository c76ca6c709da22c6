"""The commands that reproduce a run and the runs it started from, for the model card.

The options are taken from the parser of the command itself. Every option of the parser that is not
in `IRRELEVANT_OPTIONS` is taken to decide the weights, so a new option cannot be forgotten.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.nets.contract import find_system
from train.run_folder.run_options import make_parser

IRRELEVANT_OPTIONS = frozenset(
    ["help", "data", "prepared", "save", "overwrite", "resume", "keep", "threads", "accelerator",
     "workers", "download", "cache"]
)  # fmt: skip
"""Options that do not decide the weights: where things lie, and on what machine the run was made.
Only the name of the data is recorded, never its path. Sums in another order (other threads,
another processor) differ in the last digits alone."""


def describe_command(
    script: str, parser: argparse.ArgumentParser, options: Mapping[str, Any]
) -> str:
    """Write a command line, without the place of the data.

    Args:
        script: Name of the command after ``python -m train.``.
        parser: The command's parser.
        options: Options by their names in Python.
    """
    words = [f"python -m train.{script}"]
    for action in parser._actions:
        if action.dest not in IRRELEVANT_OPTIONS:
            words += _describe_option(action, options)
    return " ".join(words)


def list_commands(config: Mapping[str, Any]) -> list[str]:
    """List all commands that led to a run of a network, the first one first.

    Args:
        config: The run's ``config.json``. It records the commands of the runs before it: of an
            imitation, of the run that its noise training started from, or of its first phase.
    """
    before = next(
        (config[name] for name in ("through_noise", "imitation", "first") if config.get(name)), {}
    )
    network = config["network"]
    parser = make_parser(find_system(network))
    own = describe_command(network, parser, effective_options(config))
    return [*before.get("commands", ()), own]


def effective_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run, with what its data and its budget decided in place of what was typed.

    The folds are named as they were used, since a complete data set may have more. A budget of
    minutes is replaced by the epochs that it allowed.
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


def describe_variant(config: Mapping[str, Any]) -> str:
    """Name a run's network with its own options, as in ``wavemxnet --depth 3``."""
    system_type = find_system(str(config["network"]))
    own = argparse.ArgumentParser(add_help=False)
    system_type.add_options(own)
    words = [system_type.name]
    for action in own._actions:
        if action.dest not in IRRELEVANT_OPTIONS:
            words += _describe_option(action, config.get("options", {}))
    return " ".join(words)


def _describe_option(action: argparse.Action, options: Mapping[str, Any]) -> list[str]:
    """An option and its value, even where it is the default: another version may have another."""
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
