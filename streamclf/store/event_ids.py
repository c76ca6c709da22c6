"""Events found by the identifiers that lines of results tell."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from streamclf.core.errors import UsageError
from streamclf.store.listing import StoredEvent, read_events


def find_event(
    connection: sqlite3.Connection, name: str, streams: Collection[str] | None = None
) -> StoredEvent | None:
    """Find an event by its identifier.

    Args:
        connection: The store.
        name: ``dog-16000@RUN`` of a live source, or ``dog-16000`` of a recording.
        streams: Names of sources and paths of recordings that it may be of; None for all.

    Returns:
        The event; None if there is none.

    Raises:
        UsageError: Several recordings have an event of this identifier.
    """
    of_stream, at, run = name.rpartition("@")
    label, _, onset = (of_stream if at else name).rpartition("-")
    if not label or not onset.isdecimal() or len(onset) > 18:
        return None
    condition, values = "runs.recording_id IS NOT NULL", [label, int(onset)]
    if at:
        condition, values = "runs.token = ?", [label, int(onset), run]
    rows = connection.execute(
        "SELECT events.id FROM events JOIN runs ON runs.id = events.run_id "
        f"WHERE label = ? AND onset = ? AND {condition}",
        values,
    ).fetchall()
    found = [
        event
        for event in read_events(connection, [row for (row,) in rows[:1000]])
        if streams is None or {event.source, event.stream} & set(streams)
    ]
    if len({event.stream for event in found}) > 1:
        raise UsageError(
            f"--like {name}: {len(found)} recordings have an event of this name: choose one by "
            "--source FILE"
        )
    return found[-1] if found else None
