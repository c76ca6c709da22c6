"""Questions to the store and their answers: counts, hours heard, what was missed, levels.

A day or an hour is one of the place's own clock: each row tells its offset from UTC. So a day on
which the clock is set has 23 or 25 hours, and the hour that comes twice has up to two hours heard.

Counts are read from indices that hold all they need (`streamclf.store.schema`), row after row in
the order in which they are added up, so that a million events take a part of a second.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import groupby
from typing import Any, Literal, TypeAlias

from streamclf.store.names import list_labels
from streamclf.store.question import Database, Question, Where
from streamclf.store.schema import LOCAL_HOUR, LOCAL_HOUR_OF_MINUTE

By: TypeAlias = Literal["label", "source", "model", "day", "hour"]
"""What is counted apart; an hour is one of the day, from 0 to 23, of all days together."""
Value: TypeAlias = str | int | date
"""A label, a source's or a model's name, an hour, or a day."""
Key: TypeAlias = tuple[Value, ...]
"""Values of the groups, in the order that was asked for."""

_NO_OFFSET = 1023
PACKED = f"(onset_us * 2048 + coalesce(utc_offset_min, {_NO_OFFSET}) + 1024)"
"""An onset with its offset from UTC in one number, so that the first row brings its own offset."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Count:
    """Events of one group, added up.

    Attributes:
        key: The group.
        n_events: Number of events.
        sounding_s: Their lengths together; those that still sound are left out.
        first: Onset of the first one, by the place's clock; None where no event has a time.
        last: Onset of the last one.
        highest_score: Highest score of any.
        n_open: Events that still sound.
        n_cut: Events whose run ended without warning, so that their end is not certain.
        n_untimed: Events of which nothing tells the time.
    """

    key: Key
    n_events: int
    sounding_s: float
    first: datetime | None
    last: datetime | None
    highest_score: float
    n_open: int = 0
    n_cut: int = 0
    n_untimed: int = 0


@dataclass(slots=True)
class _Sum:
    n_events: int = 0
    sounding_us: float = 0.0
    first: int | None = None
    last: int | None = None
    highest_score: float = 0.0
    n_open: int = 0
    n_cut: int = 0
    n_untimed: int = 0

    def add(
        self, n: int, us: float | None, first: int | None, last: int | None, score: float, bare: int
    ) -> None:
        self.n_events += n
        self.sounding_us += us or 0
        if first is not None and last is not None:
            self.first = first if self.first is None else min(self.first, first)
            self.last = last if self.last is None else max(self.last, last)
        self.highest_score = max(self.highest_score, score)
        self.n_untimed += bare

    def count(self, key: Key) -> Count:
        return Count(
            key,
            self.n_events,
            self.sounding_us / 1e6,
            unpack(self.first),
            unpack(self.last),
            self.highest_score,
            self.n_open,
            self.n_cut,
            self.n_untimed,
        )


def local_time(us: int, utc_offset_min: int | None) -> datetime:
    """Convert microseconds since 1970 to the place's time, without an offset if none is known."""
    moment = _EPOCH + timedelta(microseconds=us)
    if utc_offset_min is None:
        return moment.replace(tzinfo=None)
    return moment.astimezone(timezone(timedelta(minutes=utc_offset_min)))


def unpack(packed: int | None) -> datetime | None:
    """Return the local time that `PACKED` holds."""
    if packed is None:
        return None
    us, offset = divmod(packed, 2048)
    return local_time(us, None if offset == _NO_OFFSET + 1024 else offset - 1024)


