"""Thresholds for a wanted precision, for all classes together and for each.

A clip counts as an event of a label if its averaged score reaches the label's threshold anywhere in
the clip. The event is right if the label is the clip's.

A class has too few clips to know its precision at a threshold from them alone. So each class is
credited with `PRIOR_EVENTS` more events, as many of them right as in the precision of all classes
at the same threshold. The threshold of a class with few clips then stays near the common one.

If no threshold reaches the precision, the common one is so high that nothing is reported: the user
asked for few errors, and a few events that are wrong would not be that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from export.card.temperature import N_PARTS, RUNNING
from streamclf.core.card import Threshold, Thresholds
from train.nets.inference import WindowLogits

TARGET_PRECISION = 0.9
PRECISIONS = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
"""Precisions that a user may ask for when listening."""

KEPT = 0.95
"""Part of the averages of known clips that must not count as unknown."""

OFF_RATIO = 0.6
PRIOR_EVENTS = 10

MAX_UNKNOWN_THRESHOLD = 0.9
"""Highest threshold of unknown sounds, however high the scores of the held-out clips are."""

GRID = np.round(np.arange(0.2, 0.96, 0.01), 2)


def choose_thresholds(
    outputs: WindowLogits,
    temperature: float,
    precision: float,
    labels: list[str] | None = None,
    off_ratio: float = OFF_RATIO,
    lowest: float = 0.0,
    never: Collection[str] = (),
) -> tuple[Thresholds, dict[str, Any]]:
    """Choose the lowest thresholds at which enough of the events are right.

    Args:
        outputs: Outputs for clips that the network was not trained on.
        temperature: Temperature of the scores.
        precision: Part of the events that should be right.
        labels: Labels of the classes, for a threshold each; one for all classes if not given.
        off_ratio: ``off`` as a part of ``on``.
        lowest: Lower limit of all thresholds, as an unknown sound must not be an event.
        never: Labels that are never reported; their clips count as other sounds.

    Returns:
        The thresholds, and figures: precision (None if there are no events) and recall on these
        clips, and ``cross_fitted``, the same with thresholds chosen on the other parts of the
        clips. ``reached`` says whether any common threshold gives the precision, ``best`` is the
        highest precision of any.
    """
    peaks, own = _peaks(outputs, temperature)
    silent = [label in never for label in labels or []]
    if any(silent):
        peaks[:, silent], own[:, silent] = 0.0, False
    pooled = _pooled(peaks, own)
    common = max(_common(peaks, own, precision), lowest)
    on = _per_class(peaks, own, precision) if labels else np.full(peaks.shape[1], common)
    on = np.maximum(on, lowest)
    classes = {
        label: Threshold(float(on[k]), round(float(on[k]) * off_ratio, 3))
        for k, label in enumerate(labels or [])
        if on[k] != common
    }
    figures: dict[str, Any] = {
        "on": common,
        "reached": bool(pooled.max() >= precision),
        "best": round(float(pooled.max()), 4),
        **_figures(peaks >= on, own),
    }
    if len(outputs.targets) >= 2 * N_PARTS:
        figures["cross_fitted"] = _cross_fitted(peaks, own, precision, bool(labels), lowest)
    chosen = Thresholds(on=common, off=round(common * off_ratio, 3), classes=classes)
    return chosen, figures


def find_unknown_threshold(outputs: WindowLogits, temperature: float) -> float:
    """Find the averaged score that most averages of known clips reach in some class."""
    highest = np.concatenate([clip.max(axis=1) for clip in RUNNING(outputs, temperature)])
    return min(round(float(np.quantile(highest, 1 - KEPT)), 4), MAX_UNKNOWN_THRESHOLD)


def find_confident_threshold(
    outputs: WindowLogits, temperature: float, silent: Sequence[int] = ()
) -> float:
    """Find the averaged score that nearly all known clips reach somewhere, where they are few.

    Args:
        outputs: Outputs for clips that the network was not trained on.
        temperature: Temperature of the scores.
        silent: Classes that are never reported; their clips need not be found.
    """
    peaks, own = _peaks(outputs, temperature)
    found = peaks[own][~np.isin(outputs.targets, silent)]
    return (
        min(round(float(np.quantile(found, 1 - KEPT)), 4), MAX_UNKNOWN_THRESHOLD)
        if found.size
        else MAX_UNKNOWN_THRESHOLD
    )


def _peaks(
    outputs: WindowLogits, temperature: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Each class's highest average, and whether the clip is of that class: ``(clips, classes)``."""
    averages = RUNNING(outputs, temperature)
    peaks = np.stack([average.max(axis=0) for average in averages])
    own = np.zeros(peaks.shape, dtype=bool)
    own[np.arange(len(outputs.targets)), outputs.targets] = True
    return peaks, own


def _counts(
    peaks: npt.NDArray[np.float64], own: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Events of each class at each threshold, and those that are right: ``(grid, classes)``."""
    events = np.stack([(peaks >= on).sum(axis=0) for on in GRID])
    right = np.stack([((peaks >= on) & own).sum(axis=0) for on in GRID])
    return events, right


def _pooled(peaks: npt.NDArray[np.float64], own: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The precision of all classes together, ``(grid,)``; 0 where no clip reaches a threshold."""
    events, right = _counts(peaks, own)
    return right.sum(axis=1) / np.maximum(1, events.sum(axis=1))


def _per_class(
    peaks: npt.NDArray[np.float64], own: npt.NDArray[np.bool_], precision: float
) -> npt.NDArray[np.float64]:
    events, right = _counts(peaks, own)
    pooled = _pooled(peaks, own)
    shrunk = (right + PRIOR_EVENTS * pooled[:, None]) / (events + PRIOR_EVENTS)
    on = np.array([_lowest(column, precision) for column in shrunk.T])
    # A class that never reaches the precision must not get a lower threshold than the others.
    never = (shrunk < precision).all(axis=0)
    return np.where(never, np.maximum(on, _common(peaks, own, precision)), on)


def _common(peaks: npt.NDArray[np.float64], own: npt.NDArray[np.bool_], precision: float) -> float:
    """The lowest threshold at which enough of all events are right, or one that no clip reaches."""
    pooled = _pooled(peaks, own)
    if pooled.max() >= precision:
        return _lowest(pooled, precision)
    return float(GRID[-1]) if peaks.max() < GRID[-1] else 1.0


def _lowest(reached: npt.NDArray[np.float64], precision: float) -> float:
    """The lowest threshold that reaches a precision, or that comes closest to it."""
    enough = np.flatnonzero(reached >= precision)
    return float(GRID[enough[0] if enough.size else reached.argmax()])


def _figures(events: npt.NDArray[np.bool_], own: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    right, n_events = int((events & own).sum()), int(events.sum())
    return {
        "precision": round(right / n_events, 4) if n_events else None,
        "recall": round(right / max(1, int(own.sum())), 4),
    }


def _cross_fitted(
    peaks: npt.NDArray[np.float64],
    own: npt.NDArray[np.bool_],
    precision: float,
    per_class: bool,
    lowest: float,
) -> dict[str, float | None]:
    parts = np.random.default_rng(0).permutation(len(peaks)) % N_PARTS
    events = np.zeros(peaks.shape, dtype=bool)
    for part in range(N_PARTS):
        inside = parts == part
        if per_class:
            on: Any = _per_class(peaks[~inside], own[~inside], precision)
        else:
            on = _common(peaks[~inside], own[~inside], precision)
        events[inside] = peaks[inside] >= np.maximum(on, lowest)
    return _figures(events, own)
