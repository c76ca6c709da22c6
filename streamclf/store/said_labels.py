"""Labels that people mean when they write what an event was."""

from __future__ import annotations

import sqlite3

from streamclf.core.label_names import plain_name
from streamclf.core.redaction import one_line
from streamclf.store.names import list_labels, read_vocabulary


def find_said_label(connection: sqlite3.Connection, text: str) -> str | None:
    """Find the label that people mean by a name.

    Args:
        connection: The store.
        text: A label, its name as people read it, or one of its names, in any spelling.

    Returns:
        The label; what is none stays as it was written. None for an empty text.
    """
    text = one_line(text).strip()
    if not text:
        return None
    vocabulary, heard = read_vocabulary(connection), list_labels(connection)
    named = vocabulary.named(text)
    if not named or text in named:
        return text
    there = [label for label in named if label in heard]
    wanted = plain_name(text)
    whole = [each for each in there if wanted in map(plain_name, (each, vocabulary.show(each)))]
    if whole:
        return whole[0]
    # One of several names says which label it is only where no other has it as well.
    return next((each[0] for each in (there, named) if len(each) == 1), text)
