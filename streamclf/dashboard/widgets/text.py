"""Text that fits: nothing is cut in the middle of a word where a word fits at all."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size

ELLIPSIS = "…"


def fit_words(text: str, width: int) -> str:
    """The text, or as many of its words as fit and an ellipsis; at most ``width`` cells.

    Only a first word that is too long by itself is cut.
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
    """The text in exactly ``width`` cells."""
    return set_cell_size(fit_words(text, width), width)


def join_fitting(parts: Iterable[str], separator: str, width: int) -> str:
    """The parts that fit, whole and in their order; the first is said in any case."""
    shown = ""
    for part in parts:
        longer = f"{shown}{separator}{part}" if shown else fit_words(part, width)
        if part and cell_len(longer) <= width:
            shown = longer
    return shown
