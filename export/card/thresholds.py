"""Thresholds for a wanted precision, for all classes together and for each.

A clip counts as an event of a label if its averaged score reaches the label's threshold anywhere in
the clip; it is right if the label is the clip's.

A class has few clips, too few to know its precision at a threshold by them alone. So each class is
credited with `PRIOR_EVENTS` more events, of which as many are right as of all classes' events at
the same threshold: where a class says little its threshold stays near the common one.

Where no threshold reaches the precision, the common one is so high that nothing is reported: what
was asked for is that little is wrong, and few events that are wrong are no answer to that.
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
"""Those that may be asked for when listening."""

KEPT = 0.95
"""Part of the averages of known clips that must not count as unknown."""

OFF_RATIO = 0.6
PRIOR_EVENTS = 10

SUREST = 0.9
"""No sound as sure as this is unknown, however sure the network was of all that judged it."""

GRID = np.round(np.arange(0.2, 0.96, 0.01), 2)


def choose_thresholds(
    heard: WindowLogits,
    temperature: float,
    precision: float,
    labels: list[str] | None = None,
    off_ratio: float = OFF_RATIO,
    lowest: float = 0.0,
    never: Collection[str] = (),
) -> tuple[Thresholds, dict[str, Any]]:
    """The lowest thresholds at which enough of the events are right.

    Args:
        heard: What the network said of clips it was not trained on.
        temperature: Of the scores.
        precision: Part of the events that should be right.
        labels: Of the classes, for thresholds of their own; one for all if not given.
        off_ratio: ``off`` as a part of ``on``.
        lowest: No threshold is below it; what is unknown must be no event.
        never: Labels that are never reported; their clips are other sounds.

    Returns:
        The thresholds, and the precision (None: there are no events) and recall they had on these
        clips and, chosen on the other parts of them, on each part. ``reached`` says whether any
        common threshold gives the precision, ``best`` which is the highest there is.
    """
    peaks, own = _peaks(heard, temperature)
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
    if len(heard.targets) >= 2 * N_PARTS:
        figures["cross_fitted"] = _cross_fitted(peaks, own, precision, bool(labels), lowest)
    chosen = Thresholds(on=common, off=round(common * off_ratio, 3), classes=classes)
    return chosen, figures


def find_unknown(heard: WindowLogits, temperature: float) -> float:
    """The averaged score that most averages of known clips reach in some class."""
    highest = np.concatenate([clip.max(axis=1) for clip in RUNNING(heard, temperature)])
    return min(round(float(np.quantile(highest, 1 - KEPT)), 4), SUREST)


def find_sure(heard: WindowLogits, temperature: float, silent: Sequence[int] = ()) -> float:
    """The averaged score that nearly all known clips reach somewhere, where they are few.

    Args:
        heard: What the network said of clips it was not trained on.
        temperature: Of the scores.
        silent: Classes that are never reported; their clips are none that must be found.
    """
    peaks, own = _peaks(heard, temperature)
    found = peaks[own][~np.isin(heard.targets, silent)]
    return min(round(float(np.quantile(found, 1 - KEPT)), 4), SUREST) if found.size else SUREST


def _peaks(
    heard: WindowLogits, temperature: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """``(clips, classes)``: each class's highest average, and whether the clip is of it."""
    averages = RUNNING(heard, temperature)
    peaks = np.stack([average.max(axis=0) for average in averages])
    own = np.zeros(peaks.shape, dtype=bool)
    own[np.arange(len(heard.targets)), heard.targets] = True
    return peaks, own


def _counts(
    peaks: npt.NDArray[np.float64], own: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """``(grid, classes)``: events of each class at each threshold, and those that are right."""
    events = np.stack([(peaks >= on).sum(axis=0) for on in GRID])
    right = np.stack([((peaks >= on) & own).sum(axis=0) for on in GRID])
    return events, right


def _pooled(peaks: npt.NDArray[np.float64], own: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """``(grid,)``: the precision of all classes together; 0 where nothing reaches a threshold."""
    events, right = _counts(peaks, own)
    return right.sum(axis=1) / np.maximum(1, events.sum(axis=1))


def _per_class(
    peaks: npt.NDArray[np.float64], own: npt.NDArray[np.bool_], precision: float
) -> npt.NDArray[np.float64]:
    events, right = _counts(peaks, own)
    pooled = _pooled(peaks, own)
    shrunk = (right + PRIOR_EVENTS * pooled[:, None]) / (events + PRIOR_EVENTS)
    on = np.array([_lowest(column, precision) for column in shrunk.T])
    # A class that is never right often enough must not get by with less than the others.
    never = (shrunk < precision).all(axis=0)
    return np.where(never, np.maximum(on, _common(peaks, own, precision)), on)


def _common(peaks: npt.NDArray[np.float64], own: npt.NDArray[np.bool_], precision: float) -> float:
    """The lowest threshold at which enough of all events are right, or one that lets none pass."""
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
