"""Two runs over the same audio, result by result: where they differ, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from streamclf.card import Card
from streamclf.records import Average, Gap, Result, SoundEvent


@dataclass
class Comparison:
    """How alike two runs were.

    Attributes:
        n_windows: Compared.
        n_events: Compared.
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
    for one, other in zip_longest(_compared(expected), _compared(found)):
        if one is None or other is None or not _same_place(one, other):
            a, b = describe(one, card), describe(other, card)
            comparison.fault = f"{b} where {a} was expected"
            break
        if isinstance(one, Average) and isinstance(other, Average):
            comparison.n_windows += 1
            _widen(comparison, one.scores.values, other.scores.values)
            _widen(comparison, one.values, other.values)
        elif isinstance(one, SoundEvent) and isinstance(other, SoundEvent):
            comparison.n_events += 1
            _widen(comparison, np.array(one.score), np.array(other.score))
    return comparison


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
    if isinstance(result, Gap):
        return f"a gap {result.position / rate:.2f}-{result.end / rate:.2f} s"
    if isinstance(result, Average):
        return f"a window {result.position / rate:.2f}-{result.end / rate:.2f} s"
    return "nothing"


def _compared(results: Iterable[Result]) -> Iterator[Result]:
    return (result for result in results if isinstance(result, Average | SoundEvent | Gap))


def _same_place(one: Result, other: Result) -> bool:
    if isinstance(one, Average) and isinstance(other, Average):
        return (one.position, one.end) == (other.position, other.end)
    if isinstance(one, SoundEvent) and isinstance(other, SoundEvent):
        return (one.label, one.onset, one.offset) == (other.label, other.onset, other.offset)
    return one == other


def _widen(
    comparison: Comparison, one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]
) -> None:
    comparison.difference = max(comparison.difference, difference_of(one, other))
