"""Current scores of the classes, as bars."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from rich.segment import Segment
from textual.binding import Binding, BindingType

from streamclf.dashboard.snapshot import Snapshot
from streamclf.dashboard.widgets.canvas import Canvas, bar
from streamclf.dashboard.widgets.row_order import DampedRows
from streamclf.dashboard.widgets.text import fit_exactly, fit_words

ABOVE, SELECTED = "▲", "›"
MIN_SHOWN_SCORE = 0.05
"""Lowest score of a class that is shown."""


class CurrentLabels(Canvas, can_focus=True):
    """Bars of the classes by averaged score, the highest first; rows change places with a delay."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "now--above",
        "now--below",
        "now--track",
        "now--selected",
        "now--quiet",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "select(-1)", "Class above", show=False),
        Binding("down", "select(1)", "Class below", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "now"
        self._rows = DampedRows()
        self._labels: list[str] = []
        self._shown: list[str] = []
        self.selected: str | None = None

    @property
    def shown(self) -> list[str]:
        """Labels in the rows, from top to bottom."""
        return self._shown

    def action_select(self, step: int) -> None:
        """Select the class in the row above or below."""
        labels = self._shown
        if not labels:
            return
        at = labels.index(self.selected) + step if self.selected in labels else 0
        self.selected = labels[min(max(at, 0), len(labels) - 1)]
        self.repaint()

    def draw(self, snapshot: Snapshot, width: int, height: int) -> list[list[Segment]]:
        """Draw a row for each class."""
        if snapshot.values is None:
            return []
        labels = snapshot.card.labels
        if self._labels != labels:
            self._labels, self._rows, self.selected = labels, DampedRows(), None
        heard = np.flatnonzero(snapshot.values >= MIN_SHOWN_SCORE)
        scores = {int(index): float(snapshot.values[index]) for index in heard}
        rows = self._rows.update(snapshot.time_s, scores)[:height]
        self._shown = [labels[index] for index in rows if index >= 0]
        if not rows:
            text = fit_words(f"nothing scores {MIN_SHOWN_SCORE:g} or more", width)
            return [[Segment(text, self.component_style("now--quiet"))]]
        return [self._row(snapshot, index, width) if index >= 0 else [] for index in rows]

    def _row(self, snapshot: Snapshot, index: int, width: int) -> list[Segment]:
        assert snapshot.values is not None
        score, on = float(snapshot.values[index]), float(snapshot.on[index])
        above = bool(snapshot.above[index])
        name_width, bar_width = _widths(snapshot, width)
        style = self.component_style("now--above" if above else "now--below")
        filled = bar(score, bar_width)
        rest = ["·"] * (bar_width - len(filled))
        # A threshold above 1 is never reached, or not known.
        tick = min(int(min(on, 1.0) * bar_width), bar_width - 1)
        if tick >= len(filled) and on <= 1:
            rest[tick - len(filled)] = "│"
        chosen = snapshot.card.labels[index] == self.selected
        name_style = style + self.component_style("now--selected") if chosen else style
        return [
            Segment(f"{ABOVE if above else ' '}{SELECTED if chosen else ' '}", style),
            Segment(fit_exactly(snapshot.names[index], name_width), name_style),
            Segment(" ", style),
            Segment(filled, style),
            Segment("".join(rest), self.component_style("now--track")),
            Segment(f"  {score:4.2f}", style),
        ]


def _widths(snapshot: Snapshot, width: int) -> tuple[int, int]:
    """Widths of the names and of the bars, in cells."""
    name_width = min(max(len(name) for name in snapshot.names), max(width // 2, 8))
    return name_width, max(width - name_width - 9, 4)
