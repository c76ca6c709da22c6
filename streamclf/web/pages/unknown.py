"""The page of unknown sounds: those that came again, grouped by likeness, and a name for each."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count, format_length
from streamclf.core.unknown import UNKNOWN_LABEL
from streamclf.store.days import place_time
from streamclf.store.names import list_sources, shorten_names
from streamclf.store.reviews import LONGEST_LABEL
from streamclf.teach.groups import MOST_EVENTS, find_example, group_unknown, review_group
from streamclf.web.asking import ask, change, now, understands
from streamclf.web.bodies import read_form
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.filters import write_query
from streamclf.web.pages.events import describe_entry, list_names
from streamclf.web.rendering import redirect, render
from streamclf.web.words import LabelNames, tell_moment, tell_part

N_GROUPS = 30
"""Groups of the page: the largest."""


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the page to the application."""
    app.router.add_get("/unknown", understands(show))
    app.router.add_post("/unknown", understands(name_group))


async def show(request: web.Request) -> web.StreamResponse:
    """Show the groups."""
    path = request.config_dict[CONTEXT].store
    values = await ask(request, lambda store: describe(store, path, now()))
    return render(request, "unknown.html", page="sounds", longest=LONGEST_LABEL, **values)


def describe(store: sqlite3.Connection, path: Path, moment: datetime) -> dict[str, Any]:
    """Describe the groups, what was heard most often first.

    Args:
        store: The store.
        path: Its path, beside which the features lie.
        moment: The present.
    """
    groups, n_alone, n_unkept = group_unknown(store, path)
    today = place_time(store, moment).date()
    names = LabelNames(store)
    shown = shorten_names([each.name for each in list_sources(store)])
    rows = []
    for group in groups[:N_GROUPS]:
        example = find_example(store, group)
        sources = sorted({one_line(shown.get(each.source, each.source)) for each in group.events})
        rows.append(
            {
                "n": group.n_times,
                "n_events": len(group.events),
                "usual": "" if group.usual_hour is None else tell_hour(group.usual_hour),
                "length": format_length(group.length_s),
                "likeness": tell_part(group.likeness),
                "where": sources[0] if len(sources) == 1 else format_count(len(sources), "source"),
                "last": tell_moment(group.last, today),
                "example": describe_entry(example, shown, names, today),
                "rows": ",".join(str(event.row) for event in group.events),
            }
        )
    return {
        "groups": rows,
        "n_more": max(len(groups) - N_GROUPS, 0),
        "n_alone": n_alone,
        "n_unkept": n_unkept,
        "labels": [each for each in list_names(store) if each not in ("unknown", "silence")],
    }


def tell_hour(hour: int) -> str:
    """Tell around which hour of the day something is mostly heard."""
    return f"mostly around {hour:02}:00"


async def name_group(request: web.Request) -> web.StreamResponse:
    """Say of all events of a group what they were, and go on to teach that."""
    texts = await read_form(request)
    rows = _read_rows(texts.get("events", ""))
    name = one_line(texts.get("name", "")).strip()
    if not name:
        raise UsageError("name: is empty: say what the sound is")
    if name.casefold() == UNKNOWN_LABEL:
        raise UsageError(f"name {name}: is no name of a sound: say what it is")
    n_named = await change(request, lambda store, now_us: review_group(store, rows, name, now_us))
    done = [("done", f"named-{n_named}")] if n_named else []
    return redirect(request, f"/teach?{write_query([('name', name), *done])}")


def _read_rows(text: str) -> list[int]:
    """Read the numbers of a group's events.

    Raises:
        UsageError: They are none, or too many.
    """
    rows = [each for each in text.split(",") if each]
    if len(rows) > MOST_EVENTS:
        raise UsageError(f"{len(rows):,} events: at most {MOST_EVENTS:,} can be named at once")
    if not rows or any(not (r.isascii() and r.isdecimal() and len(r) < 19) for r in rows):
        raise UsageError("events: must be numbers of events with commas between them")
    return sorted({int(row) for row in rows})
