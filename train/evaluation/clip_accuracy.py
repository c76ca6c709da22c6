"""Accuracy of a run on clips it was not trained on, with confidence intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from train.datasets import ClipSet
from train.evaluation.metrics import (
    area_under_curve,
    confusion,
    interval_95,
    per_class,
    proportion,
    reliability,
    spearman,
)
from train.nets.contract import System
from train.nets.inference import WindowLogits, run_crops, run_windows

POSITIVE_FROM = 0.8
"""Target of a regression from which a clip counts as positive, for the area under the curve."""


def evaluate_network(
    system: System, network: nn.Module, clips: ClipSet, training: ClipSet | None = None
) -> tuple[dict[str, Any], WindowLogits]:
    """Evaluate a network on clips, as the user gets it and by the published protocol.

    Args:
        system: System of the network; it has the published protocol.
        network: The trained network.
        clips: A held-out fold.
        training: The clips it was trained on; a regression is compared with their median.

    Returns:
        The entries of ``result.json``, and the network's outputs for each window.
    """
    outputs = run_windows(network, clips, system.window_samples, fill=system.fill)
    cropped = run_crops(network, clips, system.crops)
    result = {
        "task": system.task,
        "data": clips.name,
        "fold": ", ".join(map(str, clips.folds)),
        "clips": len(clips.clips),
    }
    if outputs.is_regression:
        median = float(np.median((training or clips).targets))
        return result | _value_figures(outputs, cropped, median), outputs
    return result | _class_figures(outputs, cropped, clips.labels), outputs


def _class_figures(
    outputs: WindowLogits, cropped: WindowLogits, labels: tuple[str, ...]
) -> dict[str, Any]:
    n_clips = len(outputs.targets)
    scores = outputs.clip_scores()
    accuracy = outputs.clip_accuracy()
    error, _ = reliability(scores, outputs.targets)
    low, high = interval_95(round(accuracy * n_clips), n_clips)
    return {
        "averaged_windows": round(accuracy, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        **proportion(outputs.window_accuracy(), n_clips, "single_windows"),
        **proportion(cropped.clip_accuracy(), n_clips, "published_crops"),
        "calibration_error": round(error, 4),
        "classes": per_class(confusion(scores, outputs.targets), labels),
    }


def _value_figures(outputs: WindowLogits, cropped: WindowLogits, median: float) -> dict[str, Any]:
    values, targets = outputs.clip_scores()[:, 0], outputs.targets.astype(np.float64)
    errors = np.abs(values - targets)
    correlation = spearman(values, targets)
    area = area_under_curve(values, targets >= POSITIVE_FROM)
    return {
        "mean_absolute_error": round(float(errors.mean()), 4),
        "interval_95": [round(x, 4) for x in _mean_interval(errors)],
        "median_baseline": round(float(np.abs(targets - median).mean()), 4),
        "median": round(median, 4),
        "published_crops": round(cropped.clip_error(), 4),
        "spearman": None if correlation is None else round(correlation, 4),
        "area_under_curve": None if area is None else round(area, 4),
        "positive_from": POSITIVE_FROM,
        "positives": int((targets >= POSITIVE_FROM).sum()),
    }


def _mean_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean of errors, not below 0, by the normal approximation."""
    half = 1.959964 * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return max(float(values.mean() - half), 0.0), float(values.mean() + half)


def describe(result: dict[str, Any]) -> str:
    """Describe a result in a line."""
    n = f"{result['clips']} clips of fold {result['fold']}"
    low, high = result["interval_95"]
    if "mean_absolute_error" in result:
        text = (
            f"mean absolute error {result['mean_absolute_error']:.3f} on {n} (95 % interval "
            f"{low:.3f} to {high:.3f}), {result['median_baseline']:.3f} by always saying "
            f"{result['median']:.2f}, {result['published_crops']:.3f} by the published protocol"
        )
        if result["spearman"] is not None:
            text += f"; Spearman {result['spearman']:z.2f}"
        if result["area_under_curve"] is not None:
            text += f"; area under the curve {result['area_under_curve']:.2f} from "
            text += f"{result['positive_from']:g} on"
        return text
    return (
        f"{result['averaged_windows']:.1%} of {n} by averaged windows "
        f"(95 % interval {low:.1%} to {high:.1%}), {result['single_windows']:.1%} of single "
        f"windows, {result['published_crops']:.1%} by the published crops"
    )
