"""Timeline of the classes' scores over the last minutes, with the events below."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from rich.segment import Segment

from streamclf.dashboard.snapshot import TIMELINE_S, Snapshot
from streamclf.dashboard.widgets.canvas import SHADES, Canvas, two_colour_style
from streamclf.dashboard.widgets.palette import N_SHADES
from streamclf.dashboard.widgets.row_order import SteadyRows
from streamclf.dashboard.widgets.text import fit_exactly, fit_words


class Timeline(Canvas):
    """Rows of the classes, whose brightness is the averaged score, and a last row of events."""

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

    def draw(self, snapshot: Snapshot, width: int, height: int) -> list[list[Segment]]:
        """Draw the rows, the events and the time scale."""
        labels = snapshot.card.labels
        if self._labels != labels:
            self._labels, self._rows = labels, SteadyRows()
        names = snapshot.names
        name_width = min(max(len(name) for name in names), max(width // 5, 16)) + 1
        n_cells = max(width - name_width, 1)
        cell_s = max(TIMELINE_S / n_cells, 0.5)
        # Cells begin at multiples of their length, so that their contents stay the same over time.
        last = int(snapshot.time_s / cell_s)
        scores = self._scores(snapshot, n_cells, cell_s, last)
        n_rows = min(max(height - 2, 1), len(labels))
        # Classes with events come first: of many labels, others often score more than what is told.
        told = {
            entry.label
            for entry in snapshot.entries
            if entry.kind == "event"
            and entry.offset_s >= snapshot.time_s - TIMELINE_S
            and entry.onset_s <= snapshot.time_s
        }
        highest = scores.max(axis=0) + [1.0 * (name in told) for name in names]
        top = np.argsort(-highest, kind="stable")[:n_rows]
        style = self.component_style("timeline--label")
        lines = []
        for index in self._rows.update([int(i) for i in top]):
            name = Segment(fit_exactly(names[index], name_width), style)
            lines.append([name, *self._cells(scores[:, index])])
        events = self._events(snapshot, n_cells, cell_s, last)
        scale = _scale(n_cells, cell_s)
        return [
            *lines,
            [Segment(fit_exactly("events", name_width), style), *events],
            [
                Segment(" " * name_width, style),
                Segment(scale, self.component_style("timeline--scale")),
            ],
        ]

    def _scores(
        self, snapshot: Snapshot, n_cells: int, cell_s: float, last: int
    ) -> npt.NDArray[np.float32]:
        """Highest score in each cell, ``(cells, classes)``."""
        n_labels = len(snapshot.card.labels)
        scores = np.zeros((n_cells, n_labels), dtype=np.float32)
        for average in snapshot.averages:
            cell = n_cells - 1 - last + int(average.time_s / cell_s)
            if 0 <= cell < n_cells and average.values.size == n_labels:
                np.maximum(scores[cell], average.values, out=scores[cell])
        return scores

    def _cells(self, scores: npt.NDArray[np.float32]) -> list[Segment]:
        colours = self.shades
        if colours is None:
            steps = np.clip(scores * len(SHADES), 0, len(SHADES) - 1).astype(int).tolist()
            return [Segment("".join(SHADES[step] for step in steps), self.rich_style)]
        steps = np.clip(scores * N_SHADES, 0, N_SHADES - 1).astype(int).tolist()
        return [Segment(" ", two_colour_style(colours[step], colours[step])) for step in steps]

    def _events(self, snapshot: Snapshot, n_cells: int, cell_s: float, last: int) -> list[Segment]:
        cells, kinds = [" "] * n_cells, [0] * n_cells
        for entry in snapshot.entries:
            first = n_cells - 1 - last + int(entry.onset_s / cell_s)
            end = n_cells - 1 - last + int(entry.offset_s / cell_s)
            if end < 0 or first >= n_cells or entry.kind not in ("event", "gap"):
                continue
            begin, end = max(first, 0), min(max(end, first + 1), n_cells)
            if entry.kind == "gap":
                cells[begin:end], kinds[begin:end] = "╱" * (end - begin), [2] * (end - begin)
                continue
            room = end - begin
            text = f"▏{_shorten_label(entry.label, room - 1)}".ljust(room)
            cells[begin:end], kinds[begin:end] = text, [1] * (end - begin)
        styles = [
            self.rich_style,
            self.component_style("timeline--event"),
            self.component_style("timeline--gap"),
        ]
        return [Segment(cell, styles[kind]) for cell, kind in zip(cells, kinds, strict=True)]


def _shorten_label(label: str, room: int) -> str:
    """Shorten a label to its first words for a bar; empty if those do not fit."""
    shown = fit_words(label, room)
    whole = shown == label or label.startswith(shown.rstrip("…") + " ")
    return shown if whole or f"{shown.rstrip('…')}," in label else ""


def _scale(n_cells: int, cell_s: float) -> str:
    """Time scale, counted back from now in minutes."""
    cells = [" "] * n_cells
    for minutes in range(1, 6):
        text = f"│-{minutes} min"
        first = n_cells - 1 - round(minutes * 60 / cell_s)
        if first >= 0:
            cells[first : first + len(text)] = text
    return "".join(cells[: n_cells - 3]) + "now"
