"""Temperature and calibration error, from a network's outputs for held-out clips.

A temperature can be applied before averaging (to the logits of each window) or after it (the
logarithms of the averaged scores are divided by it), as the engine does. Windows of one sound
disagree, and an average of scores that disagree is less confident than it should be, however sharp
each score is. The temperature after averaging corrects that; one before averaging cannot.
`calibration_error` measures either.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from train.evaluation.metrics import reliability
from train.nets.inference import HOP_S, WindowLogits, softmax

AVERAGE_S = 3.0
"""Seconds that `streamclf` averages over by default."""

MIN_CLIPS = 50
"""Fewest clips for setting temperature and thresholds."""

FEW_CLIPS = 10
"""Fewest clips for finding the scores that nearly all known sounds reach."""

N_PARTS = 5
"""Parts of the clips for cross-fitting."""

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.2, 5.0
"""The range that is searched."""

Averaging = Callable[[WindowLogits, float], list[npt.NDArray[np.float64]]]


def fit_temperature(outputs: WindowLogits, averages: Averaging | None = None) -> float:
    """Find the temperature at which averaged scores, as the user sees them, are calibrated best.

    The search is by golden section: their negative log-likelihood has one minimum.

    Args:
        outputs: Outputs for the clips to fit to.
        averages: How scores are averaged and tempered; `BOTH` if not given.
    """
    average = averages or BOTH

    def loss(log_temperature: float) -> float:
        scores = average(outputs, float(np.exp(log_temperature)))
        own = [clip[:, target] for clip, target in zip(scores, outputs.targets, strict=True)]
        return float(-np.log(np.maximum(np.concatenate(own), 1e-12)).mean())

    low, high = np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE)
    golden = (5**0.5 - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(25):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = loss(right)
    return round(float(np.exp((low + high) / 2)), 4)


def running_averages(outputs: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
    """For each clip, ``(windows, classes)``: scores averaged over as many windows as in the engine.

    An average is over the windows that ended in the last `AVERAGE_S` seconds, with windows `HOP_S`
    apart; at a clip's start it is over as many as there are.
    """
    n_windows = max(1, round(AVERAGE_S / HOP_S))
    scores = outputs.scores(temperature)
    clips = []
    for clip in range(len(outputs.targets)):
        own = scores[outputs.clip == clip]
        sums = np.cumsum(np.vstack([np.zeros(own.shape[1]), own]), axis=0)
        ends = np.arange(1, len(own) + 1)
        begins = np.maximum(0, ends - n_windows)
        clips.append((sums[ends] - sums[begins]) / (ends - begins)[:, None])
    return clips


def clip_averages(outputs: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
    """For each clip, ``(1, classes)``: the mean over all of its windows."""
    return list(outputs.clip_scores(temperature)[:, None])


def running_and_whole(outputs: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
    """For each clip its running averages and, as many times, the average over the whole clip.

    A live stream is averaged over 3 s, a short recording as a whole; either counts half.
    """
    pairs = zip(
        running_averages(outputs, temperature), clip_averages(outputs, temperature), strict=True
    )
    return [np.vstack([running, whole.repeat(len(running), axis=0)]) for running, whole in pairs]


def tempered_after(averages: Averaging) -> Averaging:
    """The same averages with the temperature applied to them instead of to the windows."""

    def average(outputs: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
        plain = averages(outputs, 1.0)
        # Scores of a clip shorter than a window add up to less than 1. This sum is preserved.
        return [
            softmax(np.log(np.maximum(clip, 1e-12)), temperature) * clip.sum(axis=1, keepdims=True)
            for clip in plain
        ]

    return average


def calibration_error(
    outputs: WindowLogits, fitted_to: Averaging, judged_by: Averaging
) -> tuple[float, list[dict[str, float]]]:
    """The expected calibration error on clips that the temperature was not fitted to.

    The clips are split into `N_PARTS` parts; each part's scores get the temperature that fits the
    other parts best.

    Args:
        outputs: Outputs for all clips.
        fitted_to: The averages that a temperature is fitted to.
        judged_by: The averages whose highest scores are compared with how often they are right.

    Returns:
        The error and the bins of `train.evaluation.metrics.reliability`.
    """
    n_clips = len(outputs.targets)
    parts = np.random.default_rng(0).permutation(n_clips) % N_PARTS
    scores, targets = [], []
    for part in range(N_PARTS):
        inside = parts == part
        temperature = fit_temperature(take_clips(outputs, ~inside), fitted_to)
        own = take_clips(outputs, inside)
        judged = judged_by(own, temperature)
        scores += judged
        targets += [
            np.full(len(clip), target) for clip, target in zip(judged, own.targets, strict=True)
        ]
    return reliability(np.concatenate(scores), np.concatenate(targets))


def take_clips(outputs: WindowLogits, wanted: npt.NDArray[np.bool_]) -> WindowLogits:
    """The outputs for some of the clips."""
    inside = wanted[outputs.clip]
    numbers = np.cumsum(wanted) - 1
    return WindowLogits(
        outputs.logits[inside],
        numbers[outputs.clip[inside]],
        outputs.targets[wanted],
        None if outputs.weight is None else outputs.weight[inside],
    )


RUNNING: Averaging = tempered_after(running_averages)
"""The averages that the user sees every hop, tempered as the engine tempers."""

WHOLE: Averaging = tempered_after(clip_averages)
"""The same averages over whole clips."""

BOTH: Averaging = tempered_after(running_and_whole)
"""The averages that a temperature is fitted to."""
