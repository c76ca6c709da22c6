"""The page of what is like an event: moments of the past, named or not."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_length
from streamclf.store.days import place_time
from streamclf.store.names import list_sources, shorten_names
from streamclf.teach.search.moments import Moment
from streamclf.teach.search.more_like import more_like
from streamclf.web.asking import ask, now, understands
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.pages.events import describe_entry, list_names, tell_done
from streamclf.web.rendering import render
from streamclf.web.words import LabelNames, tell_moment, tell_part

N_MOMENTS = 20
"""Moments of the page."""


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the page to the application."""
    app.router.add_get("/like", understands(show))


async def show(request: web.Request) -> web.StreamResponse:
    """Show what is like an event."""
    row = read_row(request.query.get("event", ""))
    path = request.config_dict[CONTEXT].store
    values = await ask(request, lambda store: describe_like(store, path, row, now()))
    if values is None:
        raise web.HTTPNotFound(text=f"The store has no event {row}.")
    return render(
        request,
        "like.html",
        page="events",
        said=tell_done(request.query),
        back=f"event={row}",
        **values,
    )


def read_row(text: str) -> int:
    """Read the number of an event.

    Raises:
        UsageError: It is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise UsageError(f"event {text[:40]}: must be the number of an event")
    return int(text)


def describe_like(
    store: sqlite3.Connection, path: Path, row: int, moment: datetime
) -> dict[str, Any] | None:
    """Describe the moments that are like an event; None if there is no such event.

    Args:
        store: The store.
        path: Its path.
        row: Row of the event.
        moment: The present.

    Raises:
        UsageError: No features of its time are kept.
    """
    found = more_like(store, path, row, N_MOMENTS)
    if found is None:
        return None
    today = place_time(store, moment).date()
    names = LabelNames(store)
    shown = shorten_names([each.name for each in list_sources(store)])
    rows = []
    for each in found.moments:
        entry = each.entries[0] if each.entries else None
        rows.append(
            {
                "likeness": tell_part(each.likeness),
                "event": None if entry is None else describe_entry(entry, shown, names, today),
                **_describe_moment(each, moment, shown),
            }
        )
    return {
        "example": describe_entry(found.entry, shown, names, today),
        "moments": rows,
        "labels": list_names(store),
    }


def _describe_moment(each: Moment, present: datetime, shown: dict[str, str]) -> dict[str, Any]:
    time = each.time
    today = present.astimezone().date()
    when = tell_moment(time, today) if time is not None else f"{each.onset_s:,.1f} s from the start"
    return {
        "when": when,
        "iso": None if time is None else time.isoformat(timespec="seconds"),
        "length": format_length(each.offset_s - each.onset_s),
        "source": one_line(shown.get(each.source, each.source)),
        "recording": one_line(each.recording),
    }
