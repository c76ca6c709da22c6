"""A question to the store: of which events, and of which time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

Verdict: TypeAlias = Literal["right", "wrong"]
"""What somebody said of an event."""
MOST_AHEAD_H = 24
"""Hours by which the clock of no place differs from UTC."""


class Rows(Protocol):
    """Rows that a query gives, each a tuple of its columns."""

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """What can be asked: a connection to the store, or to results that have the same tables.

    Questions keep to SQL that SQLite and DuckDB have in common.
    """

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Ask a query, whose marks ``?`` stand for the values."""


@dataclass(frozen=True)
class Question:
    """Choice of events, gaps and hours heard.

    An event belongs to a time by its onset. What has no time belongs to no range, and to a question
    without one.

    Attributes:
        since: First moment, with an offset from UTC; None for no limit.
        until: Moment after the last; None for no limit.
        labels: Labels of the events; empty for all.
        source_ids: Rows of `sources`; None for all.
        recording_ids: Rows of `recordings` that are asked for besides those sources.
        min_score: Lowest value of an event's highest score.
        reviewed: Events of which this was said last; ``not`` for those of which nothing was said,
            None for all.
    """

    since: datetime | None = None
    until: datetime | None = None
    labels: tuple[str, ...] = ()
    source_ids: tuple[int, ...] | None = None
    recording_ids: tuple[int, ...] = ()
    min_score: float = 0.0
    reviewed: Verdict | Literal["not"] | None = None

    @property
    def has_range(self) -> bool:
        """Whether a time is asked for."""
        return self.since is not None or self.until is not None

    @property
    def since_us(self) -> int | None:
        """`since` in microseconds since 1970."""
        return _to_us(self.since)

    @property
    def until_us(self) -> int | None:
        """`until` in microseconds since 1970."""
        return _to_us(self.until)


def _to_us(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + moment.microsecond


class Where:
    """Conditions of a query, with the values of their marks.

    Args:
        conditions: Conditions without marks.
    """

    def __init__(self, *conditions: str) -> None:
        self._conditions = list(conditions)
        self.values: list[Any] = []

    def add(self, condition: str, *values: object) -> None:
        """Add a condition, whose marks ``?`` stand for the values."""
        self._conditions.append(condition)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(f"({each})" for each in self._conditions) or "1"

    def add_range(self, question: Question, column: str, hour: str | None = None) -> None:
        """Add the question's time, if it has one.

        Args:
            question: The question.
            column: Column with microseconds.
            hour: Expression of the local hour, if its index is to be searched.
        """
        for limit_us, sign in [(question.since_us, ">="), (question.until_us, "<")]:
            if limit_us is None:
                continue
            self.add(f"{column} {sign} ?", limit_us)
            if hour is not None:
                reach = MOST_AHEAD_H if sign == "<" else -MOST_AHEAD_H
                self.add(f"{hour} {sign} ?", limit_us // 3_600_000_000 + reach)

    def add_sources(self, question: Question) -> None:
        """Add the question's sources, for a table that has a ``run_id``."""
        if question.source_ids is None:
            return
        chosen = [("source_id", question.source_ids), ("recording_id", question.recording_ids)]
        either = " OR ".join(f"{column} IN ({marks(values)})" for column, values in chosen)
        ids = [value for _, values in chosen for value in values]
        self.add(f"run_id IN (SELECT id FROM runs WHERE {either})", *ids)

    def add_events(self, question: Question) -> None:
        """Add what the question says of the events themselves."""
        if question.labels:
            self.add(f"label IN ({marks(question.labels)})", *question.labels)
        if question.min_score > 0:
            self.add("highest_score >= ?", question.min_score)
        if question.reviewed is not None:
            verdict = None if question.reviewed == "not" else question.reviewed
            self.add(
                "(SELECT verdict FROM reviews WHERE event_id = events.id "
                "ORDER BY reviewed_us DESC, reviews.id DESC LIMIT 1) IS ?",
                verdict,
            )
        self.add_sources(question)


def marks(values: tuple[object, ...]) -> str:
    """Return a mark for each value, separated by commas."""
    return ",".join("?" * len(values))
