"""The highest average of each class and where it was: what to say where no event was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Average

N_TOLD = 3
WORTH_TELLING = 0.05
"""Averages below this say of no class that it may have sounded."""


class Highest:
    """The highest averages of one recording, or of several together."""

    def __init__(self) -> None:
        self._values: npt.NDArray[np.float32] | None = None
        self._positions: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._sources: list[str] = []

    def add(self, average: Average) -> None:
        """Take the next average."""
        values = average.values
        if self._values is None or self._values.size != values.size:  # another model's
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

    def join(self, other: Highest, source: str) -> None:
        """Take over what is higher in another recording."""
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
        """The highest averages for people; empty where nothing is worth telling.

        Args:
            labels: Of the classes, in their order.
            thresholds: Of the labels that count.
            sample_rate: At which positions count, in Hz.
            display_name: What people read in place of a label.
        """
        if self._values is None or self._values.size != len(labels):
            return ""
        order = [
            int(index)
            for index in np.argsort(-self._values, kind="stable")
            if labels[index] in thresholds and self._values[index] >= WORTH_TELLING
        ]
        told: list[str] = []
        for index in order[:N_TOLD]:
            label = labels[index]
            source = f" of {self._sources[index]}" if self._sources[index] else ""
            limit = f"{thresholds[label]:.2f}"
            told.append(
                f"{display_name(label)} {self._values[index]:.2f} at "
                f"{format_place(self._positions[index] / sample_rate)}{source}, "
                + (f"its threshold is {limit}" if not told else f"threshold {limit}")
            )
        return "; ".join(told)


def format_place(seconds: float) -> str:
    """A place in a recording for people: ``0:12``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
