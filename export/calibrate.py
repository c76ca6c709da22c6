"""Temperature and thresholds, from what the network said of clips it was not trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamclf.card import Thresholds
from train.hearing import HOP_S, WindowLogits

AVERAGE_S = 3.0
"""Seconds over which `streamclf` averages unless told otherwise."""

TARGET_PRECISION = 0.9
OFF_RATIO = 0.6
MIN_CLIPS = 50
"""Fewer clips than this say too little to set anything by."""


def fit_temperature(heard: WindowLogits) -> float:
    """The temperature under which averaged scores, as the user sees them, are best calibrated.

    By golden section: their negative log-likelihood has one minimum.
    """

    def loss(log_temperature: float) -> float:
        averages = running_averages(heard, float(np.exp(log_temperature)))
        own = [average[:, target] for average, target in zip(averages, heard.targets, strict=True)]
        return float(-np.log(np.maximum(np.concatenate(own), 1e-12)).mean())

    low, high, golden = np.log(0.2), np.log(5.0), (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def running_averages(heard: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
    """For each clip ``(windows, classes)``: scores averaged as the engine does.

    The mean of the windows that ended in the last `AVERAGE_S` seconds, windows being `HOP_S`
    apart; at a clip's start of as many as there are.
    """
    n_windows = max(1, round(AVERAGE_S / HOP_S))
    scores = heard.scores(temperature)
    clips = []
    for clip in range(len(heard.targets)):
        own = scores[heard.clip == clip]
        sums = np.cumsum(np.vstack([np.zeros(own.shape[1]), own]), axis=0)
        ends = np.arange(1, len(own) + 1)
        begins = np.maximum(0, ends - n_windows)
        clips.append((sums[ends] - sums[begins]) / (ends - begins)[:, None])
    return clips


def choose_thresholds(
    heard: WindowLogits, temperature: float, precision: float
) -> tuple[Thresholds, dict[str, float]]:
    """The lowest threshold at which enough of the events are right.

    A clip counts as an event of a label if its averaged score reaches the threshold anywhere in
    the clip; it is right if the label is the clip's.

    Returns:
        The thresholds, and the precision and recall they had on these clips.
    """
    averages = running_averages(heard, temperature)
    peaks = np.stack([average.max(axis=0) for average in averages])
    own = np.zeros(peaks.shape, dtype=bool)
    own[np.arange(len(heard.targets)), heard.targets] = True
    chosen, figures = None, {}
    for on in np.arange(0.2, 0.96, 0.01):
        events = peaks >= on
        reached = float((events & own).sum() / max(1, events.sum()))
        chosen, figures = (
            float(on),
            {
                "on": round(float(on), 2),
                "precision": round(reached, 4),
                "recall": round(float((events & own).sum() / own.sum()), 4),
            },
        )
        if reached >= precision:
            break
    return Thresholds(on=round(chosen, 2), off=round(chosen * OFF_RATIO, 2)), figures
