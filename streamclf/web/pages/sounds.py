"""The pages of sounds: how often each is heard and when, its best clips, and its threshold."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import web

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.core.sureness import tell_sureness
from streamclf.store.browse import find_best
from streamclf.store.days import LabelTotal, count_days, count_labels, place_time, try_thresholds
from streamclf.store.names import list_labels, list_sources, read_vocabulary, shorten_names
from streamclf.store.reviews import count_verdicts
from streamclf.store.sureness import join_sureness_limits
from streamclf.web.asking import ask, now, understands
from streamclf.web.charts import draw_columns
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.filters import Query, write_query
from streamclf.web.pages.events import describe_entry, list_names, tell_done
from streamclf.web.rendering import render
from streamclf.web.words import LabelNames, tell_date, tell_moment, tell_rate, tell_score

PERIODS = {7: "7 days", 30: "30 days", 365: "A year"}
"""Times to choose from, by their days."""
DEFAULT_DAYS = 30
N_LABELS, MOST_LABELS = 60, 400
"""Labels of a page: usually, and if more are asked for."""
N_BEST = 6
"""Best clips of a label."""
TRIED_DAYS = 7
"""Days over which other thresholds are tried."""
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""Thresholds that are tried."""


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the pages to the application."""
    app.router.add_get("/sounds", understands(show_all))
    app.router.add_get("/sound", understands(show_one))


def _read_period(query: Query) -> int:
    """Read the number of days.

    Raises:
        UsageError: It is none of those to choose from.
    """
    text = query.get("days") or str(DEFAULT_DAYS)
    if text not in map(str, PERIODS):
        raise UsageError(f"days {text[:40]}: must be {', '.join(map(str, PERIODS))}")
    return int(text)


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show all sounds of a time."""
    n_days = _read_period(request.query)
    wanted = (request.query.get("find") or "").strip()
    everything = bool(request.query.get("all"))
    values = await ask(
        request, lambda store: describe_all(store, now(), n_days, wanted, everything=everything)
    )
    return render(request, "sounds.html", page="sounds", **values)


def describe_all(
    store: sqlite3.Connection, moment: datetime, n_days: int, wanted: str, *, everything: bool
) -> dict[str, Any]:
    """Describe the sounds of the last days."""
    today = place_time(store, moment).date()
    table = count_labels(store, today - timedelta(days=n_days - 1), today)
    names, meant = LabelNames(store), read_vocabulary(store).meant(wanted)
    limits = join_sureness_limits(store)
    fitting = [
        each
        for each in table.labels
        if wanted.casefold() in names(each.label).casefold()
        or wanted in each.label
        or each.label in meant
    ]
    shown = fitting[: MOST_LABELS if everything else N_LABELS]
    most = max((each.n_events for each in shown), default=1)
    heard = {each.label for each in table.labels}
    earlier = [
        names(label)
        for label in list_labels(store)
        if label not in heard and (wanted.casefold() in names(label).casefold() or label in meant)
    ]
    return {
        "n_days": n_days,
        "periods": PERIODS,
        "wanted": wanted,
        "heard_h": table.heard_h,
        "n_labels": len(table.labels),
        "n_more": len(fitting) - len(shown),
        "everything": everything,
        "rows": [
            _row(each, names(each.label), table.heard_h, most, today)
            | {"surest": tell_sureness(limits, each.label, each.highest_score)}
            for each in shown
        ],
        "earlier": earlier[:N_LABELS],
        "n_more_earlier": max(len(earlier) - N_LABELS, 0),
    }


def _row(total: LabelTotal, name: str, heard_h: float, most: int, today: date) -> dict[str, Any]:
    return {
        "label": total.label,
        "name": name,
        "n": total.n_events,
        "part": round(100 * total.n_events / most, 1),
        "per_hour": tell_rate(total.n_events, heard_h),
        "minutes": total.sounding_s,
        "last": tell_moment(total.last, today),
        "highest": tell_score(total.highest_score),
    }


