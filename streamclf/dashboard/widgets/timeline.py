"""Classes by time over the last minutes, and the events below."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from rich.segment import Segment

from streamclf.dashboard.snapshot import COURSE_S, Picture
from streamclf.dashboard.widgets.canvas import SHADES, Canvas, pair
from streamclf.dashboard.widgets.palette import N_SHADES
from streamclf.dashboard.widgets.row_order import SteadyRows
from streamclf.dashboard.widgets.text import fit_words, in_column


class Timeline(Canvas):
    """A row a class, brightness = averaged score; the events as bars in the last row."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "timeline--label",
        "timeline--event",
        "timeline--gap",
        "timeline--scale",
    }

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows = SteadyRows()
        self._labels: list[str] = []

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """Rows of cells, each as long as the width asks for."""
        labels = picture.card.labels
        if self._labels != labels:
            self._labels, self._rows = labels, SteadyRows()
        names = picture.names
        name_width = min(max(len(name) for name in names), max(width // 5, 16)) + 1
        n_cells = max(width - name_width, 1)
        cell_s = max(COURSE_S / n_cells, 0.5)
        # Cells stay in place while time passes: they begin at multiples of their length.
        last = int(picture.time_s / cell_s)
        scores = self._scores(picture, n_cells, cell_s, last)
        n_rows = min(max(height - 2, 1), len(labels))
        top = np.argsort(-scores.max(axis=0), kind="stable")[:n_rows]
        style = self.part("timeline--label")
        lines = []
        for index in self._rows.update([int(i) for i in top]):
            name = Segment(in_column(names[index], name_width), style)
            lines.append([name, *self._cells(scores[:, index])])
        events = self._events(picture, n_cells, cell_s, last)
        scale = _scale(n_cells, cell_s)
        return [
            *lines,
            [Segment(in_column("events", name_width), style), *events],
            [Segment(" " * name_width, style), Segment(scale, self.part("timeline--scale"))],
        ]

    def _scores(
        self, picture: Picture, n_cells: int, cell_s: float, last: int
    ) -> npt.NDArray[np.float32]:
        """The highest score ``(cells, classes)`` in each cell."""
        n_labels = len(picture.card.labels)
        scores = np.zeros((n_cells, n_labels), dtype=np.float32)
        for mean in picture.means:
            cell = n_cells - 1 - last + int(mean.time_s / cell_s)
            if 0 <= cell < n_cells and mean.values.size == n_labels:
                np.maximum(scores[cell], mean.values, out=scores[cell])
        return scores

    def _cells(self, scores: npt.NDArray[np.float32]) -> list[Segment]:
        colours = self.shades
        if colours is None:
            steps = np.clip(scores * len(SHADES), 0, len(SHADES) - 1).astype(int).tolist()
            return [Segment("".join(SHADES[step] for step in steps), self.rich_style)]
        steps = np.clip(scores * N_SHADES, 0, N_SHADES - 1).astype(int).tolist()
        return [Segment(" ", pair(colours[step], colours[step])) for step in steps]

    def _events(self, picture: Picture, n_cells: int, cell_s: float, last: int) -> list[Segment]:
        cells, kinds = [" "] * n_cells, [0] * n_cells
        for entry in picture.entries:
            first = n_cells - 1 - last + int(entry.onset_s / cell_s)
            end = n_cells - 1 - last + int(entry.offset_s / cell_s)
            if end < 0 or first >= n_cells or entry.kind not in ("event", "gap"):
                continue
            begin, end = max(first, 0), min(max(end, first + 1), n_cells)
            if entry.kind == "gap":
                cells[begin:end], kinds[begin:end] = "╱" * (end - begin), [2] * (end - begin)
                continue
            room = end - begin
            text = f"▏{_name_in(entry.label, room - 1)}".ljust(room)
            cells[begin:end], kinds[begin:end] = text, [1] * (end - begin)
        styles = [self.rich_style, self.part("timeline--event"), self.part("timeline--gap")]
        return [Segment(cell, styles[kind]) for cell, kind in zip(cells, kinds, strict=True)]


def _name_in(label: str, room: int) -> str:
    """A label in a bar, or its first words; nothing where those do not fit."""
    shown = fit_words(label, room)
    whole = shown == label or label.startswith(shown.rstrip("…") + " ")
    return shown if whole or f"{shown.rstrip('…')}," in label else ""


def _scale(n_cells: int, cell_s: float) -> str:
    """Time stamps below, counted back from now."""
    cells = [" "] * n_cells
    for minutes in range(1, 6):
        text = f"│-{minutes} min"
        first = n_cells - 1 - round(minutes * 60 / cell_s)
        if first >= 0:
            cells[first : first + len(text)] = text
    return "".join(cells[: n_cells - 3]) + "now"
