"""The state of a run in one file, from which it can be resumed as if nothing had happened.

Everything that a step draws at random follows from the run's seed and the step's number
(`train.loop.fit`). So the state consists of the weights, their average, the optimiser's state and
the history.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from train.base.errors import RunError
from train.run_folder.run import RunFolder

LAST = "checkpoints/last.safetensors"
OLD_LAST = "checkpoint.safetensors"
"""Name of the checkpoint in the first runs."""


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        step: Steps made.
        epochs: Finished epochs, a row of the history each.
        sums: Sums over the running epoch: loss, right answers (a regression: absolute errors),
            clips, seconds.
        best: The best epochs by the validation clips: ``[score, epoch]``, best first.
        elapsed: Seconds that the run has taken in all its sessions, evaluations included.
    """

    step: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    best: list[list[float]] = field(default_factory=list)
    elapsed: float = 0.0


def save_checkpoint(
    run: RunFolder,
    trainable: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    progress: Progress,
) -> None:
    """Write everything that is needed to resume a run, in one file."""
    weights = trainable.state_dict()
    tensors = {f"weights/{name}": value for name, value in weights.items()}
    # Without averaging these are the same tensors as the weights, and are not written twice.
    tensors |= {
        f"average/{name}": value
        for name, value in average.items()
        if value.data_ptr() != weights[name].data_ptr()
    }
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:
                tensors[f"optimiser/{index}/{name}"] = torch.as_tensor(value)
    run.write_tensors(LAST, tensors, {"progress": json.dumps(asdict(progress))})


def read_progress(run: RunFolder) -> Progress | None:
    """Read how far a run was when it was last saved; None if it never was.

    Raises:
        RunError: The checkpoint is damaged.
    """
    path = next((run.path / name for name in (LAST, OLD_LAST) if (run.path / name).exists()), None)
    if path is None:
        return None
    try:
        with safe_open(path, framework="np") as file:
            return Progress(**json.loads((file.metadata() or {})["progress"]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise RunError(f"{path}: cannot be read: {error}; train anew") from error


def load_checkpoint(
    run: RunFolder,
    trainable: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
) -> Progress:
    """Load a saved state into the network, the optimiser and the average, in place.

    Returns:
        How far the run was.

    Raises:
        RunError: There is no checkpoint, or it belongs to another network.
    """
    former = not (run.path / LAST).exists() and (run.path / OLD_LAST).exists()
    tensors, note = run.read_tensors(OLD_LAST if former else LAST)
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "optimiser": {}}
    try:
        for key, value in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = value
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in parts["optimiser"].items():
            index, name = key.split("/", 1)
            states.setdefault(int(index), {})[name] = value
        trainable.load_state_dict(parts["weights"])
        for name, value in average.items():
            value.copy_((parts["average"] or parts["weights"])[name])
        optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        return Progress(**json.loads(note["progress"]))
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise RunError(
            f"{run.path}: the checkpoint is of another network: {error}; train anew"
        ) from error


def keep_best(
    run: RunFolder, network: nn.Module, progress: Progress, score: float, epoch: int, n: int
) -> None:
    """Keep the network's present weights if they are among the ``n`` best by their score.

    Args:
        run: Run folder that they are written into.
        network: The network.
        progress: Its ``best`` is updated.
        score: Score of the present weights; higher is better.
        epoch: Epoch of the present weights.
        n: How many to keep.
    """
    ranking = sorted([*progress.best, [score, epoch]], key=lambda row: (-row[0], row[1]))
    progress.best = ranking[:n]
    if [score, epoch] in progress.best:
        note = {"epoch": str(epoch), "score": str(score)}
        run.write_tensors(_best_name(epoch), network.state_dict(), note)
    for _, dropped in ranking[n:]:
        run.remove(_best_name(int(dropped)))


def load_best(run: RunFolder, network: nn.Module, progress: Progress) -> int:
    """Load the best of the kept weights into the network.

    Returns:
        The epoch of these weights.
    """
    epoch = int(progress.best[0][1])
    network.load_state_dict(run.read_tensors(_best_name(epoch))[0])
    return epoch


def _best_name(epoch: int) -> str:
    return f"checkpoints/best-{epoch:05d}.safetensors"
