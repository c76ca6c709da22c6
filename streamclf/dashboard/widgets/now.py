"""The classes that are heard now, as bars."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from rich.segment import Segment
from textual.binding import Binding, BindingType

from streamclf.dashboard.picture import Picture
from streamclf.dashboard.widgets.canvas import Canvas, bar, clip_text
from streamclf.dashboard.widgets.rows import SteadyRows

ABOVE, SELECTED = "▲", "›"
NOTHING = "nothing above threshold"


class Now(Canvas, can_focus=True):
    """The top classes by averaged score; a class keeps its row while it stays in the top."""

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
        self._rows = SteadyRows()
        self._labels: list[str] = []
        self.selected: str | None = None

    def action_select(self, step: int) -> None:
        """Select the class in the row above or below."""
        labels = [self._labels[index] for index in self._rows.rows]
        if not labels:
            return
        at = labels.index(self.selected) + step if self.selected in labels else 0
        self.selected = labels[min(max(at, 0), len(labels) - 1)]
        self.repaint()

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """A row a class, the last line for what is above, or for a sound of no known class."""
        if picture.values is None:
            return [[Segment("waiting for the first window ...", self.part("now--quiet"))]]
        labels = picture.card.labels
        if self._labels != labels:
            self._labels, self._rows, self.selected = labels, SteadyRows(), None
        n_rows = min(max(height - 1, 1), len(labels))
        top = [int(i) for i in np.argsort(-picture.values, kind="stable")[:n_rows]]
        rows = self._rows.update(top)
        above = picture.above
        lines = [self._row(picture, index, width, bool(above[index])) for index in rows]
        if height > n_rows:
            lines.append(self._summary(picture, width))
        return lines

    def _row(self, picture: Picture, index: int, width: int, above: bool) -> list[Segment]:
        assert picture.values is not None
        score, on = float(picture.values[index]), float(picture.on[index])
        label, name = picture.card.labels[index], picture.names[index]
        name_width, bar_width = _widths(picture, width)
        style = self.part("now--above" if above else "now--below")
        track = self.part("now--track")
        filled = bar(score, bar_width)
        rest = ["·"] * (bar_width - len(filled))
        tick = min(int(on * bar_width), bar_width - 1)
        if tick >= len(filled):
            rest[tick - len(filled)] = "│"
        chosen = label == self.selected
        mark = SELECTED if chosen else " "
        name_style = style + self.part("now--selected") if chosen else style
        return [
            Segment(f"{ABOVE if above else ' '}{mark}", style),
            Segment(clip_text(name, name_width), name_style),
            Segment(" ", style),
            Segment(filled, style),
            Segment("".join(rest), track),
            Segment(f"  {score:4.2f}", style),
        ]

    def _summary(self, picture: Picture, width: int) -> list[Segment]:
        verdict, score = picture.verdict
        if verdict != "known":
            name_width, bar_width = _widths(picture, width)
            filled = bar(score, bar_width)
            quiet = self.part("now--quiet")
            return [
                Segment(f"  {clip_text(verdict, name_width)} {filled}", quiet),
                Segment("·" * (bar_width - len(filled)), self.part("now--track")),
                Segment(f"  {score:4.2f}", quiet),
            ]
        above = [picture.names[i] for i in np.flatnonzero(picture.above)]
        if not above:
            return [Segment(clip_text(f"  {NOTHING}", width), self.part("now--quiet"))]
        text = f"{ABOVE} above threshold: {', '.join(above)}"
        return [Segment(clip_text(text, width), self.part("now--above"))]


def _widths(picture: Picture, width: int) -> tuple[int, int]:
    """Of names and of bars."""
    name_width = min(max(len(name) for name in picture.names), max(width // 3, 8))
    return name_width, max(width - name_width - 9, 4)
