"""Names in topics and identifiers: small letters, digits and underscores."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

LONGEST = 60


def slug(text: str, otherwise: str) -> str:
    """Write a text in small letters, digits and underscores.

    Args:
        text: Any text, such as ``Küche (Nord)``.
        otherwise: What to take where nothing of it is left.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:LONGEST].strip("_") or otherwise


def unused(name: str, used: Collection[str]) -> str:
    """Return a name that is not used yet: itself, or with a number behind it."""
    found, number = name, 2
    while found in used:
        found, number = f"{name}_{number}", number + 1
    return found


def keys_of_labels(labels: Iterable[str]) -> dict[str, str]:
    """Give each label a key of its own, which does not depend on the order of the labels."""
    keys: dict[str, str] = {}
    for label in sorted(labels):
        keys[label] = unused(slug(label, "sound"), set(keys.values()))
    return keys
