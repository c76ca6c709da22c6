"""Secrets of targets: read from a file or from the environment, and kept out of every text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from streamclf.core.errors import UsageError
from streamclf.core.redaction import HIDDEN, mask_text

LONGEST_BYTES = 65_536
"""Longest file of a secret that is read."""
SHORTEST_HIDDEN = 4
"""Characters of the shortest text that is masked wherever it stands."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Begin of a URL, which is no path; a single letter is a drive of Windows."""


def check_place(key: str, file: Path | None, variable: str | None) -> None:
    """Refuse a secret that stands where the name of its file or its variable should.

    Args:
        key: The key that holds it in the settings, for messages: ``webhook``.
        file: File that is to hold it.
        variable: Environment variable that is to hold it.

    Raises:
        UsageError: It is no such name. The message begins with the key, and does not show it.
    """
    if variable is not None and not _VARIABLE.fullmatch(variable):
        raise UsageError(
            f"{key}-env {HIDDEN}: must be the name of an environment variable, not what it holds"
        )
    if file is not None and _URL.match(str(file)):
        raise UsageError(f"{key}-file {HIDDEN}: must be the path of a file, not what it holds")


def read_secret(key: str, said: str | None, file: Path | None, variable: str | None) -> str | None:
    """Read a value from where the settings say that it is.

    Args:
        key: The key that holds it in the settings, for messages: ``webhook``.
        said: The value itself.
        file: File that holds it.
        variable: Environment variable that holds it.

    Returns:
        The value without white space around it; None where nothing is said.

    Raises:
        UsageError: The file cannot be read, the variable is not set, or it is empty. The message
            begins with the key, and does not hold the value.
    """
    if said is not None:
        return said.strip()
    if file is not None:
        return _read_file(f"{key}-file", file)
    if variable is None:
        return None
    found = os.environ.get(variable, "").strip()
    if not found:
        raise UsageError(f"{key}-env {variable}: this environment variable is not set: set it")
    return found


def _read_file(key: str, file: Path) -> str:
    """Read a file of text.

    Raises:
        UsageError: It cannot be read, or is empty.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(LONGEST_BYTES + 1)
        text = content.decode("utf-8-sig").strip()  # some editors put a mark in front
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a name with a null character
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(
            f"{key} {file}: cannot be read: {reason.lower()}: name a file that this user may read"
        ) from error
    if not text or len(content) > LONGEST_BYTES:
        size = "is empty" if not text else f"is longer than {LONGEST_BYTES} bytes"
        raise UsageError(f"{key} {file}: {size}: put the secret alone into it")
    return text


def read_lines(key: str, file: Path) -> list[str]:
    """Read the lines of a file that are neither empty nor comments, which begin with ``#``.

    Raises:
        UsageError: It cannot be read, or is empty.
    """
    lines = [line.strip() for line in _read_file(key, file).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def mask_secrets(text: str, secrets: Iterable[str | None]) -> str:
    """Mask the passwords of URLs in a text, and these secrets wherever they stand."""
    for secret in sorted({each for each in secrets if each}, key=len, reverse=True):
        if len(secret) >= SHORTEST_HIDDEN:
            text = text.replace(secret, HIDDEN)
    return mask_text(text)
