"""The state of a run in one file, so that it can go on as if nothing had happened.

What a step draws at random follows from the run's seed and the step's number (`train.fit`), so
weights, their average, the optimiser's state and the history are all there is to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from train.errors import RunError
from train.runs import RunFolder

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: Steps made.
        epochs: Finished epochs, a row each.
        sums: Of the epoch that is running: loss, right answers, clips, seconds.
    """

    step: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])


def save_checkpoint(
    run: RunFolder,
    trainee: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    progress: Progress,
) -> None:
    """Write all that a run goes on from, in one file."""
    tensors = {f"weights/{name}": value for name, value in trainee.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in average.items()}
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:
                tensors[f"optimiser/{index}/{name}"] = torch.as_tensor(value)
    note = {"step": progress.step, "epochs": progress.epochs, "sums": progress.sums}
    run.write_tensors(CHECKPOINT, tensors, {"progress": json.dumps(note)})


def load_checkpoint(
    run: RunFolder,
    trainee: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
) -> Progress:
    """Put a saved state into the network, the optimiser and the average, in place.

    Returns:
        Where the run stood.

    Raises:
        RunError: There is no checkpoint, or it is of another network.
    """
    tensors, note = run.read_tensors(CHECKPOINT)
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "optimiser": {}}
    for key, value in tensors.items():
        part, name = key.split("/", 1)
        parts[part][name] = value
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in parts["optimiser"].items():
        index, name = key.split("/", 1)
        states.setdefault(int(index), {})[name] = value
    try:
        trainee.load_state_dict(parts["weights"])
        for name, value in average.items():
            value.copy_(parts["average"][name])
        optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        return Progress(**json.loads(note["progress"]))
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise RunError(
            f"{run.path}: the checkpoint is of another network: {error}; train anew"
        ) from error
