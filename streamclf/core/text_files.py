"""Files of settings: read whole, but never more of them than makes sense."""

from __future__ import annotations

from pathlib import Path

from streamclf.core.errors import StreamclfError

MAX_BYTES = 4_000_000
"""The largest real one, a card of 10,000 labels, has 0.5 MB."""


def read_small(path: Path, where: str, kind: type[StreamclfError]) -> str:
    """Read a text file.

    Args:
        path: UTF-8, with or without a byte order mark.
        where: What the error message begins with.
        kind: What is raised.

    Raises:
        StreamclfError: Of that kind: it is missing, too large, or no text.
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
