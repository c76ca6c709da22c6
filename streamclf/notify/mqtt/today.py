"""How many sounds the store knows of today, so that a count goes on after a restart."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.store.database import connect_to_read

_COUNT = """
SELECT count(*) FROM events WHERE onset_us >= :begin
AND source_id = (SELECT id FROM sources WHERE name = :source)"""


def count_today(store: Path, source: str) -> int:
    """Count the sounds of a source since midnight by the local clock; 0 where none can be read."""
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        with closing(connect_to_read(store)) as connection:
            values = {"begin": round(midnight.timestamp() * 1e6), "source": source}
            return int(connection.execute(_COUNT, values).fetchone()[0])
    except (StoreError, sqlite3.Error):
        return 0
