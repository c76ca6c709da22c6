"""Names of output files: formats by ending, and templates for one file a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from streamclf.core.errors import UsageError

Format: TypeAlias = Literal["jsonl", "csv", "audacity", "raven", "text"]

_ENDINGS: dict[str, Format] = {
    ".selections.txt": "raven",
    ".raven.txt": "raven",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".txt": "audacity",
}
"""Longer endings first."""
_PLACES = ("{stem}", "{name}", "{dir}")


def format_of(path: Path, also: str = "") -> Format:
    """The format that a file's name asks for.

    Args:
        path: The file.
        also: Another ending that the error names, known to who asks.

    Raises:
        UsageError: No format has this ending.
    """
    name = path.name.lower()
    for ending, chosen in _ENDINGS.items():
        if name.endswith(ending):
            return chosen
    raise UsageError(
        f"--output {path}: the ending says no format; .jsonl, .csv, "
        f"{also and f'{also}, '}.txt (Audacity labels) and .selections.txt (Raven) are known"
    )


def check_scores_ending(path: Path) -> None:
    """Refuse a name for scores that ends neither in .csv nor in .npz.

    Raises:
        UsageError: It does.
    """
    if path.suffix.lower() not in (".csv", ".npz"):
        raise UsageError(f"--scores {path}: must end in .csv or .npz")


def output_for(template: Path, recording: Path) -> Path:
    """Fill in what stands for a recording.

    This is ``{stem}`` (its name without ending), ``{name}`` (with it) and ``{dir}`` (its folder).
    """
    text = str(template)
    for place, value in zip(
        _PLACES, (recording.stem, recording.name, recording.parent), strict=True
    ):
        text = text.replace(place, str(value))
    return Path(text)


def is_template(path: Path) -> bool:
    """Whether a name stands for a file a recording."""
    return any(place in str(path) for place in _PLACES)