class _Names:
    """Names of sources and models by their rows, read once they are asked for."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection
        self._names: dict[str, dict[int, str]] = {}

    def __call__(self, kind: str, row: int) -> str:
        if kind not in self._names:
            name = "name" if kind == "source" else "name || ' ' || version"
            rows = self._connection.execute(f"SELECT id, {name} FROM {kind}s")
            self._names[kind] = dict(rows.fetchall())
        return self._names[kind][row]


class _Groups:
    """Columns that a query is grouped by, and the keys that they make.

    Args:
        connection: The store.
        by: What is counted apart.
        hour: Expression of the local hour.
        streamed: Whether the rows are read hour by hour, whatever is asked for.
    """

    def __init__(
        self, connection: Database, by: Sequence[By], hour: str, *, streamed: bool
    ) -> None:
        self._by = by
        self._names = _Names(connection)
        self.inner = ["label AS label"] if "label" in by else []
        if streamed or {"day", "hour"} & set(by):
            self.inner.append(f"{hour} AS hour")
        self._of_runs = [each for each in ("source", "model") if each in by]
        if self._of_runs:
            self.inner.append("run_id AS run")
        kept = [each.split(" AS ")[1] for each in self.inner if not each.startswith("run_id")]
        self._columns = [*kept, *self._of_runs]

    def select(self, table: str, sums: dict[str, str], where: Where) -> str:
        """Write the query: rows are added up by run, and then by what belongs to the runs.

        Args:
            table: Table, with its index.
            sums: Aggregates of the rows by their function over groups: ``{"max(score)": "max"}``.
            where: Conditions.
        """
        named = [f"{sql} AS v{number}" for number, sql in enumerate(sums)]
        columns = [each.split(" AS ")[0] for each in self.inner]
        group = f" GROUP BY {', '.join(columns)}" if columns else ""
        query = f"SELECT {', '.join([*self.inner, *named])} FROM {table} WHERE {where}{group}"
        if not self._of_runs:
            return query
        outer = [f"{how}(v{number})" for number, how in enumerate(sums.values())]
        groups = [
            f"runs.{each}_id" if each in self._of_runs else f"sums.{each}" for each in self._columns
        ]
        return (
            f"SELECT {', '.join([*groups, *outer])} FROM ({query}) AS sums "
            f"JOIN runs ON runs.id = sums.run GROUP BY {', '.join(groups)}"
        )

    def split(self, row: tuple[Any, ...]) -> tuple[Key, tuple[Any, ...]]:
        """Split a row into its key and its sums."""
        values = dict(zip(self._columns, row, strict=False))
        return tuple(self._value(each, values) for each in self._by), row[len(self._columns) :]

    def _value(self, each: By, values: dict[str, Any]) -> Value:
        if each == "label":
            return str(values["label"])
        if each == "hour":
            return int(values["hour"]) % 24
        if each == "day":
            return date(1970, 1, 1) + timedelta(days=int(values["hour"]) // 24)
        return self._names(each, values[each])


def count_events(connection: Database, question: Question, by: Sequence[By] = ()) -> list[Count]:
    """Count events.

    Args:
        connection: The store.
        question: Which events.
        by: What is counted apart; nothing counts all together. Events without a time have no day
            and no hour, and are left out where these are asked for.

    Returns:
        A count for each group that has events, in the order of the groups.
    """
    timed = bool({"day", "hour"} & set(by))
    by_label = "label" in by or bool(question.labels)
    groups = _Groups(connection, by, LOCAL_HOUR, streamed=not by_label)
    where = Where(*(["onset_us IS NOT NULL"] if timed else []))
    where.add_range(question, "onset_us", None if by_label else LOCAL_HOUR)
    where.add_events(question)
    if by_label and question.has_range and not question.labels:
        # So that SQLite goes to the times of each label, and does not read all events.
        labels = list_labels(connection)
        where.add(f"label IN ({','.join('?' * len(labels))})", *labels)
    sums: defaultdict[Key, _Sum] = defaultdict(_Sum)
    index = "events_by_label" if by_label else "events_by_hour"
    query = groups.select(
        f"events INDEXED BY {index}",
        {
            "count(*)": "sum",
            "sum(offset_us - onset_us)": "sum",
            f"min({PACKED})": "min",
            f"max({PACKED})": "max",
            "max(highest_score)": "max",
            "sum(onset_us IS NULL)": "sum",
        },
        where,
    )
    for row in connection.execute(query, where.values):
        key, values = groups.split(row)
        if values[0]:
            sums[key].add(*values)
    _add_states(connection, question, by, sums, timed=timed)
    if any(each.n_untimed for each in sums.values()):
        _add_untimed_lengths(connection, question, by, sums)
    return [sums[key].count(key) for key in sorted(sums, key=_order)]


def _order(key: Key) -> tuple[Any, ...]:
    return tuple(each.casefold() if isinstance(each, str) else each for each in key)


def _add_states(
    connection: Database,
    question: Question,
    by: Sequence[By],
    sums: dict[Key, _Sum],
    *,
    timed: bool,
) -> None:
    """Count the events that still sound and those that were cut; there are few of both."""
    groups = _Groups(connection, by, LOCAL_HOUR, streamed=False)
    for state in ("open", "cut"):
        where = Where(f"state = '{state}'", *(["onset_us IS NOT NULL"] if timed else []))
        where.add_range(question, "onset_us")
        where.add_events(question)
        query = groups.select(f"events INDEXED BY events_{state}", {"count(*)": "sum"}, where)
        for row in connection.execute(query, where.values):
            key, (n_events,) = groups.split(row)
            if n_events:
                setattr(sums[key], f"n_{state}", getattr(sums[key], f"n_{state}") + n_events)


def _add_untimed_lengths(
    connection: Database, question: Question, by: Sequence[By], sums: dict[Key, _Sum]
) -> None:
    """Add the lengths of events without a time, which their positions tell."""
    groups = _Groups(connection, by, LOCAL_HOUR, streamed=False)
    where = Where("onset_us IS NULL")
    where.add_events(question)
    length = "sum((events.offset - onset) * 1e6 / (SELECT sample_rate FROM runs WHERE id = run_id))"
    query = groups.select("events INDEXED BY events_by_onset", {length: "sum"}, where)
    for row in connection.execute(query, where.values):
        key, (length_us,) = groups.split(row)
        if key in sums:
            sums[key].sounding_us += length_us or 0


def hours_heard(
    connection: Database, question: Question, by: Sequence[By] = ()
) -> dict[Key, float]:
    """Add up the hours heard, to the minute where a time is asked for.

    Args:
        connection: The store.
        question: Which time and sources; its labels and scores do not matter.
        by: What is added up apart; a label, which every hour is heard for, may not be among it.

    Returns:
        Hours of each group in which something was heard.
    """
    timed = bool({"day", "hour"} & set(by))
    heard: defaultdict[Key, float] = defaultdict(float)
    if not timed and not question.has_range:
        rates = {"sum(heard_samples * 1.0 / sample_rate)": "sum"}
        groups, where = _Groups(connection, by, "", streamed=False), Where()
        where.add_sources(question)
        table = "(SELECT *, id AS run_id FROM runs)"
    else:
        rate = "(SELECT sample_rate FROM runs WHERE id = run_id)"
        rates = {f"sum(heard_samples) * 1.0 / {rate}": "sum"}
        groups = _Groups(connection, by, LOCAL_HOUR_OF_MINUTE, streamed=True)
        if "run_id AS run" not in groups.inner:
            groups.inner.append("run_id AS run")
        where = Where("minute_us IS NOT NULL")
        where.add_range(question, "minute_us", LOCAL_HOUR_OF_MINUTE)
        where.add_sources(question)
        table = "levels INDEXED BY levels_by_hour"
    for row in connection.execute(groups.select(table, rates, where), where.values):
        key, values = groups.split(row)
        if values[-1]:
            heard[key] += values[-1] / 3600
    return dict(heard)


@dataclass(frozen=True, slots=True)
class Missing:
    """Audio that is known to be missing.

    Attributes:
        source: Name of the source.
        cause: Why.
        n_gaps: Number of gaps.
        seconds: Their length together, as far as it lies in the time asked for.
    """

    source: str
    cause: str
    n_gaps: int
    seconds: float


def list_missing(connection: Database, question: Question) -> list[Missing]:
    """Add up the gaps by source and cause, the longest first."""
    end = "begun_us + n_samples * 1000000 / sample_rate"
    begin = "gaps.begun_us"
    where, values = Where(), []
    if question.since_us is not None:
        where.add(f"gaps.{end} > ?", question.since_us)
        begin = "CASE WHEN gaps.begun_us < ? THEN ? ELSE gaps.begun_us END"
        values += [question.since_us] * 2
    until = f"gaps.{end}"
    if question.until_us is not None:
        where.add("gaps.begun_us < ?", question.until_us)
        until = f"CASE WHEN gaps.{end} > ? THEN ? ELSE gaps.{end} END"
        values = [question.until_us] * 2 + values
    where.add_sources(question)
    length = f"({until} - {begin}) / 1e6" if question.has_range else "n_samples * 1.0 / sample_rate"
    rows = connection.execute(
        f"SELECT sources.name, cause, count(*), sum({length}) FROM gaps "
        "JOIN runs ON runs.id = run_id JOIN sources ON sources.id = source_id "
        f"WHERE {where} GROUP BY 1, 2",
        [*values, *where.values],
    )
    return sorted((Missing(*row) for row in rows), key=lambda each: (-each.seconds, each.cause))


def find_first_runs(connection: Database) -> dict[str, datetime]:
    """Tell for each live source when it was first heard."""
    rows = connection.execute(
        "SELECT sources.name, begun_us, utc_offset_min FROM runs "
        "JOIN sources ON sources.id = source_id "
        "WHERE recording_id IS NULL AND utc_offset_min IS NOT NULL ORDER BY begun_us DESC"
    )
    return {name: local_time(us, offset_min) for name, us, offset_min in rows}


@dataclass(frozen=True, slots=True)
class Level:
    """How loud an hour was, or a day.

    Attributes:
        source: Name of the source.
        begun: Its begin by the place's clock, without an offset.
        laeq: Mean level by energy; None where no level is known.
        la10: Level that was exceeded in a tenth of the time: the median of the minutes' own.
        la90: Level that was exceeded in nine tenths of the time, likewise.
        lamax: Highest level.
        heard_h: Hours heard.
    """

    source: str
    begun: datetime
    laeq: float | None
    la10: float | None
    la90: float | None
    lamax: float | None
    heard_h: float


def list_levels(connection: Database, question: Question, *, step_h: int = 1) -> list[Level]:
    """Join the minutes' levels to those of hours, or of days.

    Args:
        connection: The store.
        question: Which time and sources.
        step_h: Hours that are joined: 1, or 24.

    Returns:
        By source and time, in dB SPL where the source is calibrated, else in dB re full scale.
    """
    where = Where("minute_us IS NOT NULL")
    where.add_range(question, "minute_us", LOCAL_HOUR_OF_MINUTE)
    where.add_sources(question)
    rows = connection.execute(
        "SELECT sources.name, hour, heard / sample_rate, laeq + c, la10 + c, la90 + c, lamax + c "
        f"FROM (SELECT run_id, {LOCAL_HOUR_OF_MINUTE} AS hour, heard_samples * 1.0 AS heard, laeq, "
        f"la10, la90, lamax FROM levels WHERE {where}) AS minutes JOIN runs ON runs.id = run_id "
        "JOIN (SELECT *, coalesce(calibration_db, 0) AS c FROM sources) AS sources "
        "ON sources.id = source_id ORDER BY 1, 2",
        where.values,
    )
    # A year has half a million minutes for each source: only those of one level are kept.
    minutes = groupby(rows, lambda row: (row[0], row[1] // step_h * step_h))
    return [
        Level(
            name,
            datetime(1970, 1, 1) + timedelta(hours=hour),
            _mean_level(levels),
            _median(each[2] for each in levels),
            _median(each[3] for each in levels),
            max((each[4] for each in levels if each[4] is not None), default=None),
            sum(each[0] for each in levels) / 3600,
        )
        for (name, hour), rows_of_one in minutes
        for levels in [[row[2:] for row in rows_of_one]]
    ]


def _mean_level(minutes: Iterable[tuple[float, ...]]) -> float | None:
    known = [(heard, level) for heard, level, *_ in minutes if level is not None and heard > 0]
    if not known:
        return None
    energy = sum(heard * 10 ** (level / 10) for heard, level in known)
    return 10 * math.log10(max(energy / sum(heard for heard, _ in known), 1e-20))


def _median(levels: Iterable[float | None]) -> float | None:
    known = sorted(level for level in levels if level is not None)
    if not known:
        return None
    middle = len(known) // 2
    return known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2


@dataclass(frozen=True, slots=True)
class Extent:
    """What the store holds in all.

    Attributes:
        n_events: Number of events.
        n_untimed: Events of which nothing tells the time.
        first: First onset, by the place's clock; None where no event has a time.
        last: Last onset.
        first_heard: Begin of the first run whose time is known.
    """

    n_events: int
    n_untimed: int
    first: datetime | None
    last: datetime | None
    first_heard: datetime | None


def measure_extent(connection: Database) -> Extent:
    """Tell how much the store holds, and of which time."""
    (n_events,) = connection.execute("SELECT count(*) FROM events").fetchone()
    (n_untimed,) = connection.execute(
        "SELECT count(*) FROM events WHERE onset_us IS NULL"
    ).fetchone()
    ends = [
        connection.execute(
            "SELECT onset_us, utc_offset_min FROM events WHERE onset_us IS NOT NULL "
            f"ORDER BY onset_us {order} LIMIT 1"
        ).fetchone()
        for order in ("ASC", "DESC")
    ]
    heard = connection.execute(
        "SELECT begun_us, utc_offset_min FROM runs WHERE begun_us IS NOT NULL "
        "ORDER BY begun_us LIMIT 1"
    ).fetchone()
    first, last, begun = (None if row is None else local_time(*row) for row in (*ends, heard))
    return Extent(n_events, n_untimed, first, last, begun)


def count_untimed(connection: Database, question: Question) -> int:
    """Count the events that a question with a time leaves out, because nothing tells theirs."""
    where = Where("onset_us IS NULL")
    where.add_events(question)
    query = f"SELECT count(*) FROM events INDEXED BY events_by_onset WHERE {where}"
    (n_events,) = connection.execute(query, where.values).fetchone()
    return int(n_events)
