"""Labels that people mean when they write what an event was."""

from __future__ import annotations

import sqlite3

from streamclf.core.redaction import one_line
from streamclf.store.display_names import read_display_names
from streamclf.store.names import list_labels


def find_said_label(connection: sqlite3.Connection, text: str) -> str | None:
    """Find the label that people mean by a name.

    Args:
        connection: The store.
        text: A label, or its name as people read it, in any case.

    Returns:
        The label; what is none stays as it was written. None for an empty text.
    """
    text = one_line(text).strip()
    given = read_display_names(connection)
    by_name: dict[str, str] = {}
    for label in list_labels(connection):
        for name in (given.get(label), label.replace("_", " ").strip(), label):
            if name:
                by_name.setdefault(one_line(name).casefold(), label)
    return by_name.get(text.casefold(), text) or None
