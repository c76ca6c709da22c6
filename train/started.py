"""Where `pocket` may start from: layers that learned to hear by imitation (`train.imitate`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from train.errors import RunError
from train.runs import CONFIG, RESULT, WEIGHTS, RunFolder

IMITATION = "imitation"
"""What such a run calls its network."""


def read_imitation(path: Path, widths: Sequence[int]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The layers of a run of `train.imitate`, and what ``config.json`` should say of it.

    Raises:
        RunError: It is no such run, has not ended, or is of another width.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    if config.get("network") != IMITATION:
        raise RunError(f"{path}: a run of {config.get('network')}, --start takes one of imitation; "
                       "python -m train.imitate makes it")  # fmt: skip
    if tuple(config["widths"]) != tuple(widths):
        raise RunError(f"{path}: its layers are {config['widths']} wide, the recipe's "
                       f"{list(widths)}; imitate anew")  # fmt: skip
    weights, _ = run.read_tensors(WEIGHTS)
    about = {key: config[key] for key in ("teacher", "steps", "seed", "test_fold", "sources")}
    return weights, about | run.read_json(RESULT)
