"""Text that people write: small files such as settings, and sizes such as ``10MB``."""

from __future__ import annotations

import re
from pathlib import Path

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
        reason = getattr(error, "strerror", None) or error
        raise kind(f"{where} cannot be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise kind(
            f"{where} has more than {MAX_BYTES} bytes, which is the limit: is it the right file?"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"{where} is not UTF-8 text: save it as that") from error


_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([kMG]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}


def read_size(text: str) -> int | None:
    """Read a size such as ``10MB``, ``500 kB`` or ``1G``, with units of 1000, 1000² and 1000³.

    Returns:
        The size in bytes; None if the text is not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    return round(float(found[1]) * _UNITS[found[2].lower()]) if found else None
