"""The polyphonic sound detection score (PSDS): events over all thresholds at once.

A found event is relevant if at least `SHARE` of it lies in true events of its label; a true event
is detected if relevant ones cover at least `SHARE` of it. Found events that are not relevant are
false ones. For each label the part of its true events that is detected, against its false events
an hour, is a curve over all thresholds; the score is the area below the mean of the labels' curves
less their standard deviation, up to `HIGHEST_RATE`, where it is 1 at best. These are the settings
of PSDS1 (DCASE task 4) without cross-triggers.

Sources: C. Bilen et al., "A Framework for the Robust Evaluation of Sound Event Detection", ICASSP
2020; over every threshold that makes a difference, as J. Ebbers et al., "Threshold Independent
Evaluation of Sound Event Detection Scores", ICASSP 2022 (sed_scores_eval, whose results these are).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.evaluation.event_metrics import Event

SHARE = 0.7
HIGHEST_RATE = 100.0
"""False events an hour."""

DECIMALS = 6
AT_ONCE = 256
"""Thresholds that are tried together."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Part of the true events that is detected, by false events an hour: a staircase.

    Attributes:
        rates: False events an hour, rising.
        parts: The highest part at each rate or below.
    """

    rates: Floats
    parts: Floats

    def at(self, rates: Floats) -> Floats:
        """The part at other rates; 0 below the first."""
        places = np.searchsorted(self.rates, rates, side="right") - 1
        return np.where(places >= 0, self.parts[np.maximum(places, 0)], 0.0)


@dataclass(frozen=True)
class Recording:
    """Scores of a recording.

    Attributes:
        edges: ``(cells + 1,)``, seconds: each score stands for the time between two of them.
        scores: ``(cells, labels)``.
        length: Seconds.
    """

    edges: Floats
    scores: npt.NDArray[np.float32]
    length: float


def measure_psds(
    recordings: Mapping[str, Recording], labels: Sequence[str], truth: Sequence[Event]
) -> dict[str, Any]:
    """PSDS1 over the labels of the truth, and the area of each label's own curve.

    Args:
        recordings: By source.
        labels: Of the scores' columns. A label of the truth that is not among them is never found.
        truth: The true events.
    """
    columns = {label: index for index, label in enumerate(labels)}
    hours = sum(recording.length for recording in recordings.values()) / 3600
    curves = {}
    for label in sorted({event.label for event in truth}):
        own = [event for event in truth if event.label == label]
        column = columns.get(label)
        curves[label] = (
            Curve(np.zeros(1), np.zeros(1))
            if column is None
            else label_curve(recordings, column, own, hours)
        )
    rates = np.unique(np.concatenate([curve.rates for curve in curves.values()]))
    parts = np.stack([curve.at(rates) for curve in curves.values()])
    mean = Curve(rates, np.maximum(parts.mean(axis=0) - parts.std(axis=0), 0.0))
    return {
        "psds1": round(_area(mean), 4),
        "classes": {label: round(_area(curve), 4) for label, curve in curves.items()},
    }


def label_curve(
    recordings: Mapping[str, Recording], column: int, truth: Sequence[Event], hours: float
) -> Curve:
    """The curve of one label.

    Args:
        recordings: By source.
        column: The label's.
        truth: Its true events.
        hours: Of all recordings.
    """
    values = [recording.scores[:, column] for recording in recordings.values()]
    thresholds = np.unique(np.concatenate(values))
    n_right, n_false = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    for (source, recording), own in zip(recordings.items(), values, strict=True):
        limits = np.array([(e.onset, e.offset) for e in truth if e.source == source])
        for begin in range(0, len(thresholds), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            right, false = _count(own, recording.edges, thresholds[part], limits.reshape(-1, 2))
            n_right[part] += right
            n_false[part] += false
    rates, parts = n_false / hours, n_right / len(truth)
    order = np.lexsort((parts, rates))
    rates, parts = rates[order], np.maximum.accumulate(parts[order])
    last = np.append(rates[1:] != rates[:-1], True) & (rates <= HIGHEST_RATE)
    if not last.any():
        return Curve(np.zeros(1), np.zeros(1))
    return Curve(rates[last], parts[last])


def _count(
    values: npt.NDArray[np.float32],
    edges: Floats,
    thresholds: npt.NDArray[np.float32],
    limits: Floats,
) -> tuple[Floats, Floats]:
    """Detected and false events of a recording at each threshold.

    Args:
        values: ``(cells,)``.
        edges: ``(cells + 1,)``.
        thresholds: An event is where the values reach it.
        limits: ``(events, 2)``, true onsets and offsets.
    """
    on = np.pad(values >= thresholds[:, None], ((0, 0), (1, 1))).astype(np.int8)
    steps = np.diff(on, axis=1)
    at, first = np.nonzero(steps == 1)
    onsets, offsets = edges[first], edges[np.nonzero(steps == -1)[1]]
    begins, ends = (
        np.maximum(onsets[:, None], limits[:, 0]),
        np.minimum(offsets[:, None], limits[:, 1]),
    )
    shared = np.maximum(ends - begins, 0.0)
    relevant = _reaches(shared.sum(axis=1), offsets - onsets)
    n_false = np.bincount(at, weights=~relevant, minlength=len(thresholds))
    covered = np.zeros((len(thresholds), len(limits)))
    np.add.at(covered, at[relevant], shared[relevant])
    n_right = _reaches(covered, limits[:, 1] - limits[:, 0]).sum(axis=1)
    return n_right.astype(float), n_false


def _reaches(shared: Floats, lengths: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray(shared.round(DECIMALS) >= (SHARE * lengths).round(DECIMALS))


def _area(curve: Curve) -> float:
    """Below the staircase, up to the highest rate, as a part of it."""
    edges = np.append(curve.rates, HIGHEST_RATE)
    return float((np.diff(edges) * curve.parts).sum() / HIGHEST_RATE)
