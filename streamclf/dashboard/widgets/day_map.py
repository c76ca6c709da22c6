"""Map of a day: sounds by hour, the brighter the more events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.message import Message

from streamclf.dashboard.widgets.canvas import SHADES, Canvas, two_colour_style
from streamclf.dashboard.widgets.palette import luminance
from streamclf.dashboard.widgets.text import fit_exactly
from streamclf.store.days import DayTable

N_HOURS = 24
COUNT_WIDTH = 7
MIN_NAME_WIDTH, MAX_NAME_WIDTH = 14, 24
DIGITS_WIDTH = 3
"""Cells of an hour from which on the number of events is written in it."""
ALL = "all sounds"
NOT_HEARD = "╱"
BRIGHT = 0.18
"""Relative luminance from which on black is easier to read than white."""


class DayMap(Canvas, can_focus=True):
    """Heat map of one day, with a cursor: at first on all sounds of the whole day.

    An hour in which nothing listened is drawn as `NOT_HEARD`, so that it is not taken for silence.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "day-map--name",
        "day-map--count",
        "day-map--chosen",
        "day-map--gap",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1,0)", "Hour", key_display="← →"),
        Binding("right,l", "move(1,0)", "Hour after", show=False),
        Binding("up,k", "move(0,-1)", "Sound", key_display="↑ ↓"),
        Binding("down,j", "move(0,1)", "Sound below", show=False),
        Binding("tab", "app.focus_next", "List", key_display="Tab"),
    ]

    class Moved(Message):
        """The user chose another hour or label."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "events by hour"
        self._table: DayTable | None = None
        self._names: Mapping[str, str] = {}
        self._column, self._row = -1, -1
        self._top = 0

    @property
    def hour(self) -> int | None:
        """The chosen hour; None for the whole day."""
        return None if self._column < 0 else self._column

    @property
    def label(self) -> str | None:
        """The chosen label; None for all."""
        labels = self._table.labels if self._table else []
        return labels[self._row] if 0 <= self._row < len(labels) else None

    def show_day(self, table: DayTable, names: Mapping[str, str]) -> None:
        """Draw a day, with the names of its labels.

        The cursor stays on its hour, and on its label if the day has it.
        """
        label = self.label
        self._table, self._names = table, names
        labels = table.labels
        self._row = labels.index(label) if label in labels else -1
        self.repaint()

    def action_move(self, hours: int, rows: int) -> None:
        """Move the cursor; before the first hour it is on the whole day."""
        if self._table is None:
            return
        before = self._column, self._row
        self._column = min(max(self._column + hours, -1), N_HOURS - 1)
        self._row = min(max(self._row + rows, -1), len(self._table.labels) - 1)
        if before != (self._column, self._row):
            self.repaint()
            self.post_message(self.Moved())

    def draw_lines(self, width: int, height: int) -> list[list[Segment]]:
        """Draw the hours, the sums, and a row for each label that fits."""
        table = self._table
        if table is None:
            return []
        cell = min(max((width - MIN_NAME_WIDTH - COUNT_WIDTH) // N_HOURS, 1), 5)
        name_width = max(min(width - N_HOURS * cell - COUNT_WIDTH, MAX_NAME_WIDTH), 1)
        n_rows = max(height - 2, 0)
        self._top = min(max(self._top, self._row - n_rows + 1), max(self._row, 0))
        muted = self.component_style("day-map--count")
        ticks = "".join(f"{hour:<{3 * cell}}" for hour in range(0, N_HOURS, 3))
        lines = [[Segment(" " * (name_width + 1), muted), Segment(ticks, muted)]]
        lines.append(self._draw_row(-1, ALL, table.totals, name_width, cell))
        for row in range(self._top, min(self._top + n_rows, len(table.labels))):
            name = self._names.get(table.labels[row], table.labels[row])
            lines.append(self._draw_row(row, name, table.n_events[row], name_width, cell))
        if not table.labels:
            text = "no event" if any(table.heard_h) else "nothing listened on this day"
            lines.append([Segment(text, muted)])
        return lines

    def _draw_row(
        self, row: int, name: str, counts: list[int], name_width: int, cell: int
    ) -> list[Segment]:
        table = self._table
        assert table is not None
        chosen = self.component_style("day-map--chosen")
        name_style = self.component_style("day-map--name")
        on_row = row == self._row
        # Sums are compared with sums, and labels with each other.
        rows = [table.totals] if row < 0 else table.n_events
        most = max((max(each) for each in rows), default=0)
        segments = [
            Segment(fit_exactly(name, name_width), chosen if on_row else name_style),
            Segment("▸" if on_row and self._column < 0 else " ", chosen if on_row else name_style),
        ]
        for hour, n_events in enumerate(counts):
            text, style = self._draw_cell(n_events, most, heard=table.heard_h[hour] > 0, width=cell)
            if on_row and hour == self._column:
                style = chosen
                text = f"▸{n_events}"[:cell].ljust(cell) if cell > 1 else "▸"
            segments.append(Segment(text, style))
        number = f"{sum(counts):>{COUNT_WIDTH - 1},}"
        segments.append(Segment(number, self.component_style("day-map--count")))
        return segments

    def _draw_cell(self, n_events: int, most: int, *, heard: bool, width: int) -> tuple[str, Style]:
        if not n_events and not heard:
            return f"{NOT_HEARD:>{width}}", self.component_style("day-map--gap")
        number = f"{n_events}" if n_events else ""
        if len(number) >= width:
            number = f"{'9' * (width - 1)}+"
        text = f"{number:>{width}}" if width >= DIGITS_WIDTH else " " * width
        # The root tells one event from none, next to an hour of hundreds.
        share = math.sqrt(n_events / most) if most else 0.0
        if (colours := self.shades) is None:
            shade = SHADES[math.ceil(share * (len(SHADES) - 1))] * width
            return text if width >= DIGITS_WIDTH else shade, self.rich_style
        colour = colours[math.ceil(share * (len(colours) - 1))]
        return text, two_colour_style("black" if luminance(colour) > BRIGHT else "white", colour)
