"""Days by the place's own clock: events by label and hour, what was heard, what is missing."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone

from streamclf.store.browse import Choice, around
from streamclf.store.names import list_labels
from streamclf.store.queries import (
    PACKED,
    Level,
    count_events,
    hours_heard,
    list_levels,
    local_time,
    unpack,
)
from streamclf.store.question import Question, Where
from streamclf.store.schema import LOCAL_HOUR

FRESH_US = 86_400_000_000
"""Age in microseconds up to which the newest level tells the place's offset from UTC."""


def place_time(connection: sqlite3.Connection, now: datetime) -> datetime:
    """Return the present by the clock of the place, without an offset.

    The newest minute that was heard tells the place's offset. Where nothing was heard for a day,
    this machine's clock is taken.
    """
    now_us = round(now.timestamp() * 1e6)
    row = connection.execute(
        "SELECT minute_us, utc_offset_min FROM levels WHERE minute_us <= ? "
        "ORDER BY minute_us DESC LIMIT 1",
        (now_us,),
    ).fetchone()
    if row is None or row[1] is None or now_us - row[0] > FRESH_US:
        return now.astimezone().replace(tzinfo=None)
    return now.astimezone(timezone(timedelta(minutes=row[1]))).replace(tzinfo=None)


@dataclass(frozen=True)
class DayTable:
    """Events by label and time.

    Attributes:
        begins: Begin of each column, an hour or a day.
        step_h: Hours of a column: 1, or 24.
        labels: The labels, those with most events first.
        n_events: Events of each label and column, ``(labels, columns)``.
        totals: Events of all labels in each column.
        heard_h: Hours heard in each column, of all sources together.
        heard_by_source: Hours heard of each source in each column.
    """

    begins: list[datetime]
    step_h: int
    labels: list[str]
    n_events: list[list[int]]
    totals: list[int]
    heard_h: list[float]
    heard_by_source: dict[str, list[float]]


def count_table(
    connection: sqlite3.Connection,
    first_day: date,
    last_day: date,
    question: Question | None = None,
) -> DayTable:
    """Count events by label, and by hour of a single day or by day of several."""
    question = around(first_day, last_day, question or Question())
    step_h = 1 if first_day == last_day else 24
    begin = datetime(first_day.year, first_day.month, first_day.day)
    n_columns = ((last_day - first_day).days + 1) * 24 // step_h
    begins = [begin + timedelta(hours=step_h * number) for number in range(n_columns)]

    def column(day: object, hour: object) -> int:
        assert isinstance(day, date)
        return ((day - first_day).days * 24 + int(str(hour))) // step_h

    counted: defaultdict[str, list[int]] = defaultdict(lambda: [0] * n_columns)
    for each in count_events(connection, question, ["label", "day", "hour"]):
        label, *time = each.key
        if 0 <= (number := column(*time)) < n_columns:
            counted[str(label)][number] += each.n_events
    heard: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * n_columns)
    for key, hours in hours_heard(connection, question, ["source", "day", "hour"]).items():
        source, *time = key
        if 0 <= (number := column(*time)) < n_columns:
            heard[str(source)][number] += hours
    labels = sorted(counted, key=lambda label: (-sum(counted[label]), label))
    return DayTable(
        begins,
        step_h,
        labels,
        [counted[label] for label in labels],
        [sum(each) for each in zip(*counted.values(), strict=True)] or [0] * n_columns,
        [sum(each) for each in zip(*heard.values(), strict=True)] or [0.0] * n_columns,
        dict(sorted(heard.items(), key=lambda each: each[0].casefold())),
    )


def levels_of_days(
    connection: sqlite3.Connection,
    first_day: date,
    last_day: date,
    question: Question | None = None,
    *,
    step_h: int = 1,
) -> list[Level]:
    """List the levels of hours or days that lie in these days."""
    levels = list_levels(
        connection, around(first_day, last_day, question or Question()), step_h=step_h
    )
    return [each for each in levels if first_day <= each.begun.date() <= last_day]


@dataclass(frozen=True, slots=True)
class LocatedGap:
    """Audio that is known to be missing, and when.

    Attributes:
        source: Name of the source.
        cause: Why.
        begun: Its begin by the place's clock, without an offset.
        seconds: Its length.
    """

    source: str
    cause: str
    begun: datetime
    seconds: float

    @property
    def end(self) -> datetime:
        """Its end by the place's clock."""
        return self.begun + timedelta(seconds=self.seconds)


def list_gaps(
    connection: sqlite3.Connection,
    first_day: date,
    last_day: date,
    question: Question | None = None,
) -> list[LocatedGap]:
    """List the gaps that touch these days, the earliest first, cut to the days."""
    question = around(first_day, last_day, question or Question())
    where = Where()
    where.add("gaps.begun_us < ?", question.until_us)
    where.add("gaps.begun_us + n_samples * 1000000 / sample_rate > ?", question.since_us)
    where.add_sources(question)
    rows = connection.execute(
        "SELECT sources.name, cause, gaps.begun_us, n_samples * 1.0 / sample_rate, utc_offset_min "
        "FROM gaps JOIN runs ON runs.id = run_id JOIN sources ON sources.id = source_id "
        f"WHERE {where} ORDER BY gaps.begun_us, gaps.id",
        where.values,
    )
    first = datetime(first_day.year, first_day.month, first_day.day)
    end = datetime(last_day.year, last_day.month, last_day.day) + timedelta(days=1)
    found = []
    for source, cause, begun_us, seconds, offset_min in rows:
        begun = local_time(begun_us, offset_min).replace(tzinfo=None)
        stop = begun + timedelta(seconds=seconds)
        if begun < end and stop > first:
            begun, stop = max(begun, first), min(stop, end)
            found.append(LocatedGap(source, cause, begun, (stop - begun).total_seconds()))
    return found


