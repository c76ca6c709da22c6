"""One scale for the logits of all labels: a score means as much of one label as of another.

A network that learned from a teacher is only as sure of a label as the sounds let it be: up to 0.9
of what it heard often, never above 0.1 of what it hardly heard. Yet it tells both apart from all
else. So each label's logits are measured by those of windows in which the teacher denies it: by
their median, and by what `RARELY` of them are below. The scale is a factor and a summand for each
label, and becomes part of the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Floats = npt.NDArray[np.floating]

RARELY = 0.99
"""Part of the windows in which the teacher denies a label that have lower logits."""

MEDIAN_SCORE, RARE_SCORE = 0.02, 0.25
"""Scores that the median gets, and the logit above which few are."""

NARROWEST = 0.1
"""Part of the labels whose two logits lie so close together that the distance is made larger."""


@dataclass(frozen=True, eq=False)
class CommonScale:
    """Factors and summands of the logits, ``(labels,)`` each."""

    factors: Floats
    summands: Floats

    def scores(self, logits: Floats) -> npt.NDArray[np.float32]:
        """Scores of logits, ``(..., labels)``."""
        scaled = logits.astype(np.float32) * self.factors + self.summands
        return (1 / (1 + np.exp(-scaled))).astype(np.float32)

    def fold(self, head: nn.Sequential) -> None:
        """Make it part of the last layer."""
        last = head[-1]
        factors = torch.as_tensor(self.factors, dtype=last.weight.dtype)
        with torch.no_grad():
            last.weight.mul_(factors[:, None])
            last.bias.mul_(factors).add_(torch.as_tensor(self.summands, dtype=last.bias.dtype))


def find_scale(logits: Floats, denied: npt.NDArray[np.bool_]) -> CommonScale:
    """Find the scale that what a network says of many windows gives.

    Args:
        logits: ``(windows, labels)``.
        denied: ``(windows, labels)``: whether the teacher denies the label.
    """
    n_labels = logits.shape[1]
    medians, rares = np.zeros(n_labels), np.zeros(n_labels)
    for k in range(n_labels):
        own = logits[denied[:, k], k] if denied[:, k].any() else logits[:, k]
        medians[k], rares[k] = np.quantile(own.astype(np.float32), (0.5, RARELY))
    widths = rares - medians
    widths = np.maximum(widths, max(np.quantile(widths, NARROWEST, method="lower"), 1e-3))
    low, high = (np.log(score / (1 - score)) for score in (MEDIAN_SCORE, RARE_SCORE))
    factors = (high - low) / widths
    return CommonScale(factors, high - factors * rares)
