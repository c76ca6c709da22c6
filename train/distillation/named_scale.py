"""The labels' scale by clips of known classes: which of two labels is the likelier one.

The common scale (`train.distillation.common_scale`) measures a label by what the teacher denies. It
cannot know that a label is said of many sounds that resemble its own, or that it is never said as
loudly as its rival. Clips of known classes show both. They are named by the labels that mean their
classes, as `train.named_sounds` names them, and each of these labels gets a factor and a summand
with which more clips are named right. Nothing else is fitted: the layers stay as they are, and so
do all labels that mean no class.

A few dozen clips of a class must not say more than they know. Summands are drawn to nought and
factors to one, as by Gaussians of width `SUMMANDS` and `FACTORS` (of their logarithms), and the
mean of the summands is taken from all, so that these labels stay among the others on the whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from train.distillation.common_scale import CommonScale, Floats

SUMMANDS = 2.0
FACTORS = 0.05

SHARPNESS = 1.5
"""Factor of the classes' log-odds before softmax."""

N_STEPS = 100
LEARNING_RATE = 0.05
FLOOR = 1e-6
"""Scores are kept this far from 0 and 1."""


def adjust_scale(
    scale: CommonScale,
    logits: Floats,
    targets: npt.NDArray[np.integer],
    columns: Sequence[Sequence[int]],
) -> CommonScale:
    """Adjust the scale of the labels that mean a class, by clips of these classes.

    Args:
        scale: The labels' common scale.
        logits: ``(clips, windows, labels)``, before it.
        targets: ``(clips,)``: the clips' classes.
        columns: The labels that mean each class.
    """
    own = sorted({label for labels in columns for label in labels})
    scaled = torch.from_numpy(_scaled(scale, logits)[:, :, own])
    wanted = torch.from_numpy(targets.astype(np.int64))
    places = _places(columns, own)
    growth = torch.zeros(len(own), requires_grad=True)
    shift = torch.zeros(len(own), requires_grad=True)
    learner = torch.optim.Adam([growth, shift], lr=LEARNING_RATE)
    for _ in range(N_STEPS):
        learner.zero_grad()
        scores = torch.sigmoid(scaled * growth.exp() + shift)
        # Half by clips, half by their windows: events are told of few windows.
        loss = 0.5 * _surprise(scores.mean(dim=1), places, wanted)
        windows = wanted.repeat_interleave(scores.shape[1])
        loss = loss + 0.5 / scores.shape[1] * _surprise(scores.flatten(0, 1), places, windows)
        loss = loss + growth.square().sum() / (2 * FACTORS**2)
        (loss + shift.square().sum() / (2 * SUMMANDS**2)).backward()
        learner.step()
    factors, summands = np.ones(len(scale.factors)), np.zeros(len(scale.factors))
    factors[own] = growth.detach().exp().numpy()
    summands[own] = (shift - shift.mean()).detach().numpy()
    return CommonScale(scale.factors * factors, scale.summands * factors + summands)


def name_by_scale(
    scale: CommonScale, logits: Floats, columns: Sequence[Collection[int]]
) -> npt.NDArray[np.intp]:
    """The classes that clips get: of the label with the highest mean of the windows' scores.

    Args:
        scale: The labels' scale.
        logits: ``(clips, windows, labels)``, before it.
        columns: The labels that mean each class.

    Returns:
        ``(clips,)``.
    """
    means = scale.scores(logits).mean(axis=1)
    best = [means[:, list(own)].max(axis=1, initial=-1.0) for own in columns]
    return np.stack(best, axis=1).argmax(axis=1)


def cross_validate(
    scale: CommonScale,
    logits: Floats,
    targets: npt.NDArray[np.integer],
    folds: npt.NDArray[np.integer],
    columns: Sequence[Sequence[int]],
) -> dict[str, float | dict[str, float]]:
    """Name each fold's clips by a scale that the other folds' clips have adjusted.

    Returns:
        ``named``: part of all clips; ``folds``: of each; ``common``: part of all clips by the
        common scale alone.
    """
    right = np.zeros(len(targets), bool)
    for fold in np.unique(folds):
        held = folds == fold
        adjusted = adjust_scale(scale, logits[~held], targets[~held], columns)
        right[held] = name_by_scale(adjusted, logits[held], columns) == targets[held]
    common = name_by_scale(scale, logits, columns) == targets
    return {
        "named": round(float(right.mean()), 4),
        "folds": {str(fold): round(float(right[folds == fold].mean()), 4)
                  for fold in np.unique(folds)},
        "common": round(float(common.mean()), 4),
    }  # fmt: skip


def _scaled(scale: CommonScale, logits: Floats) -> npt.NDArray[np.float32]:
    return (logits.astype(np.float32) * scale.factors + scale.summands).astype(np.float32)


def _places(columns: Sequence[Sequence[int]], own: list[int]) -> Tensor:
    """``(classes, most labels)``: places of the labels among ``own``, then its length."""
    place = {label: k for k, label in enumerate(own)}
    most = max(len(labels) for labels in columns)
    rows = [[place[k] for k in labels] + [len(own)] * (most - len(labels)) for labels in columns]
    return torch.tensor(rows)


def _surprise(scores: Tensor, places: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of the classes, each of which has the highest score of its labels."""
    padded = F.pad(scores, (0, 1))
    classes = padded[:, places].amax(dim=2).clamp(FLOOR, 1 - FLOOR)
    return F.cross_entropy(SHARPNESS * torch.logit(classes), wanted, reduction="sum")
