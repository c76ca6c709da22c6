"""The names of a labelled set as the teacher would give them, for a pupil to say as well.

A linear layer on the teacher's features, fitted to labelled clips, names whatever the teacher
hears: those clips, mixtures of them, other sounds. The pupil learns to give the same names to the
same mixtures. The labels themselves are never its target: of a few thousand clips it would learn
them by heart (research/trials.md), while a teacher's names of endless mixtures cannot be learned
so. With them it learns what tells the classes apart, of all that the teacher's features hold.

Source: L. Beyer et al., "Knowledge distillation: A good teacher is patient and consistent",
CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from train.base.errors import UsageError
from train.datasets import open_clips
from train.datasets.prepared import SINGLE_LABEL, ClipSet
from train.distillation.fresh import DeviceEar
from train.distillation.heard import STEP_S, column_weights
from train.nets.efficientat import N_FEATURES
from train.nets.pocket_network import SAMPLE_RATE, WINDOW_SAMPLES
from train.pocket_parts.last_layer import fit_logistic
from train.pocket_parts.teacher import HOP_S

WEIGHT_DECAY = 3e-3
"""Of the teacher's head, per mean loss, as of `train.pocket_parts.teacher`."""

CLIPS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Named:
    """A labelled set that is heard as well.

    Attributes:
        clips: Of the folds that may be heard.
        share: Part of the draws of a source that are of this set.
        weight: Weight of the names in the loss.
    """

    clips: ClipSet
    share: float
    weight: float

    def describe(self) -> dict[str, object]:
        """For ``config.json``."""
        return {"share": self.share, "weight": self.weight}


def open_named(folder: Path, folds: Sequence[int], share: float, weight: float) -> Named:
    """Open some folds of a labelled set.

    Raises:
        UsageError: It has no classes, or none of these folds.
    """
    clips = open_clips(folder, SAMPLE_RATE)
    if clips.task != SINGLE_LABEL:
        raise UsageError(f"--named: {clips.name} is a {clips.task} set, names need classes; give "
                         "it to --sounds")  # fmt: skip
    missing = sorted(set(folds) - set(clips.folds))
    if missing or not folds:
        there = ", ".join(map(str, clips.folds))
        raise UsageError(f"--folds: {clips.name} has folds {there}, not {missing}: choose some of "
                         "them")  # fmt: skip
    return Named(clips.of_folds(folds), share, weight)


def weigh(named: ClipSet, others: dict[str, float], share: float) -> dict[str, float]:
    """How often each source of the set is drawn, so that all of them have their share.

    Args:
        named: The set.
        others: How often each source of all other sets is drawn.
        share: Part of all draws that are to be of the set.
    """
    sources = dict.fromkeys(clip.source for clip in named.clips)
    each = sum(others.values()) * share / (1 - share) / len(sources)
    return dict.fromkeys(sources, each)


@torch.no_grad()
def hear_labelled(ear: DeviceEar, clips: ClipSet, n_samples: int) -> Tensor:
    """The teacher's features of windows of clips, one each half second: ``(clips, windows, 384)``.

    It hears each clip again and again for ten seconds; shorter clips are padded to the longest.

    Args:
        ear: The teacher.
        clips: The clips.
        n_samples: Of ten seconds.
    """
    matrix = clips.matrix()
    n_steps = max(0, matrix.shape[1] - WINDOW_SAMPLES) // round(STEP_S * SAMPLE_RATE)
    weights = column_weights(n_steps + 1)[:: round(HOP_S / STEP_S)].to(ear.device)
    again = np.resize(np.arange(matrix.shape[1]), n_samples)
    parts = []
    for rows in np.array_split(matrix, -(-len(matrix) // CLIPS_AT_ONCE)):
        waveforms = torch.from_numpy(rows[:, again]).to(ear.device).float() / 32768
        columns = ear.hear(waveforms, clips.sample_rate)["features"]
        parts.append(torch.einsum("wc,bcn->bwn", weights, columns))
    return torch.cat(parts)


def fit_names(ear: DeviceEar, clips: ClipSet, n_samples: int) -> nn.Linear:
    """The teacher's head for the names of labelled clips.

    Args:
        ear: The teacher.
        clips: What it is fitted to.
        n_samples: Of ten seconds.
    """
    # Here, as a GPU's fast products have too few digits for a search.
    features = hear_labelled(ear, clips, n_samples).cpu()
    targets = torch.from_numpy(clips.targets).repeat_interleave(features.shape[1])
    head = nn.Linear(N_FEATURES, len(clips.labels))
    fit_logistic(head, features.flatten(0, 1), targets, WEIGHT_DECAY)
    return head.to(ear.device).requires_grad_(False)


def as_sounds(named: ClipSet, others: ClipSet) -> ClipSet:
    """The set as one of sounds without labels, to be drawn from with others."""
    return replace(named, task=others.task)
