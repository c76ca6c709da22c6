"""The streamed layers of a run of `train.distil`, as a start for `train.pocket`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from train.base.errors import RunError, UsageError
from train.datasets import ClipSet
from train.distillation.schooling import Crops
from train.nets.streamed_network import StreamedMel
from train.nets.streamed_pocket import StreamedPocketBody
from train.pocket_parts.pretrained_run import describe_imitation
from train.run_folder.checkpoint import LAST, read_progress
from train.run_folder.run import CONFIG, RESULT, WEIGHTS, RunFolder


def read_distilled(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the streamed layers of a run of `train.distil`, ended or not.

    Of a run that has not ended these are the averaged weights of its last checkpoint.

    Returns:
        The layers' parameters, and an entry for ``config.json``.

    Raises:
        RunError: Nothing of it was saved, or it is of another version.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    about = describe_imitation(config)
    if (path / WEIGHTS).exists():
        weights, about = run.read_tensors(WEIGHTS)[0], about | run.read_json(RESULT)
    else:
        progress = read_progress(run)
        if progress is None:
            raise RunError(f"{path}: nothing of it was saved yet; let it learn for some minutes")
        part = "average/body."
        tensors, _ = run.read_tensors(LAST)
        weights = {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
        n_windows = progress.step * config["recipe"]["batch_size"] * Crops(StreamedMel()).n_windows
        about |= {"stopped_after": progress.step, "windows": n_windows,
                  "windows_quieter": n_windows, "windows_through_noise": n_windows}  # fmt: skip
    for name, value in StreamedPocketBody(1).state_dict().items():
        fits = name in weights and weights[name].shape == value.shape
        if not fits and not name.startswith("output."):
            raise RunError(f"{path}: of another version, its {name} is "
                           f"{tuple(weights[name].shape) if name in weights else 'missing'}, not "
                           f"{tuple(value.shape)}; distil anew")  # fmt: skip
    return weights, about


def check_unheard(name: str, about: dict[str, Any], clips: ClipSet) -> None:
    """Check that layers have heard no other folds of a data set than those that are trained on.

    Args:
        name: The run, for the message.
        about: Of `read_distilled`.
        clips: What is trained on.

    Raises:
        UsageError: They have.
    """
    for source in about["sources"]:
        others = set(source["folds"]) - set(clips.folds)
        if others and source.get("origin") in clips.origin.split("+"):
            raise UsageError(
                f"{name}: has heard fold {min(others)} of {source['name']}, so figures of it would "
                "flatter; train on it, too (--folds), or begin with a run that has not heard it"
            )
