"""The model that a store was written with until now, for who goes on with another one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.redaction import one_line
from streamclf.store.database import connect_to_read

_LAST = """
SELECT models.name FROM runs JOIN models ON models.id = model_id
WHERE :source IS NULL OR source_id = (SELECT id FROM sources WHERE name = :source)
ORDER BY runs.id DESC LIMIT 1"""
UNKNOWN_MODEL = "unknown"
"""Name of the model of runs that were imported from lines that name none."""


def describe_other_models(store: Path, heard: Iterable[tuple[str | None, str]]) -> list[str]:
    """Describe sources that another model heard until now: its labels may have other names.

    Args:
        store: The store; there may be none.
        heard: Names of the sources, None for all of a batch, and the name of each one's model.

    Returns:
        A line for each; none where the store is new or cannot be read, which others tell.
    """
    lines = []
    try:
        if not store.exists():
            return []
        with closing(connect_to_read(store)) as connection:
            for source, model in heard:
                row = connection.execute(_LAST, {"source": source}).fetchone()
                if row is not None and row[0] not in (model, UNKNOWN_MODEL):
                    before, where = one_line(row[0]), one_line(source or str(store))
                    lines.append(
                        f"{where}: heard by {before} until now, and by {one_line(model)} from now "
                        f"on, whose labels have other names: --model {before} goes on as before"
                    )
    except (sqlite3.Error, StoreError, OSError):
        return []
    return lines
