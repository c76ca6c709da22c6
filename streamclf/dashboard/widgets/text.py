"""Text that is shortened to a width at the end of a word."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size

ELLIPSIS = "…"


def fit_words(text: str, width: int) -> str:
    """Shorten a text to at most ``width`` cells, by whole words and with an ellipsis.

    A word is cut only if it is the first and too long by itself.
    """
    if cell_len(text) <= width:
        return text
    words, kept = text.split(" "), ""
    for word in words:
        longer = f"{kept} {word}" if kept else word
        if cell_len(longer.rstrip(",;:")) + 1 > width:
            break
        kept = longer
    kept = kept.rstrip(",;: ")
    if not kept:
        return set_cell_size(words[0], max(width - 1, 0)) + ELLIPSIS if width > 0 else ""
    return kept + ELLIPSIS


def fit_exactly(text: str, width: int) -> str:
    """Shorten or pad a text to exactly ``width`` cells."""
    return set_cell_size(fit_words(text, width), width)


def join_fitting(parts: Iterable[str], separator: str, width: int) -> str:
    """Join the parts that fit, in order. The first is shortened to fit; others are left out."""
    shown = ""
    for part in parts:
        longer = f"{shown}{separator}{part}" if shown else fit_words(part, width)
        if part and cell_len(longer) <= width:
            shown = longer
    return shown
