"""Text that people write: small files such as settings, and sizes such as ``10MB``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from streamclf.core.errors import StreamclfError

MAX_BYTES = 4_000_000
"""Largest file that is read; the largest real one, a card of 10,000 labels, has 0.5 MB."""


def read_text_file(path: Path, where: str, kind: type[StreamclfError]) -> str:
    """Read a text file of at most `MAX_BYTES`.

    Args:
        path: A file in UTF-8, with or without a byte order mark.
        where: Beginning of the error message.
        kind: Class of the error that is raised.

    Raises:
        StreamclfError: The file is missing, too large, or not text; the error is of class ``kind``.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise kind(f"{where} cannot be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise kind(
            f"{where} has more than {MAX_BYTES} bytes, which is the limit: is it the right file?"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"{where} is not UTF-8 text: save it as that") from error


_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_VALUE = 'a text stands in "quotes", and a number has a point: 0.5'
_BACKSLASH = r"a text with backslashes stands in single quotes: 'C:\sounds'"
_WAYS_OUT = {
    "invalid value": _VALUE,
    "expected newline or end of document after a statement": _VALUE,
    "expected '=' after a key in a key/value pair": "a line is KEY = VALUE, or a table: [[TABLE]]",
    "cannot overwrite a value": "its key stands there twice: leave one out",
    "unescaped '\\' in a string": _BACKSLASH,
    "invalid hex value": _BACKSLASH,
}
"""What to do about what `tomllib` says."""


def parse_toml(text: str, where: str, kind: type[StreamclfError]) -> dict[str, Any]:
    """Parse a TOML file.

    Args:
        text: The file.
        where: Name of the file, with which the error message begins.
        kind: Class of the error that is raised.

    Raises:
        StreamclfError: The text is no TOML. The error is of class ``kind``, and names the line.
    """
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        line = found[1] if found and found[1] else len(text.splitlines())
        column = f" (column {found[2]})" if found and found[2] else ""
        said = _PLACE.sub("", str(error)).lower()
        way_out = f": {_WAYS_OUT[said]}" if said in _WAYS_OUT else ""
        raise kind(f"{where}:{line}: is no TOML: {said}{column}{way_out}") from error
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if deep else "it holds a number that is too long"
        raise kind(f"{where}: is no TOML: {reason}") from error


_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([kMG]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}


def read_size(text: str) -> int | None:
    """Read a size such as ``10MB``, ``500 kB`` or ``1G``, with units of 1000, 1000² and 1000³.

    Returns:
        The size in bytes; None if the text is not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    return round(float(found[1]) * _UNITS[found[2].lower()]) if found else None
