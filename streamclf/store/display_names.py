"""Names of labels as people read them, which the models in a store gave."""

from __future__ import annotations

import json

from streamclf.store.question import Database


def read_display_names(connection: Database) -> dict[str, str]:
    """Return label -> name shown to people; where models differ, the newest one's.

    A label without a name is not in it; show the label itself.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    names: dict[str, str] = {}
    for (text,) in connection.execute("SELECT display_names FROM models ORDER BY id"):
        names.update(json.loads(text))
    return names
