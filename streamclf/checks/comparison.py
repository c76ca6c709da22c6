"""Comparison of two runs over the same audio, result by result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card
from streamclf.core.records import (
    Average,
    EventBegan,
    EventOngoing,
    Gap,
    Result,
    SoundEvent,
    StreamStarted,
)


@dataclass
class Comparison:
    """Differences between two runs.

    Attributes:
        n_windows: Number of compared windows.
        n_events: Number of compared events; each began once.
        difference: Largest difference between two scores of windows, averages or events.
        fault: Description of the first result that only one run has; empty if there is none.
    """

    n_windows: int = 0
    n_events: int = 0
    difference: float = 0.0
    fault: str = ""

    def within(self, limit: float) -> bool:
        """Whether the runs have the same results, and no scores differ by more than a limit."""
        # The order of the comparison makes NaN fail.
        return not self.fault and self.difference <= limit


def compare(
    expected: Iterable[StreamStarted | Result], found: Iterable[StreamStarted | Result], card: Card
) -> Comparison:
    """Compare two runs while they go on, without storing their results.

    Args:
        expected: Results of the reference run.
        found: Results of the other run.
        card: Card of the model of both runs.
    """
    comparison = Comparison()
    order = _EventOrder()
    for one, other in zip_longest(_compared(expected), _compared(found)):
        if one is None or other is None or not _same_place(one, other):
            a, b = describe(one, card), describe(other, card)
            comparison.fault = f"{b} where {a} was expected"
            break
        if fault := order.take(other):
            comparison.fault = f"{describe(other, card)} {fault}"
            break
        if isinstance(one, Average) and isinstance(other, Average):
            comparison.n_windows += 1
            _note_difference(comparison, one.scores.values, other.scores.values)
            _note_difference(comparison, one.values, other.values)
        elif isinstance(one, SoundEvent) and isinstance(other, SoundEvent):
            comparison.n_events += 1
            _note_difference(comparison, np.array(one.score), np.array(other.score))
        elif isinstance(one, EventBegan | EventOngoing) and isinstance(other, type(one)):
            _note_difference(comparison, np.array(one.score), np.array(other.score))
    if not comparison.fault and order.open:
        comparison.fault = f"the event {min(order.open)} began and never ended"
    return comparison


class _EventOrder:
    """Check that each event begins once, then ends once, with the same id.

    Attributes:
        open: Ids of the events that have begun and not ended.
    """

    def __init__(self) -> None:
        self.open: set[str] = set()
        self._ended: dict[str, int] = {}  # label -> offset of its last event

    def take(self, result: Result) -> str:
        """Check the next result; return a description of the fault, empty if there is none."""
        if isinstance(result, EventBegan):
            again = result.id in self.open or result.onset < self._ended.get(result.label, 0)
            self.open.add(result.id)
            return "for the second time" if again else ""
        if isinstance(result, EventOngoing | SoundEvent) and result.id not in self.open:
            return "that had not begun"
        if isinstance(result, SoundEvent):
            self.open.remove(result.id)
            self._ended[result.label] = result.offset
        return ""


def difference_of(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    """Return the largest difference between two arrays, relative for values above 1.

    It is infinite if the shapes differ or a value is NaN.
    """
    if one.shape != other.shape:
        return float("inf")
    a, b = one.astype(np.float64), other.astype(np.float64)
    difference = np.abs(a - b) / np.maximum(1.0, np.abs(a))
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def describe(result: Result | None, card: Card) -> str:
    """Describe a result in a message."""
    rate = card.sample_rate
    if isinstance(result, SoundEvent):
        return f"an event {result.label} {result.onset / rate:.2f}-{result.offset / rate:.2f} s"
    if isinstance(result, EventBegan):
        known = f"known at {result.position / rate:.2f} s"
        return f"the begin of {result.label} at {result.onset / rate:.2f} s, {known}"
    if isinstance(result, EventOngoing):
        return f"{result.label} from {result.onset / rate:.2f} s on going on"
    if isinstance(result, Gap):
        return f"a gap {result.position / rate:.2f}-{result.end / rate:.2f} s"
    if isinstance(result, Average):
        return f"a window {result.position / rate:.2f}-{result.end / rate:.2f} s"
    return "nothing"


def _compared(results: Iterable[StreamStarted | Result]) -> Iterator[Result]:
    kinds = Average | EventBegan | EventOngoing | SoundEvent | Gap
    return (result for result in results if isinstance(result, kinds))


def _same_place(one: Result, other: Result) -> bool:
    if isinstance(one, Average) and isinstance(other, Average):
        return (one.position, one.end) == (other.position, other.end)
    if isinstance(one, SoundEvent) and isinstance(other, SoundEvent):
        return (one.label, one.onset, one.offset) == (other.label, other.onset, other.offset)
    if isinstance(one, EventBegan | EventOngoing) and isinstance(other, type(one)):
        places = [(each.label, each.onset, each.position) for each in (one, other)]
        return places[0] == places[1]
    return one == other


def _note_difference(
    comparison: Comparison, one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]
) -> None:
    comparison.difference = max(comparison.difference, difference_of(one, other))
