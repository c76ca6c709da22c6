"""Averaging of scores over time.

The average at a window covers the windows that ended in the last ``average`` samples, this window
included, back to the last gap. It depends on positions alone, so the sizes of blocks and batches
do not change it. A temperature is applied to the average, not to the single scores
(`streamclf.core.temperature`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from streamclf.core.records import Average, Change, Gap, Notice, Scores
from streamclf.core.settings import AverageKind
from streamclf.core.temperature import Values, temper, untemper


def average(
    items: Iterable[Scores | Gap | Notice | Change],
    n_samples: int,
    kind: AverageKind = "mean",
    temperature: float = 1.0,
) -> Iterator[Average | Gap | Notice | Change]:
    """Average the scores over time.

    Args:
        items: Scores in the order of their positions.
        n_samples: Length of the average, measured between the ends of windows; 0 for no averaging.
            After a `Change` to another length, the average starts from the windows still stored.
        kind: ``mean`` gives all windows the same weight. ``exponential`` lets the weight fall with
            age; its time constant is half of ``n_samples``, which gives the same mean age.
        temperature: Temperature of the given probabilities, and of the averages.

    Yields:
        An `Average` for each of the scores; gaps, notices and changes as they came.
    """
    state = _make(n_samples, kind)
    for item in items:
        if isinstance(item, Scores):
            plain = untemper(item.values.astype(np.float64), temperature)
            mean = temper(state.add(item.position, plain), temperature)
            yield Average(item, mean.astype(np.float32))
            continue
        if isinstance(item, Gap):
            state = _make(n_samples, kind)
        elif isinstance(item, Change) and item.average != n_samples:
            if bool(n_samples) == bool(item.average):
                state.resize(item.average)
            else:
                state = _make(item.average, kind)
            n_samples = item.average
        yield item


def _make(n_samples: int, kind: AverageKind) -> _Mean | _Exponential:
    return _Exponential(n_samples) if kind == "exponential" and n_samples else _Mean(n_samples)


class _Mean:
    """Mean of the windows of the last ``n_samples``."""

    def __init__(self, n_samples: int) -> None:
        self.resize(n_samples)
        self._positions: deque[int] = deque()
        # The last rows up to `_end` are those of `_positions`.
        self._rows: Values = np.zeros((0, 0))
        self._end = 0

    def resize(self, n_samples: int) -> None:
        """Change the length of the average."""
        self._n_samples = n_samples

    def add(self, position: int, values: Values) -> Values:
        # Windows are equally long, so distances between ends are distances between starts.
        while self._positions and self._positions[0] <= position - self._n_samples:
            self._positions.popleft()
        n_before = len(self._positions)
        if self._end == len(self._rows):
            # A sum over a single column would be made in pairs, and not in the order of time.
            rows = np.zeros((max(16, 2 * n_before), max(2, values.size)))
            if n_before:
                rows[:n_before] = self._rows[self._end - n_before :]
            self._rows, self._end = rows, n_before
        self._positions.append(position)
        self._rows[self._end, : values.size] = values
        self._end += 1
        # A running sum would drift over days, so the sum is computed from scratch.
        recent = self._rows[self._end - n_before - 1 : self._end]
        total: Values = recent.sum(axis=0, initial=0.0)[: values.size]
        return total / len(recent)


class _Exponential:
    """Mean of all windows since the last gap, weighted less with age."""

    def __init__(self, n_samples: int) -> None:
        self.resize(n_samples)
        self._total: Values | None = None
        self._weight = 0.0
        self._position = 0

    def resize(self, n_samples: int) -> None:
        """Change the length of the average, which sets the time constant."""
        self._time_constant = n_samples / 2

    def add(self, position: int, values: Values) -> Values:
        if self._total is None:
            self._total, self._weight = values, 1.0
        else:
            decay = np.exp((self._position - position) / self._time_constant)
            self._total = self._total * decay + values
            self._weight = self._weight * decay + 1.0
        self._position = position
        return self._total / self._weight
