"""Number of events of each sound in this session."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment

from streamclf.dashboard.snapshot import Snapshot
from streamclf.dashboard.widgets.canvas import Canvas, bar
from streamclf.dashboard.widgets.text import fit_exactly, fit_words


class Counts(Canvas):
    """Table with a row for each label, the most frequent first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"counts--row", "counts--bar", "counts--rest"}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "this session"

    def draw(self, snapshot: Snapshot, width: int, height: int) -> list[list[Segment]]:
        """Draw number, label and bar in each row."""
        counts = snapshot.counts
        if not counts:
            return [
                [Segment(fit_words("no events yet", width), self.component_style("counts--rest"))]
            ]
        digits = len(str(counts[0][1]))
        n_rows = height if len(counts) <= height else height - 1
        longest = max(len(label) for label, _ in counts)
        name_width = max(min(longest, width - digits - 1), 1)
        bar_width = max(width - digits - name_width - 2, 0)
        lines = []
        for label, number in counts[:n_rows]:
            text = f"{number:>{digits}} {fit_exactly(label, name_width)}"
            filled = bar(number / counts[0][1], bar_width)
            lines.append([
                Segment(text, self.component_style("counts--row")),
                Segment(f" {filled}" if bar_width else "", self.component_style("counts--bar")),
            ])  # fmt: skip
        if rest := counts[n_rows:]:
            n_events = sum(number for _, number in rest)
            text = fit_words(f"{n_events} of {len(rest)} more labels", width)
            lines.append([Segment(text, self.component_style("counts--rest"))])
        return lines
