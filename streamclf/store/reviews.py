"""What people say of events: right, wrong, or what it was instead.

A review is a row and nothing else: no file moves, and the event stays what was heard. The newest
row of an event counts. A reviewed event's clip is kept whatever its age and its size
(`streamclf.store.retention`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.store.question import Verdict

LONGEST_LABEL = 120
"""Most characters of what somebody says that it was."""


def review_event(
    connection: sqlite3.Connection,
    event_id: int,
    verdict: Verdict | None,
    label: str | None,
    now_us: int,
) -> bool:
    """Note what somebody said of an event.

    Args:
        connection: The store, inside the caller's transaction if there is one.
        event_id: Row of the event.
        verdict: What was said; None takes back all that was said of it.
        label: What it was instead, with ``wrong``; None if nobody said so.
        now_us: Now, in microseconds since 1970-01-01 UTC.

    Returns:
        Whether there is such an event.

    Raises:
        UsageError: A label is given without ``wrong``, or is too long.
    """
    label = one_line(label).strip() if label is not None else None
    if label and verdict != "wrong":
        raise UsageError(
            f"label {label[:40]}: says what it was instead, so the verdict must be wrong: leave "
            "the label out, or say wrong"
        )
    if label and len(label) > LONGEST_LABEL:
        raise UsageError(
            f"label {label[:40]}...: has {len(label)} characters, at most {LONGEST_LABEL} are "
            "possible: choose a shorter one"
        )
    found = connection.execute("SELECT 1 FROM events WHERE id = ?", (event_id,)).fetchone()
    if found is None:
        return False
    if verdict is None:
        connection.execute("DELETE FROM reviews WHERE event_id = ?", (event_id,))
        return True
    connection.execute(
        "INSERT INTO reviews (event_id, reviewed_us, verdict, label) VALUES (?, ?, ?, ?)",
        (event_id, now_us, verdict, label or None),
    )
    return True


def list_said_labels(connection: sqlite3.Connection) -> list[str]:
    """List what people said that events were, in alphabetical order."""
    rows = connection.execute(
        "SELECT DISTINCT label FROM reviews WHERE label IS NOT NULL ORDER BY 1"
    )
    return [label for (label,) in rows]


def count_said_labels(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Count the events that people last said were each sound, the most frequent first."""
    rows = connection.execute(
        "SELECT label, count(*) FROM reviews WHERE label IS NOT NULL AND id = "
        "(SELECT id FROM reviews AS newest WHERE newest.event_id = reviews.event_id "
        "ORDER BY reviewed_us DESC, id DESC LIMIT 1) GROUP BY label ORDER BY 2 DESC, 1"
    )
    return [(label, n) for label, n in rows]


@dataclass(frozen=True)
class Verdicts:
    """What people said of a label's events.

    Attributes:
        n_right: Events that were right.
        n_wrong: Events that were wrong.
        was: What the wrong ones were instead, with their numbers, the most frequent first.
    """

    n_right: int
    n_wrong: int
    was: list[tuple[str, int]]


def count_verdicts(connection: sqlite3.Connection, label: str) -> Verdicts:
    """Count what people said last of each event of a label."""
    rows = connection.execute(
        "SELECT verdict, reviews.label, count(*) FROM reviews "
        "JOIN events ON events.id = reviews.event_id WHERE events.label = ? AND reviews.id = "
        "(SELECT id FROM reviews AS newest WHERE newest.event_id = events.id "
        "ORDER BY reviewed_us DESC, id DESC LIMIT 1) GROUP BY 1, 2",
        (label,),
    ).fetchall()
    right = sum(n for verdict, _, n in rows if verdict == "right")
    wrong = sum(n for verdict, _, n in rows if verdict == "wrong")
    was = [(text, n) for verdict, text, n in rows if verdict == "wrong" and text is not None]
    return Verdicts(right, wrong, sorted(was, key=lambda each: (-each[1], each[0])))
