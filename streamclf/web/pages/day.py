"""The page of a day: what was heard in which hour, how loud it was, and what was missed."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import web

from streamclf.core.redaction import one_line
from streamclf.store.days import (
    count_table,
    find_day_before,
    levels_of_days,
    list_gaps,
    place_time,
)
from streamclf.store.names import list_sources
from streamclf.store.told import ToldMessage, list_told
from streamclf.web.asking import ask, now, understands
from streamclf.web.charts import draw_heard, draw_levels, draw_map, list_missing
from streamclf.web.context import WebContext
from streamclf.web.filters import EARLIEST, LATEST, read_day, read_whole
from streamclf.web.rendering import render
from streamclf.web.words import LabelNames, tell_date, tell_day

N_LABELS = 20
"""Most labels of the map, if not all are asked for."""
MOST_LABELS = 40
"""Most labels of the map, if more are asked for: still more make no page that can be read."""
N_TOLD = 6
"""Most messages of rules in the list."""
N_GAPS = 12
"""Most gaps in the list."""
WEEK_DAYS = 7


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the page to the application."""
    app.router.add_get("/day", understands(show))


async def show(request: web.Request) -> web.StreamResponse:
    """Show a day, or the seven days that end with it."""
    day = read_day(request.query, "date")
    n_days = read_whole(request.query, "days", 1, WEEK_DAYS, 1)
    n_labels = MOST_LABELS if request.query.get("all") else N_LABELS
    values = await ask(request, lambda store: describe_day(store, now(), day, n_days, n_labels))
    return render(request, "day.html", page="day", **values)


def describe_day(
    store: sqlite3.Connection, moment: datetime, day: date | None, n_days: int, n_labels: int
) -> dict[str, Any]:
    """Describe a day, or several.

    Args:
        store: The store.
        moment: The present.
        day: The last day; None for today.
        n_days: Number of days: 1, or those of a week.
        n_labels: Most labels of the map.
    """
    present = place_time(store, moment)
    today = present.date()
    last = day or today
    first = max(last - timedelta(days=n_days - 1), EARLIEST)
    table = count_table(store, first, last)
    levels = levels_of_days(store, first, last)
    gaps = list_gaps(store, first, last)
    told, n_told = list_told(store, first, last, N_TOLD)
    before = None if table.labels else find_day_before(store, first)
    n_past = sum(1 for begin in table.begins if begin <= present)
    return {
        "day": last,
        "first": first,
        "today": today,
        "n_days": n_days,
        "title": tell_day(last, today) if n_days == 1 else f"{_short(first)} to {_short(last)}",
        "full": tell_date(last) if n_days == 1 else f"{tell_date(first)} to {tell_date(last)}",
        "earlier": max(first - timedelta(days=1), EARLIEST),
        "later": min(last + timedelta(days=n_days), LATEST),
        "yesterday": today - timedelta(days=1),
        "is_future": first > today,
        "n_events": sum(table.totals),
        "n_labels": len(table.labels),
        "n_more": max(len(table.labels) - n_labels, 0),
        "shows_most": n_labels == MOST_LABELS,
        "heard_h": sum(table.heard_h),
        "missing_s": sum(each.seconds for each in gaps),
        "n_gaps": len(gaps),
        "busiest": _find_busiest(table.begins, table.totals, n_days),
        "rows": draw_map(table, n_labels, LabelNames(store)),
        "begins": table.begins,
        "n_past": n_past,
        "heard": draw_heard(table, n_past),
        "levels": draw_levels(levels, list_sources(store), first, last),
        "gaps": list_missing(gaps, N_GAPS),
        "n_more_gaps": max(len(gaps) - N_GAPS, 0),
        "told": [describe_told(each, n_days) for each in told],
        "n_more_told": n_told - len(told),
        "before": before,
        "before_text": tell_date(before) if before else "",
        "day_name": tell_date,
    }


def describe_told(message: ToldMessage, n_days: int) -> dict[str, Any]:
    """Describe a message: when and what was told, to whom, and what did not arrive.

    Args:
        message: The message.
        n_days: Number of days that are shown; the day is told beside the time of several.
    """
    missing = [f"not yet to {one_line(name)}" for name in message.waiting]
    missing += [
        one_line(f"never to {name}" + (f": {reason}" if reason else ""))
        for name, reason in message.failed
    ]
    return {
        "day": f"{message.told:%a} {message.told.day}" if n_days > 1 else "",
        "when": f"{message.told:%H:%M:%S}",
        "text": one_line(message.text),
        "to": f"to {', '.join(map(one_line, message.sent))}" if message.sent else "",
        "missing": "; ".join(missing),
    }


def _short(day: date) -> str:
    return f"{day.day} {day:%B}"


def _find_busiest(begins: list[datetime], totals: list[int], n_days: int) -> str:
    most = max(totals, default=0)
    if not most:
        return ""
    begin = begins[totals.index(most)]
    if n_days > 1:
        return f"{begin:%A}"
    return f"{begin:%H}:00–{(begin.hour + 1) % 24:02}:00"  # short enough for a line of a phone
