"""Two runs over the same audio, result by result: where they differ, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card
from streamclf.core.records import Average, EventBegan, EventOngoing, Gap, Result, SoundEvent


@dataclass
class Comparison:
    """How alike two runs were.

    Attributes:
        n_windows: Compared.
        n_events: Compared; each had one begin.
        difference: The largest between two scores, of windows, averages and events.
        fault: The first thing that one run has and the other has not; empty if there is none.
    """

    n_windows: int = 0
    n_events: int = 0
    difference: float = 0.0
    fault: str = ""

    def within(self, limit: float) -> bool:
        """Whether nothing differs by more."""
        # Written so that NaN does not pass.
        return not self.fault and self.difference <= limit


def compare(expected: Iterable[Result], found: Iterable[Result], card: Card) -> Comparison:
    """Compare two runs while they go on; nothing is kept of either.

    Args:
        expected: The run that the other is measured by.
        found: The other.
        card: Of the model of both.
    """
    comparison = Comparison()
    lives = _Lives()
    for one, other in zip_longest(_compared(expected), _compared(found)):
        if one is None or other is None or not _same_place(one, other):
            a, b = describe(one, card), describe(other, card)
            comparison.fault = f"{b} where {a} was expected"
            break
        if fault := lives.take(other):
            comparison.fault = f"{describe(other, card)} {fault}"
            break
        if isinstance(one, Average) and isinstance(other, Average):
            comparison.n_windows += 1
            _widen(comparison, one.scores.values, other.scores.values)
            _widen(comparison, one.values, other.values)
        elif isinstance(one, SoundEvent) and isinstance(other, SoundEvent):
            comparison.n_events += 1
            _widen(comparison, np.array(one.score), np.array(other.score))
        elif isinstance(one, EventBegan | EventOngoing) and isinstance(other, type(one)):
            _widen(comparison, np.array(one.score), np.array(other.score))
    if not comparison.fault and lives.open:
        comparison.fault = f"the event {min(lives.open)} began and never ended"
    return comparison


class _Lives:
    """Whether each event began once before it ended once, with the same id.

    Attributes:
        open: Those that have begun.
    """

    def __init__(self) -> None:
        self.open: set[str] = set()
        self._ended: dict[str, int] = {}  # where the newest event of each label ended

    def take(self, result: Result) -> str:
        """Take the next result; what is wrong with it, empty if nothing is."""
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
    """The largest between two arrays, as a part of their size where values pass 1.

    Infinite where they have other shapes, or one holds what is no number.
    """
    if one.shape != other.shape:
        return float("inf")
    a, b = one.astype(np.float64), other.astype(np.float64)
    difference = np.abs(a - b) / np.maximum(1.0, np.abs(a))
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def describe(result: Result | None, card: Card) -> str:
    """A result for people."""
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


def _compared(results: Iterable[Result]) -> Iterator[Result]:
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


def _widen(
    comparison: Comparison, one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]
) -> None:
    comparison.difference = max(comparison.difference, difference_of(one, other))
