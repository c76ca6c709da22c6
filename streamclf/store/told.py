"""What rules told on some days, and whether it arrived."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

MOST = 2000
"""Messages that are looked at, the newest ones of the days."""
_MESSAGES = """
SELECT id, rule, told_us, body FROM messages
WHERE occasion != 'test' AND told_us >= :since_us AND told_us < :until_us
ORDER BY told_us DESC, id DESC LIMIT :most"""
_DELIVERIES = """
SELECT target, state, coalesce(reason, '') FROM deliveries WHERE message_id = ? ORDER BY target"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ToldMessage:
    """A message of a rule.

    Attributes:
        told: When it was told, by the clock of the place, without a zone.
        rule: Name of the rule.
        text: What people read.
        sent: Targets that have it.
        waiting: Targets that do not have it yet.
        failed: Targets that never get it, each with the reason.
    """

    told: datetime
    rule: str
    text: str
    sent: tuple[str, ...]
    waiting: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


def list_told(
    connection: sqlite3.Connection, first: date, last: date, most: int
) -> tuple[list[ToldMessage], int]:
    """List the messages of some days of the place.

    Args:
        connection: The store.
        first: The first day.
        last: The last day.
        most: Most messages that are listed.

    Returns:
        The messages, the newest first, and how many there are, `MOST` at most.
    """
    # Days of the place begin up to a day before and after those of UTC.
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=UTC)
    rows = connection.execute(
        _MESSAGES,
        {
            "since_us": _to_us(begin) - 86_400_000_000,
            "until_us": _to_us(end) + 2 * 86_400_000_000,
            "most": MOST,
        },
    ).fetchall()
    found: list[ToldMessage] = []
    n_told = 0
    for row_id, rule, told_us, body in rows:
        try:
            said = json.loads(body)
            moment = _EPOCH + timedelta(microseconds=told_us, minutes=said["utc_offset_min"])
            text = str(said["text"])
        except (ValueError, KeyError, TypeError, OverflowError):  # damaged, or of another version
            continue
        if not first <= moment.date() <= last:
            continue
        n_told += 1
        if len(found) < most:
            states = connection.execute(_DELIVERIES, (row_id,)).fetchall()
            found.append(
                ToldMessage(
                    moment.replace(tzinfo=None),
                    rule,
                    text,
                    tuple(target for target, state, _ in states if state == "sent"),
                    tuple(target for target, state, _ in states if state == "waiting"),
                    tuple((target, why) for target, state, why in states if state == "failed"),
                )
            )
    return found, n_told


def _to_us(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000
