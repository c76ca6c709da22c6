"""What sounds now, in the largest letters on the screen."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style

from streamclf.dashboard.snapshot import Picture
from streamclf.dashboard.widgets.canvas import Canvas
from streamclf.dashboard.widgets.large_text import letter
from streamclf.dashboard.widgets.row_order import CalmRows
from streamclf.dashboard.widgets.text import fit_words

ABOVE = "▲"
NOTHING = "nothing above threshold"
WAITING = "waiting for the first window ..."
BETWEEN = " + "


class Headline(Canvas):
    """The sounds above their thresholds and those whose events go on; else that there are none."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"headline--sound", "headline--quiet"}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows = CalmRows()
        self._labels: list[str] = []

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """Large letters where they fit, words where they do not."""
        quiet = self.part("headline--quiet")
        if picture.values is None:
            return _middle([WAITING], width, height, quiet)
        names = self._sounds(picture)
        if names:
            return self._say(names, width, height)
        verdict, score = picture.verdict
        if verdict != "known":
            return _middle([f"{verdict} {score:.2f}"], width, height, quiet)
        return _middle([NOTHING], width, height, quiet)

    def _sounds(self, picture: Picture) -> list[str]:
        assert picture.values is not None
        if self._labels != picture.card.labels:
            self._labels, self._rows = picture.card.labels, CalmRows()
        scores = {index: float(picture.values[index]) for index in picture.sounding}
        rows = self._rows.update(picture.time_s, scores)
        return [picture.names[index] for index in rows if index >= 0]

    def _say(self, names: list[str], width: int, height: int) -> list[list[Segment]]:
        style = self.part("headline--sound")
        room = max(width - 2, 1)
        for n_large in range(len(names), 0, -1):
            rest = names[n_large:]
            rows = letter(BETWEEN.join(names[:n_large]), room, height)
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
        # Of "vehicle horn, car horn, honking" the first words say enough.
        rows = letter(names[0].partition(",")[0], room, height - 1)
        words = f"{ABOVE} {', '.join(names)}"
        if rows is None:
            return _middle([words], width, height, style)
        return [[Segment(f" {row}", style)] for row in [*rows, fit_words(words, room)]]


def _middle(texts: list[str], width: int, height: int, style: Style) -> list[list[Segment]]:
    lines = [[Segment(f" {fit_words(text, max(width - 2, 1))}", style)] for text in texts]
    return [[] for _ in range(max(height - len(lines), 0) // 2)] + lines
