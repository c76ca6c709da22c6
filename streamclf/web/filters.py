"""Filters in an address: which events a page or an answer is about, so that it can be shared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol, cast
from urllib.parse import urlencode

from streamclf.core.errors import UsageError
from streamclf.store.browse import Choice
from streamclf.store.names import find_labels, list_sources
from streamclf.store.question import Question, Verdict

EARLIEST, LATEST = date(1970, 1, 2), date(9998, 12, 30)
"""Days between which dates are taken; beyond them no clock of a place can be told."""
REVIEWED = ("right", "wrong", "not")
MOST_CHOSEN = 50
"""Most labels, and most sources, to choose at once."""


class Query(Protocol):
    """Parameters of an address, of which some stand there several times."""

    def get(self, key: str) -> str | None:
        """Return the first value."""

    def getall(self, key: str, default: list[str]) -> list[str]:
        """Return all values."""


@dataclass(frozen=True)
class Filters:
    """Filters as an address has them; `choose` makes them a choice of events.

    Attributes:
        labels: Labels, as people write them.
        sources: Names of sources.
        min_score: Lowest highest score, 0 to 1.
        first_day: First day.
        last_day: Last day, which is among them.
        hour: Hour of the day.
        reviewed: What was said of the events; ``not`` for nothing.
        with_clip: Only events whose clip is there.
    """

    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    min_score: float = 0.0
    first_day: date | None = None
    last_day: date | None = None
    hour: int | None = None
    reviewed: Verdict | Literal["not"] | None = None
    with_clip: bool = False

    @classmethod
    def read(cls, query: Query) -> Filters:
        """Read the parameters; empty ones, which forms send, count for nothing.

        Raises:
            UsageError: A value makes no sense.
        """
        day = read_day(query, "date")
        first = read_day(query, "from") or day
        last = read_day(query, "to") or day
        if first is not None and last is not None and last < first:
            raise UsageError(f"to {last}: is before {first}, the first day: exchange them")
        reviewed = query.get("reviewed") or None
        if reviewed not in (None, *REVIEWED):
            raise UsageError(f"reviewed {reviewed[:40]}: must be right, wrong or not")
        labels = tuple(text for each in query.getall("label", []) if (text := each.strip()))
        sources = tuple(each for each in query.getall("source", []) if each)
        for name, n_chosen in [
            ("label", sum(1 + each.count(",") for each in labels)), ("source", len(sources))
        ]:  # fmt: skip
            if n_chosen > MOST_CHOSEN:
                raise UsageError(
                    f"{name}: {n_chosen} are chosen, at most {MOST_CHOSEN} are possible: choose "
                    "fewer"
                )
        return cls(
            labels,
            sources,
            _read_number(query, "score", 0.0, 1.0) or 0.0,
            first,
            last,
            None if (hour := _read_number(query, "hour", 0, 23)) is None else int(hour),
            cast(Verdict | Literal["not"] | None, reviewed),
            (query.get("clip") or "0") != "0",
        )

    @property
    def is_set(self) -> bool:
        """Whether any filter leaves something out."""
        return self != Filters()

    def query(self, **more: object) -> str:
        """Write the parameters of an address, in one order always.

        Args:
            more: Parameters besides; None for one that is left out.
        """
        said: list[tuple[str, object]] = [("label", each) for each in self.labels]
        said += [("source", each) for each in self.sources]
        if self.first_day is not None and self.first_day == self.last_day:
            said.append(("date", self.first_day))
        else:
            said += [("from", self.first_day), ("to", self.last_day)]
        said += [
            ("hour", self.hour),
            ("score", f"{self.min_score:g}" if self.min_score else None),
            ("reviewed", self.reviewed),
            ("clip", "1" if self.with_clip else None),
        ]
        return write_query([*said, *more.items()])

    def choose(self, connection: sqlite3.Connection) -> Choice:
        """Make the choice of events.

        Raises:
            UsageError: A label or a source is none that was heard.
        """
        labels: tuple[str, ...] = ()
        if self.labels:
            try:
                labels = find_labels(connection, self.labels)
            except UsageError as error:
                raise UsageError(str(error).removeprefix("--")) from error
        source_ids = None
        if self.sources:
            known = {each.name: each.id for each in list_sources(connection)}
            missing = [name for name in self.sources if name not in known]
            if missing:
                raise UsageError(f"source {missing[0]}: the store has no source of this name")
            source_ids = tuple(known[name] for name in self.sources)
        question = Question(
            labels=labels,
            source_ids=source_ids,
            min_score=self.min_score,
            reviewed=self.reviewed,
        )
        return Choice(question, self.first_day, self.last_day, self.hour, self.with_clip)


def read_day(query: Query, key: str) -> date | None:
    """Read a day: ``2026-11-26``.

    Raises:
        UsageError: It is no day.
    """
    text = query.get(key)
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or not EARLIEST <= day <= LATEST:
        raise UsageError(f"{key} {text[:40]}: must be a day, such as 2026-11-26")
    return day


def read_whole(query: Query, key: str, low: int, high: int, default: int) -> int:
    """Read a whole number.

    Raises:
        UsageError: It is none, or out of range.
    """
    value = _read_number(query, key, low, high)
    return default if value is None else int(value)


def _read_number(query: Query, key: str, low: float, high: float) -> float | None:
    text = query.get(key)
    if not text:
        return None
    whole = isinstance(low, int)
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise UsageError(f"{key} {text[:40]}: must be from {low:g} to {high:g}")
    return value


def write_query(said: Iterable[tuple[str, object]] | Mapping[str, object]) -> str:
    """Write parameters of an address; those that are None are left out."""
    pairs = said.items() if isinstance(said, Mapping) else said
    return urlencode([(key, str(value)) for key, value in pairs if value is not None])
