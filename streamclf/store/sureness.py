"""How sure events are, by the cards of the models that heard them."""

from __future__ import annotations

import json
from functools import lru_cache

from streamclf.core.sureness import Limits
from streamclf.store.question import Database


def read_sureness_limits(connection: Database) -> dict[int, Limits]:
    """Read from which scores on events are likely and sure, for each model by its row.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    columns = [row[1] for row in connection.execute("PRAGMA table_info('models')").fetchall()]
    # A store of an earlier version that nobody may write does not say it.
    if "sureness" not in columns:
        return {}
    rows = connection.execute("SELECT id, sureness FROM models ORDER BY id").fetchall()
    return {row: _read(text) for row, text in rows}


def join_sureness_limits(connection: Database) -> Limits:
    """The same for all models together; where they differ, the newest one's count.

    It serves what is told of a label as a whole, such as its highest score.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    joined: dict[str, list[float]] = {}
    for limits in read_sureness_limits(connection).values():
        joined.update({label: list(scores) for label, scores in limits.items()})
    return joined


@lru_cache(16)
def _read(text: str) -> Limits:
    """Read what a model's row says."""
    limits: dict[str, list[float]] = json.loads(text)
    return limits