async def show_one(request: web.Request) -> web.StreamResponse:
    """Show one sound."""
    label = request.query.get("label") or ""
    n_days = _read_period(request.query)
    hub = request.config_dict[CONTEXT].hub
    present = {} if hub is None else hub.thresholds(label)
    values = await ask(request, lambda store: describe_one(store, now(), label, n_days, present))
    if values is None:
        raise web.HTTPNotFound(text="The store has no sound of this name.")
    return render(
        request,
        "sound.html",
        page="sounds",
        said=tell_done(request.query),
        back=write_query({"label": label}),
        **values,
    )


def describe_one(
    store: sqlite3.Connection,
    moment: datetime,
    label: str,
    n_days: int,
    present_at: Mapping[str, float],
) -> dict[str, Any] | None:
    """Describe a sound; None where it was never heard.

    Args:
        store: The store.
        moment: The present.
        label: The sound.
        n_days: Number of days.
        present_at: Its present threshold at each source that listens now.
    """
    if store.execute("SELECT 1 FROM events WHERE label = ? LIMIT 1", (label,)).fetchone() is None:
        return None
    present = place_time(store, moment)
    today = present.date()
    first = today - timedelta(days=n_days - 1)
    days = count_days(store, first, today, [label])
    table = count_labels(store, first, today, [label])
    total = table.labels[0] if table.labels else LabelTotal(label)
    shown = shorten_names(each.name for each in list_sources(store))
    verdicts, names = count_verdicts(store, label), LabelNames(store)
    return {
        "label": label,
        "name": names(label),
        "n_days": n_days,
        "periods": PERIODS,
        "total": total,
        "per_hour": tell_rate(total.n_events, table.heard_h),
        "heard_h": table.heard_h,
        "last": tell_moment(total.last, today),
        "by_day": draw_columns(
            days.n_events,
            days.heard_h,
            [tell_date(day) for day in days.days],
            [write_query({"label": label, "date": day}) for day in days.days],
        ),
        "first_text": f"{first.day} {first:%B}",
        "by_hour": draw_columns(
            days.n_by_hour,
            days.heard_by_hour,
            [f"{hour:02}:00 to {(hour + 1) % 24:02}:00" for hour in range(24)],
            [
                write_query({"label": label, "from": first, "to": today, "hour": hour})
                for hour in range(24)
            ],
        ),
        "best": [
            describe_entry(each, shown, names, today) for each in find_best(store, label, N_BEST)
        ],
        "verdicts": verdicts,
        "was": [(names(text), n) for text, n in verdicts.was],
        "labels": list_names(store),
        "tried": _try(store, moment, label, present_at),
        "tried_days": TRIED_DAYS,
        "all_query": write_query({"label": label}),
    }


def _try(
    store: sqlite3.Connection, moment: datetime, label: str, present_at: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Tell what other thresholds would have left, from the present or the first that changes."""
    rounded = {name: round(value, 2) for name, value in present_at.items()}
    present = sorted(set(rounded.values()))
    shown = shorten_names(rounded)
    thresholds = sorted({*THRESHOLDS, *present})
    since = moment - timedelta(days=TRIED_DAYS)
    tried = try_thresholds(store, label, since, (0.0, *thresholds))
    everything, *rest = tried
    if not everything.n_events:
        return []
    first = max(
        (n for n, each in enumerate(rest) if each.n_events == everything.n_events), default=0
    )
    if present:
        first = min(first, thresholds.index(present[0]))
    return [
        {
            "threshold": f"{each.threshold:.2f}",
            "present": each.threshold in present,
            "at": [one_line(shown[name]) for name in rounded if rounded[name] == each.threshold]
            if len(present) > 1
            else [],
            "n": each.n_events,
            "part": round(100 * each.n_events / everything.n_events, 1),
            "less": everything.n_events - each.n_events,
            "right": each.n_right,
            "wrong": each.n_wrong,
        }
        for each in rest[first:]
    ]
