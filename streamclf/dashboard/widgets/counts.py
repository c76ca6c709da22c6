"""How often each sound was heard in this session."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment

from streamclf.dashboard.snapshot import Picture
from streamclf.dashboard.widgets.canvas import Canvas, bar
from streamclf.dashboard.widgets.text import fit_words, in_column


class Counts(Canvas):
    """A row a label, the most frequent first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"counts--row", "counts--bar", "counts--rest"}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "this session"

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """Number, label and bar."""
        counts = picture.counts
        if not counts:
            return [[Segment(fit_words("no events yet", width), self.part("counts--rest"))]]
        digits = len(str(counts[0][1]))
        n_rows = height if len(counts) <= height else height - 1
        longest = max(len(label) for label, _ in counts)
        name_width = max(min(longest, width - digits - 1), 1)
        bar_width = max(width - digits - name_width - 2, 0)
        lines = []
        for label, number in counts[:n_rows]:
            text = f"{number:>{digits}} {in_column(label, name_width)}"
            filled = bar(number / counts[0][1], bar_width)
            lines.append([
                Segment(text, self.part("counts--row")),
                Segment(f" {filled}" if bar_width else "", self.part("counts--bar")),
            ])  # fmt: skip
        if rest := counts[n_rows:]:
            n_events = sum(number for _, number in rest)
            text = fit_words(f"{n_events} of {len(rest)} more labels", width)
            lines.append([Segment(text, self.part("counts--rest"))])
        return lines
