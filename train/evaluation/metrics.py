"""Figures from the outputs of a network, each in a few lines from its definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def interval_95(n_right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion, kept within 0 to 1 against rounding errors."""
    z, p = 1.959964, n_right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def proportion(part: float, n: int, name: str) -> dict[str, Any]:
    """An accuracy and its interval as in ``result.json``: ``{name: ..., name_interval_95: [...]}``.

    Args:
        part: Accuracy, from 0 to 1.
        n: Number of clips. Windows of one clip are not independent, so the interval of an accuracy
            of windows is computed from the number of clips, too.
        name: Name of the figure.
    """
    interval = [round(bound, 4) for bound in interval_95(round(part * n), n)]
    return {name: round(part, 4), f"{name}_interval_95": interval}


def confusion(scores: np.ndarray, targets: np.ndarray) -> npt.NDArray[np.int64]:
    """Confusion matrix ``(classes, classes)`` of clips by true (row) and named class (column)."""
    n_classes = scores.shape[1]
    counts = np.bincount(targets * n_classes + scores.argmax(axis=1), minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def per_class(counts: np.ndarray, labels: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Recall and precision of each label; None where a label has no clips or was never given."""
    right, own, given = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return {
        label: {
            "clips": int(own[k]),
            "recall": round(float(right[k] / own[k]), 4) if own[k] else None,
            "precision": round(float(right[k] / given[k]), 4) if given[k] else None,
        }
        for k, label in enumerate(labels)
    }


def reliability(
    scores: np.ndarray, targets: np.ndarray, n_bins: int = 10
) -> tuple[float, list[dict[str, float]]]:
    """Compare scores with how often they are right.

    Returns:
        The expected calibration error over equally wide bins of the highest score, and for each
        non-empty bin its clips, mean score and accuracy.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    best, right = scores.max(axis=1), scores.argmax(axis=1) == targets
    places = np.minimum((best * n_bins).astype(int), n_bins - 1)
    bins = [
        {
            "clips": int(inside.sum()),
            "score": float(best[inside].mean()),
            "accuracy": float(right[inside].mean()),
        }
        for inside in (places == k for k in range(n_bins))
        if inside.any()
    ]
    error = sum(row["clips"] * abs(row["score"] - row["accuracy"]) for row in bins) / len(best)
    return error, bins


def ranks(values: np.ndarray) -> npt.NDArray[np.float64]:
    """Ranks of values, from 1 on; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation; None where one side is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def area_under_curve(values: np.ndarray, positive: np.ndarray) -> float | None:
    """Probability that a positive has the higher value, with ties counting half (Mann and Whitney).

    None where all, or none, are positive.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return None
    wins = ranks(values)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(wins / (n_positive * n_negative))