def find_day_before(connection: sqlite3.Connection, day: date) -> date | None:
    """Find the last day before this one that has an event."""
    hours = (day - date(1970, 1, 1)).days * 24
    (found,) = connection.execute(
        f"SELECT max({LOCAL_HOUR}) FROM events WHERE {LOCAL_HOUR} < ?", (hours,)
    ).fetchone()
    return None if found is None else date(1970, 1, 1) + timedelta(days=int(found) // 24)


@dataclass(frozen=True, slots=True)
class Days:
    """What was heard of one label, or of all, on each day of a time.

    Attributes:
        days: The days.
        n_events: Events of each.
        heard_h: Hours heard on each.
        n_by_hour: Events of each hour of the day, of all days together.
        heard_by_hour: Hours heard, likewise.
    """

    days: list[date]
    n_events: list[int]
    heard_h: list[float]
    n_by_hour: list[int]
    heard_by_hour: list[float]


def count_days(
    connection: sqlite3.Connection, first_day: date, last_day: date, labels: Sequence[str] = ()
) -> Days:
    """Count events day by day, and hour of the day by hour of the day."""
    question = around(first_day, last_day, Question())
    n_days = (last_day - first_day).days + 1
    n_events, n_by_hour = [0] * n_days, [0] * 24
    heard_h, heard_by_hour = [0.0] * n_days, [0.0] * 24
    chosen = replace(question, labels=tuple(labels))
    for each in count_events(connection, chosen, ["day", "hour"]):
        number, hour = _place(each.key, first_day)
        if 0 <= number < n_days:
            n_events[number] += each.n_events
            n_by_hour[hour] += each.n_events
    for key, hours in hours_heard(connection, question, ["day", "hour"]).items():
        number, hour = _place(key, first_day)
        if 0 <= number < n_days:
            heard_h[number] += hours
            heard_by_hour[hour] += hours
    days = [first_day + timedelta(days=number) for number in range(n_days)]
    return Days(days, n_events, heard_h, n_by_hour, heard_by_hour)


def _place(key: tuple[object, ...], first_day: date) -> tuple[int, int]:
    day, hour = key
    assert isinstance(day, date)
    return (day - first_day).days, int(str(hour))


@dataclass(frozen=True, slots=True)
class LabelTotal:
    """Events of one label in a time.

    Attributes:
        label: The label.
        n_events: Number of events.
        sounding_s: Their lengths together.
        last: Last onset, by the place's clock.
        highest_score: Highest score of any.
    """

    label: str
    n_events: int = 0
    sounding_s: float = 0.0
    last: datetime | None = None
    highest_score: float = 0.0


@dataclass(frozen=True)
class LabelTable:
    """Sounds of a time.

    Attributes:
        first_day: First day.
        last_day: Last day.
        heard_h: Hours heard.
        labels: The labels that have events, those with most events first.
    """

    first_day: date
    last_day: date
    heard_h: float
    labels: list[LabelTotal]


def count_labels(
    connection: sqlite3.Connection, first_day: date, last_day: date, labels: Sequence[str] = ()
) -> LabelTable:
    """Count the events of each label in these days."""
    # Label by label, so that SQLite goes to the times of each and does not read all events.
    wanted = tuple(labels) or tuple(list_labels(connection))
    where = Choice(Question(labels=wanted), first_day, last_day).where()
    rows = connection.execute(
        "SELECT label, count(*), sum(coalesce(offset_us, onset_us) - onset_us) / 1e6, "
        f"max({PACKED}), max(highest_score) FROM events INDEXED BY events_by_label "
        f"WHERE {where} GROUP BY label",
        where.values,
    )
    totals = [
        LabelTotal(label, n_events, sounding_s, unpack(last), score)
        for label, n_events, sounding_s, last, score in rows
    ]
    question = around(first_day, last_day, Question())
    heard_h = sum(
        hours
        for (day, *_), hours in hours_heard(connection, question, ["day"]).items()
        if isinstance(day, date) and first_day <= day <= last_day
    )
    found = sorted(totals, key=lambda each: (-each.n_events, each.label))
    return LabelTable(first_day, last_day, heard_h, found)


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What a threshold would have left of the events that were found.

    Attributes:
        threshold: The threshold.
        n_events: Events whose highest score reaches it.
        n_right: Those of them that somebody called right.
        n_wrong: Those of them that somebody called wrong.
    """

    threshold: float
    n_events: int
    n_right: int
    n_wrong: int


def try_thresholds(
    connection: sqlite3.Connection, label: str, since: datetime, thresholds: Sequence[float]
) -> list[AtThreshold]:
    """Count what each threshold would have left of a label's events since a time.

    A lower threshold than the one that was set finds more, which the store cannot know.
    """
    since_us = round(since.astimezone(UTC).timestamp()) * 1_000_000
    rows = connection.execute(
        "SELECT highest_score, (SELECT verdict FROM reviews WHERE event_id = events.id "
        "ORDER BY reviewed_us DESC, reviews.id DESC LIMIT 1) FROM events "
        "WHERE label = ? AND onset_us >= ?",
        (label, since_us),
    ).fetchall()
    found = []
    for threshold in thresholds:
        verdicts = [verdict for score, verdict in rows if score >= threshold]
        found.append(
            AtThreshold(threshold, len(verdicts), verdicts.count("right"), verdicts.count("wrong"))
        )
    return found
