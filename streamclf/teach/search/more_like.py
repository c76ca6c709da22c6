"""More like this: moments like an event of the store, for the page and the dashboard."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from streamclf.core.errors import UsageError
from streamclf.store.browse import Entry, find_entry
from streamclf.store.features.feature_store import FeatureStore
from streamclf.teach.search.example import recall_event
from streamclf.teach.search.moments import Moment, add_events
from streamclf.teach.search.search import Scope, search


@dataclass(frozen=True)
class MoreLike:
    """What is like an event.

    Attributes:
        entry: The event.
        moments: The moments that are most like it, the most like first.
    """

    entry: Entry
    moments: list[Moment]


def more_like(
    connection: sqlite3.Connection,
    store: Path,
    row: int,
    n_moments: int,
    scope: Scope | None = None,
) -> MoreLike | None:
    """Find the moments that are most like an event.

    It uses one thread, as the machine may be listening.

    Args:
        connection: The store.
        store: Its path, beside which the features lie.
        row: Row of the event.
        n_moments: Most moments.
        scope: What is searched; by default all.

    Returns:
        The moments; None if there is no such event.

    Raises:
        UsageError: No features of its time are kept.
    """
    entry = find_entry(connection, row)
    if entry is None:
        return None
    kept = FeatureStore.beside(store)
    example = recall_event(kept, entry.event)
    if example is None:
        raise UsageError(
            f"event {row}: no features of its time are kept, by which sounds are compared: choose "
            "a newer one (serve keeps them for 30 days, or --features-days)"
        )
    return MoreLike(entry, add_events(connection, search(kept, example, n_moments, scope)))
