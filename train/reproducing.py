"""How to make a run again: its command and those of the runs it went on from, for the card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MADE_BY = (
    "esc10", "folds", "test_fold", "validation_fold", "validation_part", "epochs",
    "budget_minutes", "max_clips", "seed", "leave_out", "speech_music", "others", "start",
    "teacher", "steps", "batch", "last_layer", "through_noise", "precision",
)  # fmt: skip
"""Options that decide of the weights. Of data only the name is told, never where it lay."""


def describe_command(script: str, options: Mapping[str, Any]) -> str:
    """What to type, but for where the data lies.

    Args:
        script: Behind ``python -m train.``.
        options: By their names in Python.
    """
    words = [f"python -m train.{script}"]
    for name, value in options.items():
        if name not in MADE_BY or value in (None, False, "auto") or value == []:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(_describe_value(value))
    return " ".join(words)


def list_commands(config: Mapping[str, Any]) -> list[str]:
    """All commands that led to a run of a network, the first one first.

    Args:
        config: Its ``config.json``, which holds the commands of the runs before it: of imitation,
            or of the run that it goes on from through noise.
    """
    before = config.get("through_noise") or config.get("imitation") or {}
    own = describe_command(config["network"], config.get("options", {}))
    return [*before.get("commands", ()), own]


def _describe_value(value: Any) -> str:
    if isinstance(value, list):
        between = " " if any(isinstance(part, Path) for part in value) else ","
        return between.join(map(_describe_value, value))
    return Path(str(value)).name
