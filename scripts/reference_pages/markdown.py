"""Texts as Markdown takes them."""

from __future__ import annotations

import re

NOTE = "<!-- Written by scripts/reference.py: change the code, not this page. -->"


def paragraph(text: str) -> str:
    """A text as a paragraph: no character in it is Markdown's."""
    return re.sub(r"([*_`<>\[\]])", r"\\\1", text.strip())


def cell(text: str) -> str:
    """A text as a cell of a table, in one line."""
    return text.strip().replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def code(usage: str) -> str:
    """A usage as code in a cell of a table."""
    return "`" + usage.replace("|", "\\|") + "`"
