"""Tables of text, with bars on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from streamclf.core.redaction import one_line
from streamclf.core.standard_streams import is_terminal

WIDEST = 100
"""Columns that a table has at most, for longer bars are no easier to read."""
LONGEST_NAME = 32
SHORTEST_BAR, LONGEST_BAR = 6, 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: Its heading.
        cells: Its texts, one a row.
        right: Whether they are aligned to the right, as numbers are.
    """

    title: str
    cells: list[str]
    right: bool = False


@dataclass(frozen=True)
class Look:
    """How a table may look.

    Attributes:
        width: Columns of the terminal; 0 for no bars.
        colours: Whether there are colours.
        blocks: Whether the terminal's encoding has blocks for bars.
    """

    width: int = 0
    colours: bool = False
    blocks: bool = True

    @classmethod
    def of_output(cls) -> Look:
        """The look that standard output asks for."""
        if not is_terminal(sys.stdout):
            return cls()
        try:
            _EIGHTHS.encode(sys.stdout.encoding or "ascii")
            blocks = True
        except UnicodeEncodeError:
            blocks = False
        colours = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        return cls(min(shutil.get_terminal_size().columns, WIDEST), colours, blocks)

    def paint(self, text: str, code: str) -> str:
        """Colour a text, if there are colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and text.strip() else text


def format_table(columns: Sequence[Column], parts: Sequence[float | None], look: Look) -> list[str]:
    """Write a table.

    Args:
        columns: The columns.
        parts: Length of each row's bar, of 1; None for no bar.
        look: How it may look.
    """
    cells = [[shorten(one_line(cell)) for cell in column.cells] for column in columns]
    widths = [
        max(map(cell_len, [column.title, *texts]))
        for column, texts in zip(columns, cells, strict=True)
    ]
    room = min(look.width - sum(widths) - 2 * len(widths) - 3, LONGEST_BAR)
    lines = [look.paint(_join([each.title for each in columns], columns, widths), "2")]
    for row, part in zip(zip(*cells, strict=True), parts, strict=True):
        text = _join(row, columns, widths)
        if part is not None and room >= SHORTEST_BAR:
            text += "  " + look.paint(_bar(part, room, look), "36")
        lines.append(text)
    return [f"  {line.rstrip()}" for line in lines]


def _join(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    texts = []
    for cell, column, width in zip(row, columns, widths, strict=True):
        blank = " " * (width - cell_len(cell))
        texts.append(blank + cell if column.right else cell + blank)
    return "  ".join(texts)


def _bar(part: float, room: int, look: Look) -> str:
    if not look.blocks:
        return "#" * round(part * room)
    eighths = max(round(part * room * 8), int(part > 0))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def shorten(text: str, width: int = LONGEST_NAME) -> str:
    """Shorten a text in its middle, as the ends of names tell them apart."""
    if cell_len(text) <= width:
        return text
    head = set_cell_size(text, (width - 3) // 3).rstrip()
    tail = text
    while cell_len(tail) > width - 3 - cell_len(head):
        tail = tail[1:]
    return f"{head}...{tail}"
