"""Words and numbers as people read them on the pages."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime, timedelta

from streamclf.core.labels import name_label
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count, format_length
from streamclf.store.browse import Entry
from streamclf.store.display_names import read_display_names
from streamclf.store.queries import local_time
from streamclf.teach.backtest import PastEvent

WHY_GONE = {
    "limit": "Its sound made room for newer ones.",
    "age": "Its sound was kept for as long as you set, and is gone.",
    "deleted": "Its sound was deleted.",
}
"""Why a clip is not there any more, by the store's word for it."""


class LabelNames:
    """Names of labels as people read them, which the models in the store gave.

    Args:
        store: The store.
    """

    def __init__(self, store: sqlite3.Connection) -> None:
        self._given = read_display_names(store)

    def __call__(self, label: str) -> str:
        """Name a label, or what somebody wrote in place of one."""
        return name_label(self._given.get(label, label))


def tell_score(score: float) -> str:
    """Write a score as settings have it. It is no probability, so it is not told in per cent."""
    return f"{score:.2f}"


def tell_part(part: float) -> str:
    """Write a part of a whole, or of being alike, in per cent; only all of it is 100 %."""
    return f"{min(max(int(100 * part + 1e-9), 0), 100)} %"


def tell_day(day: date, today: date) -> str:
    """Name a day: Today, Yesterday, or Thursday 26 November 2026."""
    if day == today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    year = "" if day.year == today.year else f" {day.year}"
    return f"{day:%A} {day.day} {day:%B}{year}"


def tell_date(day: date) -> str:
    """Write a day with its weekday: Thursday 26 November 2026."""
    return f"{day:%A} {day.day} {day:%B} {day.year}"


def tell_moment(moment: datetime | None, today: date) -> str:
    """Write a time, with its day if that is not today."""
    if moment is None:
        return ""
    day = moment.date()
    if day == today:
        return f"{moment:%H:%M}"
    if day == today - timedelta(days=1):
        return f"yesterday {moment:%H:%M}"
    if timedelta(0) < today - day < timedelta(days=7):
        return f"{moment:%A %H:%M}"
    year = "" if day.year == today.year else f" {day.year}"
    return f"{day.day} {day:%b}{year}, {moment:%H:%M}"


def tell_past_moment(event: PastEvent, entry: Entry | None, today: date) -> str:
    """Write when an event began that would have been, to the second.

    Args:
        event: The event.
        entry: What was told then, which knows the place's clock; None for nothing.
        today: Today.
    """
    if event.onset_us is None:
        return f"{event.onset_s:,.1f} s from the start"
    offset_min = None if entry is None else entry.event.utc_offset_min
    time = local_time(event.onset_us, offset_min)
    time = time if offset_min is not None else time.astimezone()
    return f"{tell_moment(time, today)}:{time:%S}"


def tell_hours(hours: float) -> str:
    """Write hours heard: ``7.5 hours``, ``24 hours``, ``12 minutes``."""
    if hours < 1:
        return format_count(round(60 * hours), "minute")
    text = f"{hours:,.1f}".removesuffix(".0") if hours < 100 else f"{hours:,.0f}"
    return f"{text} hour" if text == "1" else f"{text} hours"


def tell_rate(n_events: int, hours: float) -> str:
    """Write how often something was heard in an hour of listening; empty if nobody listened."""
    if hours <= 0:
        return ""
    rate = n_events / hours
    if 0 < rate < 0.01:
        return "less than 0.01"
    return f"{rate:,.{0 if rate >= 100 else 1 if rate >= 10 else 2}f}"


FILTERS = {
    "label": name_label,
    "score": tell_score,
    "part": tell_part,
    "duration": format_length,
    "hours": tell_hours,
    "counted": format_count,
    "line": one_line,
    "number": lambda number: f"{number:,}",
}
"""Filters of the templates."""
