"""Current values of a regression, and their graphs over the last minutes."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment

from streamclf.dashboard.snapshot import Snapshot
from streamclf.dashboard.widgets.canvas import Canvas, bar
from streamclf.dashboard.widgets.text import fit_exactly

_STEPS = " ▁▂▃▄▅▆▇█"


class Gauge(Canvas):
    """Bars of the values, each between its lowest and its highest of the last minutes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"gauge--value", "gauge--track", "gauge--label"}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "now"

    def draw(self, snapshot: Snapshot, width: int, height: int) -> list[list[Segment]]:
        """Draw value and bar in a line, and the graph below."""
        label_style, style = (
            self.component_style("gauge--label"),
            self.component_style("gauge--value"),
        )
        if snapshot.values is None:
            return [[Segment("waiting for the first window ...", label_style)]]
        names = snapshot.names
        per_value = max(height // len(names), 2)
        lines: list[list[Segment]] = []
        for index, name in enumerate(names):
            series = [float(m.values[index]) for m in snapshot.averages if m.values.size > index]
            lowest, highest = min(series, default=0.0), max(series, default=1.0)
            span = (highest - lowest) or 1.0
            value = float(snapshot.values[index])
            bar_width = max(width - 32, 4)
            filled = bar((value - lowest) / span, bar_width)
            lines.append([
                Segment(f"{fit_exactly(name, 16)} {value:9.4g} ", style),
                Segment(filled, style),
                Segment("·" * (bar_width - len(filled)), self.component_style("gauge--track")),
            ])  # fmt: skip
            n_rows = per_value - 1
            levels = [round((v - lowest) / span * 8 * n_rows) for v in series[-width:]]
            for row in range(n_rows - 1, -1, -1):
                text = "".join(_STEPS[min(max(level - 8 * row, 0), 8)] for level in levels)
                lines.append([Segment(f"{text:>{width}}", style)])
        return lines
