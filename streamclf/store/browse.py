"""Pages of events, the newest first, found by position: new events move none from page to page."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, TypeAlias

from streamclf.core.errors import UsageError
from streamclf.store.listing import StoredEvent, read_events
from streamclf.store.question import MOST_AHEAD_H, Question, Where, marks
from streamclf.store.schema import LOCAL_HOUR

MOST_COUNTED = 1000
"""Most events that `count_chosen` counts."""
MOST_APART = 100
"""Most labels whose events are looked for one label after the other, by the index of labels. Music
means 84 of the default model's."""
MOST_WITHIN = 20
"""Most events that `find_within` finds."""
_LONGEST_US = 86_400_000_000
"""Events that have lasted longer than a day are not looked for."""
_EPOCH = date(1970, 1, 1)
_Condition: TypeAlias = tuple[str, tuple[int | None, ...]]


class Position(NamedTuple):
    """Place of an event among all others, which new events do not change.

    Attributes:
        onset_us: Its onset; None where nothing tells the time, which comes after all others.
        row: Its row.
    """

    onset_us: int | None
    row: int

    def __str__(self) -> str:
        return f"{'' if self.onset_us is None else self.onset_us}.{self.row}"

    @classmethod
    def read(cls, text: str) -> Position:
        """Read what `str` has written.

        Raises:
            UsageError: It is something else.
        """
        us, _, row = text.partition(".")
        try:
            position = cls(int(us) if us else None, int(row))
        except ValueError:
            position = cls(None, -1)
        if not 0 <= position.row < 2**63 or not abs(position.onset_us or 0) < 2**63:
            raise UsageError(
                f"position {text[:40]}: must be two numbers with a dot between, as a page of "
                "events tells them"
            )
        return position


@dataclass(frozen=True)
class Choice:
    """Choice of events by what people ask for: whole days and hours of the place's own clock.

    Attributes:
        question: Labels, sources, scores and reviews; it may have a time, too.
        first_day: First day; None for no limit.
        last_day: Last day, which is among them; None for no limit.
        hour: Hour of the day, 0 to 23; None for all.
        with_clip: Only events whose clip is there.
    """

    question: Question = field(default_factory=Question)
    first_day: date | None = None
    last_day: date | None = None
    hour: int | None = None
    with_clip: bool = False

    @property
    def is_timed(self) -> bool:
        """Whether events without a time are left out."""
        days = (self.first_day, self.last_day, self.hour)
        return self.question.has_range or any(each is not None for each in days)

    def where(self) -> Where:
        """Return the conditions that all these events meet."""
        where = Where()
        if self.first_day is not None:
            hours = (self.first_day - _EPOCH).days * 24
            where.add(f"onset_us >= ? AND {LOCAL_HOUR} >= ?", _us(hours - MOST_AHEAD_H), hours)
        if self.last_day is not None:
            hours = ((self.last_day - _EPOCH).days + 1) * 24
            where.add(f"onset_us < ? AND {LOCAL_HOUR} < ?", _us(hours + MOST_AHEAD_H), hours)
        if self.hour is not None:
            where.add(f"{LOCAL_HOUR} % 24 = ?", self.hour)
        if self.with_clip:
            where.add("EXISTS (SELECT 1 FROM clips WHERE event_id = events.id AND gone_us IS NULL)")
        where.add_range(self.question, "onset_us")
        where.add_events(self.question)
        return where


def _us(hours: int) -> int:
    return hours * 3_600_000_000


def around(first_day: date, last_day: date, question: Question) -> Question:
    """Return a question about all moments that may lie in these days somewhere on Earth."""
    first, end = (
        datetime(each.year, each.month, each.day, tzinfo=UTC) for each in (first_day, last_day)
    )
    ahead = timedelta(hours=MOST_AHEAD_H)
    return replace(question, since=first - ahead, until=end + timedelta(days=1) + ahead)


