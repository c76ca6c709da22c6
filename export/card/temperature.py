"""Temperature and its error, from what a network said of clips it was not trained on.

A temperature can be applied before averaging (to the logits of each window) or after (to the
averaged scores: their logarithms are divided by it), as the engine does. Windows of one sound
disagree, and an average of scores that disagree says less than it knows, however sharp each of
them is: the temperature after averaging undoes that, the one before cannot. `calibration_error`
measures either.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from train.judging.metrics import reliability
from train.nets.inference import HOP_S, WindowLogits, softmax

AVERAGE_S = 3.0
"""Seconds over which `streamclf` averages unless told otherwise."""

MIN_CLIPS = 50
"""Fewer clips than this say too little to set anything by."""

FEW_CLIPS = 10
"""From so many on it can be said which scores nearly all that is known reaches."""

N_PARTS = 5
"""Parts of the clips for cross-fitting."""

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.2, 5.0
"""Between which one is searched."""

Averages = Callable[[WindowLogits, float], list[npt.NDArray[np.float64]]]


def fit_temperature(heard: WindowLogits, averages: Averages | None = None) -> float:
    """The temperature under which averaged scores, as the user sees them, are best calibrated.

    By golden section: their negative log-likelihood has one minimum.

    Args:
        heard: Of the clips to fit to.
        averages: How scores are averaged and tempered; `BOTH` if not given.
    """
    average = averages or BOTH

    def loss(log_temperature: float) -> float:
        scores = average(heard, float(np.exp(log_temperature)))
        own = [clip[:, target] for clip, target in zip(scores, heard.targets, strict=True)]
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


def running_averages(heard: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
    """For each clip ``(windows, classes)``: scores averaged over as many windows as in the engine.

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


def clip_averages(heard: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
    """For each clip ``(1, classes)``: the mean over all of its windows."""
    return list(heard.clip_scores(temperature)[:, None])


def running_and_whole(heard: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
    """For each clip its running averages and, as many times, the average over all of it.

    A live stream is heard 3 s at a time, a short recording as a whole: either counts half.
    """
    pairs = zip(
        running_averages(heard, temperature), clip_averages(heard, temperature), strict=True
    )
    return [np.vstack([running, whole.repeat(len(running), axis=0)]) for running, whole in pairs]


def tempered_after(averages: Averages) -> Averages:
    """The same averages with the temperature applied to them instead of to the windows."""

    def average(heard: WindowLogits, temperature: float) -> list[npt.NDArray[np.float64]]:
        plain = averages(heard, 1.0)
        # Scores of what was shorter than a window add up to less than 1, and still do then.
        return [
            softmax(np.log(np.maximum(clip, 1e-12)), temperature) * clip.sum(axis=1, keepdims=True)
            for clip in plain
        ]

    return average


def calibration_error(
    heard: WindowLogits, fitted_to: Averages, judged_by: Averages
) -> tuple[float, list[dict[str, float]]]:
    """The expected calibration error on clips that the temperature was not fitted to.

    The clips are dealt into `N_PARTS` parts; each part's scores have the temperature that fits the
    other parts best.

    Args:
        heard: Of all clips.
        fitted_to: The averages that a temperature is fitted to.
        judged_by: The averages whose highest scores are compared with how often they are right.

    Returns:
        The error and the bins of `train.judging.metrics.reliability`.
    """
    n_clips = len(heard.targets)
    parts = np.random.default_rng(0).permutation(n_clips) % N_PARTS
    scores, targets = [], []
    for part in range(N_PARTS):
        inside = parts == part
        temperature = fit_temperature(take_clips(heard, ~inside), fitted_to)
        own = take_clips(heard, inside)
        judged = judged_by(own, temperature)
        scores += judged
        targets += [
            np.full(len(clip), target) for clip, target in zip(judged, own.targets, strict=True)
        ]
    return reliability(np.concatenate(scores), np.concatenate(targets))


def take_clips(heard: WindowLogits, wanted: npt.NDArray[np.bool_]) -> WindowLogits:
    """What was said of some of the clips."""
    inside = wanted[heard.clip]
    numbers = np.cumsum(wanted) - 1
    return WindowLogits(
        heard.logits[inside],
        numbers[heard.clip[inside]],
        heard.targets[wanted],
        None if heard.weight is None else heard.weight[inside],
    )


RUNNING: Averages = tempered_after(running_averages)
"""The averages that the user sees every hop, tempered where the engine tempers."""

WHOLE: Averages = tempered_after(clip_averages)
"""The same over whole clips."""

BOTH: Averages = tempered_after(running_and_whole)
"""What a temperature is fitted to."""
