"""Highest averaged score of each class and its place, shown where no event was found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Average
from streamclf.core.text_format import format_place

N_SHOWN = 3
"""Number of classes shown."""
MIN_SHOWN = 0.05
"""Lowest average shown; below it, nothing suggests that the class sounded."""


class HighestAverages:
    """Highest averaged score of each class, over one recording or several."""

    def __init__(self) -> None:
        self._values: npt.NDArray[np.float32] | None = None
        self._positions: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._sources: list[str] = []

    def add(self, average: Average) -> None:
        """Update with the next average."""
        values = average.values
        if self._values is None or self._values.size != values.size:  # from another model
            self._values = values.copy()
            self._positions = np.full(values.size, average.position, dtype=np.int64)
            self._sources = [""] * values.size
            return
        risen = values > self._values
        if risen.any():
            self._values[risen] = values[risen]
            self._positions[risen] = average.position
            for index in np.flatnonzero(risen):
                self._sources[index] = ""

    def merge(self, other: HighestAverages, source: str) -> None:
        """Update with the highest averages of another recording.

        Args:
            other: Those averages.
            source: Name of that recording.
        """
        if other._values is None:
            return
        if self._values is None or self._values.size != other._values.size:
            self._values = np.full_like(other._values, -np.inf)
            self._positions = np.zeros(other._values.size, dtype=np.int64)
            self._sources = [""] * other._values.size
        for index in np.flatnonzero(other._values > self._values):
            self._values[index] = other._values[index]
            self._positions[index] = other._positions[index]
            self._sources[index] = other._sources[index] or source

    def describe(
        self,
        labels: Sequence[str],
        thresholds: Mapping[str, float],
        sample_rate: int,
        display_name: Callable[[str], str],
    ) -> str:
        """Describe the highest averages for people; empty where all are too low.

        Args:
            labels: Labels of the classes, in the order of the output.
            thresholds: Threshold of each label that may be shown; infinite ones are not.
            sample_rate: Sample rate of the positions in Hz.
            display_name: Returns the name shown to people for a label.
        """
        if self._values is None or self._values.size != len(labels):
            return ""
        order = [
            int(index)
            for index in np.argsort(-self._values, kind="stable")
            if thresholds.get(labels[index], math.inf) < math.inf
            and self._values[index] >= MIN_SHOWN
        ]
        parts: list[str] = []
        for index in order[:N_SHOWN]:
            label = labels[index]
            source = f" of {self._sources[index]}" if self._sources[index] else ""
            limit = f"{thresholds[label]:.2f}"
            parts.append(
                f"{display_name(label)} {self._values[index]:.2f} at "
                f"{format_place(self._positions[index] / sample_rate)}{source}, "
                + (f"its threshold is {limit}" if not parts else f"threshold {limit}")
            )
        return "; ".join(parts)
