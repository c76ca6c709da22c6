"""Steps of thresholds, hop and average."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streamclf.core.card import Threshold, Thresholds

STEP = 0.05
HOPS_S = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0)
AVERAGES_S = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)


def shift_all(thresholds: Thresholds, steps: int) -> Thresholds:
    """Raise or lower every threshold by steps of 0.05."""
    base = _shift(Threshold(thresholds.on, thresholds.off), steps)
    classes = {label: _shift(limit, steps) for label, limit in thresholds.classes.items()}
    return msgspec.structs.replace(thresholds, on=base.on, off=base.off, classes=classes)


def shift_class(thresholds: Thresholds, label: str, steps: int) -> Thresholds:
    """Raise or lower one class's."""
    moved = _shift(thresholds.of(label), steps)
    return msgspec.structs.replace(thresholds, classes={**thresholds.classes, label: moved})


def set_on(thresholds: Thresholds, on: float | None, classes: dict[str, float]) -> Thresholds:
    """Put remembered thresholds in force; ``off`` follows in proportion."""
    if on is not None:
        moved = _with_on(Threshold(thresholds.on, thresholds.off), on)
        thresholds = msgspec.structs.replace(thresholds, on=moved.on, off=moved.off)
    for label, value in classes.items():
        moved = _with_on(thresholds.of(label), value)
        thresholds = msgspec.structs.replace(
            thresholds, classes={**thresholds.classes, label: moved}
        )
    return thresholds


def next_step(steps: Sequence[float], value: float, direction: int) -> float:
    """The next step above or below a value."""
    if direction > 0:
        return next((step for step in steps if step > value + 1e-9), max(value, steps[-1]))
    return next((step for step in reversed(steps) if step < value - 1e-9), min(value, steps[0]))


def _shift(limit: Threshold, steps: int) -> Threshold:
    return _with_on(limit, limit.on + steps * STEP)


def _with_on(limit: Threshold, on: float) -> Threshold:
    ratio = limit.off / limit.on if limit.on else 1.0
    on = round(min(max(on, STEP), 1.0), 4)
    return Threshold(on, round(on * ratio, 4))
