"""The page of events: filters, sounds to play, and what people say of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count, format_length
from streamclf.store.browse import (
    MOST_COUNTED,
    Entry,
    Page,
    Position,
    count_chosen,
    find_page,
)
from streamclf.store.clips import keep_clip
from streamclf.store.days import place_time
from streamclf.store.names import list_labels, list_sources, read_vocabulary, shorten_names
from streamclf.store.retention import remove_clip
from streamclf.store.reviews import list_said_labels, review_event
from streamclf.store.said_labels import find_said_label
from streamclf.web.api import MEDIA
from streamclf.web.asking import ask, change, now, understands
from streamclf.web.bodies import read_form
from streamclf.web.context import WebContext
from streamclf.web.filters import Filters, Query, write_query
from streamclf.web.rendering import redirect, render
from streamclf.web.words import WHY_GONE, LabelNames, tell_day, tell_moment, tell_score

N_EVENTS = 30
"""Events of a page."""
MOST_AT_ONCE = 500
"""Most events that one form changes."""
SCORES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Lowest scores to choose from."""
DONE = {
    "right": ("{} marked as right.", "event"),
    "wrong": ("{} marked as wrong.", "event"),
    "none": ("What was said of {} is taken back.", "event"),
    "keep": ("{} will be kept.", "sound"),
    "free": ("{} may go when their time has come.", "sound"),
    "delete": ("{} deleted. What was heard stays in the list.", "sound"),
    "named": ("{} named.", "event"),
    "forgot": ("{} forgotten.", "taught sound"),
    "held": ("{} marked to be kept, and not deleted.", "sound"),
}
"""What a form has done, by its word in the address."""


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the page to the application."""
    app.router.add_get("/events", understands(show))
    app.router.add_post("/events/act", understands(act))


async def show(request: web.Request) -> web.StreamResponse:
    """Show a page of events."""
    filters = Filters.read(request.query)
    older, newer = (
        Position.read(text) if (text := request.query.get(key)) else None
        for key in ("older", "newer")
    )
    values = await ask(request, lambda store: describe_page(store, now(), filters, older, newer))
    place = {key: request.query[key] for key in ("older", "newer") if request.query.get(key)}
    return render(
        request,
        "events.html",
        page="events",
        said=tell_done(request.query),
        back=filters.query(**place),
        **values,
    )


def tell_done(query: Query) -> list[str]:
    """Tell what a form has done, as the address that it led to says."""
    lines = []
    for each in query.getall("done", [])[:2]:
        word, _, number = each.partition("-")
        if word in DONE and number.isdecimal() and int(number[:9]):
            text, noun = DONE[word]
            lines.append(text.format(format_count(int(number[:9]), noun)))
    return lines


def describe_page(
    store: sqlite3.Connection,
    moment: datetime,
    filters: Filters,
    older: Position | None,
    newer: Position | None,
) -> dict[str, Any]:
    """Describe a page of events."""
    today = place_time(store, moment).date()
    problem, page, n_events = "", Page([], False, False), 0
    try:
        choice = filters.choose(store)
    except UsageError as error:
        problem = str(error)
    else:
        page = find_page(store, choice, N_EVENTS, older=older, newer=newer)
        n_events = count_chosen(store, choice)
    entries = page.entries
    sources = [each.name for each in list_sources(store)]
    shown, names = shorten_names(sources), LabelNames(store)
    return {
        "filters": filters,
        "problem": f"{problem[:1].upper()}{problem[1:]}." if problem else "",
        "n_events": f"more than {MOST_COUNTED:,} events"
        if n_events > MOST_COUNTED
        else format_count(n_events, "event"),
        "days": group_by_day(entries, today, shown, names),
        "older": filters.query(older=entries[-1].position) if page.has_older and entries else "",
        "newer": filters.query(newer=entries[0].position) if page.has_newer and entries else "",
        "newest": filters.query(),
        "sources": [(name, one_line(shown[name])) for name in sources],
        "labels": list_names(store),
        "scores": [(f"{score:g}", tell_score(score)) for score in SCORES],
        "today": today,
        "chosen": describe_filters(filters, today, shown, names),
        "is_empty": not entries and not filters.is_set,
    }


def describe_filters(
    filters: Filters, today: date, shown: Mapping[str, str], names: LabelNames
) -> str:
    """Describe filters in a few words; empty for none."""
    first, last = filters.first_day, filters.last_day
    parts = [*map(names, filters.labels)]
    parts += [one_line(shown.get(name, name)) for name in filters.sources]
    if first is not None and first == last:
        parts.append(tell_day(first, today))
    else:
        parts += [f"from {tell_day(first, today)}"] if first else []
        parts += [f"to {tell_day(last, today)}"] if last else []
    if filters.hour is not None:
        parts.append(f"{filters.hour:02}:00 to {(filters.hour + 1) % 24:02}:00")
    parts += [f"score {tell_score(filters.min_score)} or more"] if filters.min_score else []
    parts += [_REVIEWED[filters.reviewed]] if filters.reviewed else []
    parts += ["with a sound to play"] if filters.with_clip else []
    return ", ".join(parts)


_REVIEWED = {"right": "said right", "wrong": "said wrong", "not": "nothing said yet"}


def list_names(store: sqlite3.Connection) -> list[str]:
    """List all sounds that may be chosen: those that were heard, or that people named.

    Broader ones are among them, because they mean what was heard as well.
    """
    names, vocabulary, heard = LabelNames(store), read_vocabulary(store), list_labels(store)
    broader = {broad for label in heard for broad in vocabulary.broader_than(label)}
    every = {*heard, *broader, *list_said_labels(store)}
    return sorted({names(label) for label in every}, key=str.casefold)


def group_by_day(
    entries: Sequence[Entry], today: date, shown: Mapping[str, str], names: LabelNames
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Put events under the headings of their days."""

    def day_of(entry: Entry) -> date | None:
        return None if entry.event.time is None else entry.event.time.date()

    return [
        (
            "Without a date" if day is None else tell_day(day, today),
            [describe_entry(each, shown, names) for each in group],
        )
        for day, group in groupby(entries, day_of)
    ]


