"""Cells of CSV: texts in one line, which no spreadsheet takes for a formula.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-`` or ``@``, whoever wrote it: a
recording or a label of another model may be called ``=HYPERLINK(...)``. An apostrophe in front
makes a text of it. `plain_cell` takes it away again.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from streamclf.core.redaction import one_line

_FORMULA = re.compile("'*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""Begin of a formula, in the signs of Asian keyboards as well; also of one that is marked."""
_NUMBER = re.compile(r"[+-]?([0-9]+([.:][0-9]+)?(e[+-]?[0-9]+)?|inf|nan)|-", re.ASCII)
"""A number, an offset from UTC, or the dash: they compute nothing."""


def csv_line(cells: Iterable[object]) -> str:
    r"""Format one row of CSV, quoted where necessary, without its line break.

    Line breaks in texts are written as ``\n``. CSV allows line breaks in quotes, but programs that
    read line by line, and rotation at the end of a line, would cut such a row in two.
    """
    text = io.StringIO()
    shown = [safe_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    csv.writer(text, lineterminator="").writerow(shown)
    return text.getvalue()


def safe_cell(text: str) -> str:
    """Write a text in one line, with an apostrophe in front of what would be a formula."""
    text = one_line(text)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def plain_cell(text: str) -> str:
    """Take away the apostrophe that `safe_cell` put in front of a text."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
