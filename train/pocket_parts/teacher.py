"""Soft labels from a teacher's features, fitted across folds.

The features are a file made beforehand: ``clip`` (names) and ``window_embedding`` (clips, windows,
features) of 1.5 s windows every 0.5 s. A logistic regression on them is the teacher's head. The
soft labels of a fold come from a head that was fitted to the other training folds alone, as a head
is overconfident on clips that it was fitted to. The test fold is never used.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from streamclf.model.vetting.foreign_formats import describe_foreign
from train.base.errors import DatasetError, UsageError
from train.datasets.prepared import ClipSet
from train.pocket_parts.last_layer import fit_logistic

HOP_S = 0.5
"""Seconds between two windows of the features."""


def soft_labels(path: Path, clips: ClipSet, weight_decay: float = 3e-3) -> tuple[Tensor, dict]:
    """Compute the teacher's labels for every window of every clip, out of fold.

    Args:
        path: The features (NPZ).
        clips: The training clips, of two folds or more.
        weight_decay: Decay of the heads' weights, per mean loss.

    Returns:
        ``(clips, windows, classes)`` probabilities, and an entry for ``config.json``.

    Raises:
        DatasetError: The file is unreadable, or lacks one of the clips.
        UsageError: All clips are of one fold.
    """
    features = _read_features(path, clips)
    targets = torch.from_numpy(clips.targets)
    folds = torch.tensor([clip.fold for clip in clips.clips])
    if len(clips.folds) < 2:
        raise UsageError(
            f"--teacher: the training clips are all of fold {clips.folds[0]}, soft labels are "
            "fitted across 2 folds or more; choose more with --folds"
        )
    labels = torch.zeros(*features.shape[:2], len(clips.labels))
    for fold in clips.folds:
        held = folds == fold
        seen = features[~held]
        repeated = targets[~held].repeat_interleave(seen.shape[1])
        head = nn.Linear(seen.shape[2], len(clips.labels))
        fit_logistic(head, seen.flatten(0, 1), repeated, weight_decay)
        with torch.inference_mode():
            labels[held] = head(features[held]).softmax(dim=-1)
    right = (labels.mean(dim=1).argmax(dim=1) == targets).float().mean().item()
    about = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "weight_decay": weight_decay,
        "out_of_fold_accuracy": round(right, 4),
    }
    return labels.clone(), about


def _read_features(path: Path, clips: ClipSet) -> Tensor:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [str(name) for name in file["clip"]]
            embedding = file["window_embedding"].astype(np.float32)
        if embedding.ndim != 3 or len(names) != len(embedding):
            raise ValueError(f"window_embedding is {embedding.shape} for {len(names)} clips")
    except (OSError, ValueError, KeyError) as error:
        foreign = describe_foreign(path) if path.is_file() else ""
        if "TFLite" in foreign:
            raise DatasetError(
                f"{path}: is a TFLite model, no teacher's features (NPZ); python -m train.imitate "
                "--teacher takes YAMNet's"
            ) from error
        raise DatasetError(
            f"{path}: no usable teacher features: {error}; expected is an NPZ with clip and "
            "window_embedding"
        ) from error
    rows = {name: row for row, name in enumerate(names)}
    stems = [Path(clip.filename).stem for clip in clips.clips]
    missing = [stem for stem in stems if stem not in rows]
    if missing:
        raise DatasetError(
            f"{path}: has no features of {len(missing)} of {len(stems)} clips, as {missing[0]}; "
            "train without --teacher or make features of this set"
        )
    return torch.from_numpy(embedding[[rows[stem] for stem in stems]])