def describe_entry(
    entry: Entry, shown: Mapping[str, str], names: LabelNames, today: date | None = None
) -> dict[str, Any]:
    """Describe an event for its row.

    Args:
        entry: The event.
        shown: What to show for the names of sources.
        names: Names of labels.
        today: Today, if its day is to be told as well.
    """
    event, clip = entry.event, entry.clip
    name = names(event.label)
    length = ""
    if event.offset is not None:
        length = format_length((event.offset - event.onset) / event.sample_rate)
    elif event.state == "cut":
        length = "cut off"
    time = event.time
    if time is None:
        when = f"{event.onset_s:,.1f} s from the start"
    else:
        when = f"{time:%H:%M:%S}" if today is None else tell_moment(time, today)
    return {
        "row": event.row,
        "label": event.label,
        "name": name,
        "when": when,
        "iso": None if time is None else time.isoformat(timespec="seconds"),
        "length": length,
        "sureness": event.sureness,
        "score": tell_score(event.highest_score),
        "source": one_line(shown.get(event.source, event.source)),
        "recording": "" if event.recording is None else one_line(event.recording),
        "state": event.state,
        "verdict": event.verdict,
        "said": None if entry.said_label is None else names(entry.said_label),
        "media": f"{MEDIA}/{clip.row}" if clip is not None and clip.is_there else None,
        "kept": clip is not None and clip.kept,
        "why_gone": ""
        if clip is None or clip.is_there
        else WHY_GONE.get(clip.gone_why or "", WHY_GONE["deleted"]),
        "told": f"{name}, {when}",
    }


async def act(request: web.Request) -> web.StreamResponse:
    """Do what a form asks for, and go back to where it was."""
    texts = await read_form(request)
    word, _, row = texts.get("act", "").partition(":")
    rows = [row] if row else texts.getall("id", [])
    if any(not (each.isascii() and each.isdecimal() and len(each) < 19) for each in rows):
        raise UsageError("event: must be the number of an event")
    if len(rows) > MOST_AT_ONCE:
        raise UsageError(f"{len(rows)} events: at most {MOST_AT_ONCE} can be changed at once")
    numbers = sorted({int(each) for each in rows})
    done: dict[str, int] = {}
    if numbers and word:
        label = texts.get("label", "")
        done = await change(
            request, lambda store, now_us: act_on(store, word, numbers, label, now_us)
        )
    return redirect(request, _way_back(texts, done))


def act_on(
    store: sqlite3.Connection, word: str, numbers: Sequence[int], label: str, now_us: int
) -> dict[str, int]:
    """Do something to events.

    Args:
        store: The store, in a transaction.
        word: What to do: ``right``, ``wrong``, ``was`` (it was another sound), ``none`` (take back
            what was said), ``keep``, ``free`` (keep no more), ``delete``.
        numbers: The events' rows.
        label: What they were.
        now_us: Now, in microseconds since 1970-01-01 UTC.

    Returns:
        What was done, by its word in `DONE`, and to how many.

    Raises:
        UsageError: There is no such thing to do.
        SinkError: A clip cannot be deleted.
    """
    if word in ("right", "wrong", "none", "was"):
        verdict = {"right": "right", "wrong": "wrong", "was": "wrong"}.get(word)
        said = find_said_label(store, label) if word == "was" else None
        n_done = sum(
            review_event(store, number, verdict, said, now_us)  # type: ignore[arg-type]
            for number in numbers
        )
        return {"wrong" if word == "was" else word: n_done}
    if word in ("keep", "free"):
        return {word: sum(keep_clip(store, number, kept=word == "keep") for number in numbers)}
    if word == "delete":
        results = [remove_clip(store, number, now_us) for number in numbers]
        return {"delete": results.count("gone"), "held": results.count("kept")}
    raise UsageError(f"act {word[:40]}: is nothing that can be done")


def _way_back(texts: MultiDict[str], done: Mapping[str, int]) -> str:
    """Address of the page that a form stood on, made anew of what is known of it."""
    back = MultiDict(parse_qsl(texts.get("back", "")))
    outcome = [("done", f"{word}-{n}") for word, n in done.items() if n]
    if texts.get("page") == "sound":
        label = back.get("label")
        return f"/sound?{write_query([('label', label), *outcome])}" if label else "/sounds"
    if texts.get("page") == "teach":
        name = back.get("name")
        return f"/teach?{write_query([('name', name), *outcome])}" if name else "/teach"
    if texts.get("page") == "like":
        row = back.get("event", "")
        return f"/like?{write_query([('event', row), *outcome])}" if row.isdecimal() else "/events"
    try:
        query = Filters.read(back).query(**{key: back.get(key) for key in ("older", "newer")})
    except UsageError:
        query = ""
    return "/events?" + "&".join(filter(None, [query, write_query(outcome)]))
