"""The classes that are heard now, as bars."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from rich.segment import Segment
from textual.binding import Binding, BindingType

from streamclf.dashboard.snapshot import Picture
from streamclf.dashboard.widgets.canvas import Canvas, bar
from streamclf.dashboard.widgets.row_order import CalmRows
from streamclf.dashboard.widgets.text import fit_words, in_column

ABOVE, SELECTED = "▲", "›"
LEAST = 0.05
"""What scores less is not shown."""


class Now(Canvas, can_focus=True):
    """The classes by averaged score, the strongest first; rows move calmly."""

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
        self._rows = CalmRows()
        self._labels: list[str] = []
        self._shown: list[str] = []
        self.selected: str | None = None

    @property
    def shown(self) -> list[str]:
        """Labels from the first row to the last."""
        return self._shown

    def action_select(self, step: int) -> None:
        """Select the class in the row above or below."""
        labels = self._shown
        if not labels:
            return
        at = labels.index(self.selected) + step if self.selected in labels else 0
        self.selected = labels[min(max(at, 0), len(labels) - 1)]
        self.repaint()

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """A row a class."""
        if picture.values is None:
            return []
        labels = picture.card.labels
        if self._labels != labels:
            self._labels, self._rows, self.selected = labels, CalmRows(), None
        heard = np.flatnonzero(picture.values >= LEAST)
        scores = {int(index): float(picture.values[index]) for index in heard}
        rows = self._rows.update(picture.time_s, scores)[:height]
        self._shown = [labels[index] for index in rows if index >= 0]
        if not rows:
            text = fit_words(f"nothing scores {LEAST:g} or more", width)
            return [[Segment(text, self.part("now--quiet"))]]
        return [self._row(picture, index, width) if index >= 0 else [] for index in rows]

    def _row(self, picture: Picture, index: int, width: int) -> list[Segment]:
        assert picture.values is not None
        score, on = float(picture.values[index]), float(picture.on[index])
        above = bool(picture.above[index])
        name_width, bar_width = _widths(picture, width)
        style = self.part("now--above" if above else "now--below")
        filled = bar(score, bar_width)
        rest = ["·"] * (bar_width - len(filled))
        tick = min(int(on * bar_width), bar_width - 1)
        if tick >= len(filled):
            rest[tick - len(filled)] = "│"
        chosen = picture.card.labels[index] == self.selected
        name_style = style + self.part("now--selected") if chosen else style
        return [
            Segment(f"{ABOVE if above else ' '}{SELECTED if chosen else ' '}", style),
            Segment(in_column(picture.names[index], name_width), name_style),
            Segment(" ", style),
            Segment(filled, style),
            Segment("".join(rest), self.part("now--track")),
            Segment(f"  {score:4.2f}", style),
        ]


def _widths(picture: Picture, width: int) -> tuple[int, int]:
    """Of names and of bars."""
    name_width = min(max(len(name) for name in picture.names), max(width // 2, 8))
    return name_width, max(width - name_width - 9, 4)
