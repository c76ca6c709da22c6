"""Current sounds, in the largest letters on the screen."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style

from streamclf.dashboard.snapshot import Snapshot
from streamclf.dashboard.widgets.canvas import Canvas
from streamclf.dashboard.widgets.large_text import render_large
from streamclf.dashboard.widgets.row_order import DampedRows
from streamclf.dashboard.widgets.text import fit_words

ABOVE = "▲"
NOTHING = "nothing above threshold"
WAITING = "waiting for the first window ..."
NO_AUDIO = "no audio"
BETWEEN = " + "


class Headline(Canvas):
    """Names of the sounds with an ongoing event; without one, of those above their thresholds."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"headline--sound", "headline--quiet"}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows = DampedRows()
        self._labels: list[str] = []

    def draw(self, snapshot: Snapshot, width: int, height: int) -> list[list[Segment]]:
        """Draw large letters where they fit, and plain text elsewhere."""
        quiet = self.component_style("headline--quiet")
        if snapshot.values is None:
            lost = snapshot.columns and snapshot.level.missing
            return _centre([NO_AUDIO if lost else WAITING], width, height, quiet)
        names = self._sounds(snapshot)
        if names:
            return self._draw_names(names, width, height)
        verdict, score = snapshot.verdict
        if verdict != "known":
            return _centre([f"{verdict} {score:.2f}"], width, height, quiet)
        return _centre([NOTHING], width, height, quiet)

    def _sounds(self, snapshot: Snapshot) -> list[str]:
        assert snapshot.values is not None
        if self._labels != snapshot.card.labels:
            self._labels, self._rows = snapshot.card.labels, DampedRows()
        scores = {index: float(snapshot.values[index]) for index in snapshot.active_classes}
        rows = self._rows.update(snapshot.time_s, scores)
        return [snapshot.names[index] for index in rows if index >= 0]

    def _draw_names(self, names: list[str], width: int, height: int) -> list[list[Segment]]:
        style = self.component_style("headline--sound")
        room = max(width - 2, 1)
        for n_large in range(len(names), 0, -1):
            rest = names[n_large:]
            rows = render_large(BETWEEN.join(names[:n_large]), room, height)
            if rows is None:
                continue
            lines = [[Segment(f" {row}", style)] for row in rows]
            others = f"+ {', '.join(rest)}"
            if rest and len(lines) < height:
                lines.append([Segment(f" {fit_words(others, room)}", style)])
            elif rest:
                free = room - len(rows[-1]) - 2
                lines[len(rows) // 2].append(Segment(f"  {fit_words(others, free)}", style))
            top = (height - len(lines)) // 2
            return [[] for _ in range(top)] + lines
        # The first words of "vehicle horn, car horn, honking" suffice.
        first, _, others = names[0].partition(",")
        words = f"{ABOVE} {', '.join(names)}"
        rows = render_large(first, room, height - 1)
        if rows is not None:
            return [[Segment(f" {row}", style)] for row in [*rows, fit_words(words, room)]]
        rows = render_large(first, room, height)
        if rows is None:
            return _centre([words], width, height, style)
        lines = [[Segment(f" {row}", style)] for row in rows]
        beside = BETWEEN.join([others.strip(), *names[1:]]).removeprefix(BETWEEN)
        free = room - len(rows[-1]) - 2
        if free > 0:
            lines[len(rows) // 2].append(Segment(f"  {fit_words(beside, free)}", style))
        return lines


def _centre(texts: list[str], width: int, height: int, style: Style) -> list[list[Segment]]:
    lines = [[Segment(f" {fit_words(text, max(width - 2, 1))}", style)] for text in texts]
    return [[] for _ in range(max(height - len(lines), 0) // 2)] + lines