@dataclass(frozen=True, slots=True)
class StoredClip:
    """Clip of an event.

    Attributes:
        row: Its row in `clips`.
        n_bytes: Size of its file.
        kept: Whether somebody wants it kept.
        gone_us: When its file went; None while it is there.
        gone_why: Why it went: ``limit``, ``age``, ``deleted``.
    """

    row: int
    n_bytes: int
    kept: bool
    gone_us: int | None
    gone_why: str | None

    @property
    def is_there(self) -> bool:
        """Whether it can be played."""
        return self.gone_us is None


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its clip and what somebody said of it.

    Attributes:
        event: The event.
        clip: Its clip; None if it never had one.
        said_label: What it was, where somebody said so last.
    """

    event: StoredEvent
    clip: StoredClip | None
    said_label: str | None

    @property
    def position(self) -> Position:
        """Its place among all others."""
        return Position(self.event.onset_us, self.event.row)


@dataclass(frozen=True)
class Page:
    """Events that follow one another, the newest first.

    Attributes:
        entries: The events.
        has_newer: Whether there are newer ones.
        has_older: Whether there are older ones, or some without a time.
    """

    entries: list[Entry]
    has_newer: bool
    has_older: bool


def find_page(
    connection: sqlite3.Connection,
    choice: Choice,
    n_events: int,
    *,
    older: Position | None = None,
    newer: Position | None = None,
) -> Page:
    """Find a page of events.

    Args:
        connection: The store.
        choice: Which events.
        n_events: Most events of a page.
        older: The page's events are older than this position.
        newer: The page's events are the next newer ones; without both it begins with the newest.
    """
    if newer is not None:
        found = _find_newer(connection, choice, newer, n_events + 1)
        rows, has_newer = list(reversed(found[:n_events])), len(found) > n_events
        has_older = True
        if not rows:
            return find_page(connection, choice, n_events)
    else:
        found = _find_older(connection, choice, older, n_events + 1)
        rows, has_older = found[:n_events], len(found) > n_events
        has_newer = older is not None
    return Page(_read_entries(connection, [each.row for each in rows]), has_newer, has_older)


def find_entry(connection: sqlite3.Connection, row: int) -> Entry | None:
    """Find one event by its row."""
    return next(iter(_read_entries(connection, [row])), None)


def find_within(
    connection: sqlite3.Connection,
    source: str,
    recording: str,
    positions: tuple[int, int],
    times_us: tuple[int, int] | None,
) -> list[Entry]:
    """Find the events of a source that sounded in a stretch, at most `MOST_WITHIN`.

    Args:
        connection: The store.
        source: Name of the source.
        recording: Path of the recording; empty for a live source.
        positions: First position of the stretch, and the one after it; used for recordings.
        times_us: Begin and end in microseconds UTC; used for live sources, which have none of
            their events found without.
    """
    if recording:
        rows = connection.execute(
            "SELECT events.id FROM events JOIN runs ON runs.id = events.run_id "
            "JOIN recordings ON recordings.id = runs.recording_id "
            "WHERE recordings.path = ? AND onset < ? AND coalesce(offset, onset + 1) > ? "
            "ORDER BY onset LIMIT ?",
            (recording, positions[1], positions[0], MOST_WITHIN),
        )
    elif times_us is not None:
        begin_us, end_us = times_us
        rows = connection.execute(
            "SELECT events.id FROM events JOIN sources ON sources.id = events.source_id "
            "WHERE onset_us >= ? AND onset_us < ? AND coalesce(offset_us, ?) > ? "
            "AND sources.name = ? ORDER BY onset_us LIMIT ?",
            (begin_us - _LONGEST_US, end_us, end_us, begin_us, source, MOST_WITHIN),
        )
    else:
        return []
    return _read_entries(connection, [row for (row,) in rows])


def find_best(connection: sqlite3.Connection, label: str, n_events: int) -> list[Entry]:
    """Find the events of a label whose clips are there, those with the highest scores first."""
    rows = connection.execute(
        "SELECT events.id FROM clips JOIN events ON events.id = clips.event_id "
        "WHERE gone_us IS NULL AND label = ? "
        "ORDER BY highest_score DESC, onset_us DESC LIMIT ?",
        (label, n_events),
    )
    return _read_entries(connection, [row for (row,) in rows])


def count_chosen(connection: sqlite3.Connection, choice: Choice) -> int:
    """Count the events of a choice, up to `MOST_COUNTED` and one more."""
    where = choice.where()
    (n_events,) = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {_table(choice)} WHERE {where} LIMIT ?)",
        [*where.values, MOST_COUNTED + 1],
    ).fetchone()
    return int(n_events)


def _table(choice: Choice) -> str:
    """Table to search; where few events can be meant, those alone are looked at."""
    if choice.question.reviewed in ("right", "wrong"):
        return (
            "(SELECT DISTINCT event_id FROM reviews) AS said "
            "CROSS JOIN events ON events.id = said.event_id"
        )
    return "events"


def _find_older(
    connection: sqlite3.Connection, choice: Choice, older: Position | None, limit: int
) -> list[Position]:
    found: list[Position] = []
    if older is None or older.onset_us is not None:
        conditions: list[_Condition] = (
            [("onset_us IS NOT NULL", ())] if older is None else [_before(older)]
        )
        found = _search(connection, choice, conditions, "onset_us DESC, events.id DESC", limit)
    if len(found) < limit and not choice.is_timed:
        conditions = [("onset_us IS NULL", ())]
        if older is not None and older.onset_us is None:
            conditions.append(("events.id < ?", (older.row,)))
        found += _search(connection, choice, conditions, "events.id DESC", limit - len(found))
    return found


def _find_newer(
    connection: sqlite3.Connection, choice: Choice, newer: Position, limit: int
) -> list[Position]:
    found: list[Position] = []
    if newer.onset_us is None and not choice.is_timed:
        conditions: list[_Condition] = [("onset_us IS NULL", ()), ("events.id > ?", (newer.row,))]
        found = _search(connection, choice, conditions, "events.id ASC", limit)
    if len(found) < limit:
        conditions = [
            ("onset_us IS NOT NULL", ())
            if newer.onset_us is None
            else ("onset_us >= ? AND (onset_us, events.id) > (?, ?)", (newer.onset_us, *newer))
        ]
        order = "onset_us ASC, events.id ASC"
        found += _search(connection, choice, conditions, order, limit - len(found))
    return found


def _before(older: Position) -> _Condition:
    return "onset_us <= ? AND (onset_us, events.id) < (?, ?)", (older.onset_us, *older)


def _search(
    connection: sqlite3.Connection,
    choice: Choice,
    conditions: Sequence[_Condition],
    order: str,
    limit: int,
) -> list[Position]:
    """Search in one order; each label by itself, where the index of labels has that order."""
    labels = choice.question.labels
    parts = [choice]
    if 1 < len(labels) <= MOST_APART:
        parts = [
            replace(choice, question=replace(choice.question, labels=(label,))) for label in labels
        ]
    found: list[Position] = []
    for part in parts:
        where = part.where()
        for condition, values in conditions:
            where.add(condition, *values)
        rows = connection.execute(
            f"SELECT onset_us, events.id FROM {_table(part)} WHERE {where} "
            f"ORDER BY {order} LIMIT ?",
            [*where.values, limit],
        )
        found += [Position(*row) for row in rows]
    if len(parts) > 1:
        found.sort(key=lambda each: (each.onset_us or 0, each.row), reverse="DESC" in order)
    return found[:limit]


def _read_entries(connection: sqlite3.Connection, rows: Sequence[int]) -> list[Entry]:
    wanted = tuple(rows)
    clips = {
        event: StoredClip(row, n_bytes, bool(kept), gone_us, gone_why)
        for event, row, n_bytes, kept, gone_us, gone_why in connection.execute(
            "SELECT event_id, id, bytes, kept, gone_us, gone_why FROM clips "
            f"WHERE event_id IN ({marks(wanted)})",
            wanted,
        )
    }
    said = dict(
        connection.execute(
            f"SELECT event_id, label FROM reviews WHERE event_id IN ({marks(wanted)}) "
            "ORDER BY reviewed_us, id",
            wanted,
        ).fetchall()
    )
    return [
        Entry(event, clips.get(event.row), said.get(event.row))
        for event in read_events(connection, wanted)
    ]
