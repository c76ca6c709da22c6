"""A regression's value, and its course."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment

from streamclf.dashboard.snapshot import Picture
from streamclf.dashboard.widgets.canvas import Canvas, bar
from streamclf.dashboard.widgets.text import in_column

_STEPS = " ▁▂▃▄▅▆▇█"


class Gauge(Canvas):
    """Each value as a bar between the lowest and the highest of the last minutes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"gauge--value", "gauge--track", "gauge--label"}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "now"

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """Value and bar in a line, the course below."""
        label_style, style = self.part("gauge--label"), self.part("gauge--value")
        if picture.values is None:
            return [[Segment("waiting for the first window ...", label_style)]]
        names = picture.names
        per_value = max(height // len(names), 2)
        lines: list[list[Segment]] = []
        for index, name in enumerate(names):
            course = [float(m.values[index]) for m in picture.means if m.values.size > index]
            lowest, highest = min(course, default=0.0), max(course, default=1.0)
            span = (highest - lowest) or 1.0
            value = float(picture.values[index])
            bar_width = max(width - 32, 4)
            filled = bar((value - lowest) / span, bar_width)
            lines.append([
                Segment(f"{in_column(name, 16)} {value:9.4g} ", style),
                Segment(filled, style),
                Segment("·" * (bar_width - len(filled)), self.part("gauge--track")),
            ])  # fmt: skip
            n_rows = per_value - 1
            levels = [round((v - lowest) / span * 8 * n_rows) for v in course[-width:]]
            for row in range(n_rows - 1, -1, -1):
                text = "".join(_STEPS[min(max(level - 8 * row, 0), 8)] for level in levels)
                lines.append([Segment(f"{text:>{width}}", style)])
        return lines
