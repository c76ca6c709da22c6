"""The JSON API of the store, below ``/api/``: events, days, levels, labels, clips and reviews.

The pages show what the same functions find. `OPERATIONS` describes it, see
`streamclf.web.openapi`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

import msgspec
from aiohttp import web
from msgspec import UNSET

from streamclf.core.errors import UsageError
from streamclf.store.browse import Entry, Position, StoredClip, find_entry, find_page
from streamclf.store.clips import keep_clip
from streamclf.store.days import count_labels, count_table, levels_of_days, list_gaps
from streamclf.store.retention import remove_clip
from streamclf.store.reviews import review_event
from streamclf.store.said_labels import find_said_label
from streamclf.teach.groups import Group, find_example, group_unknown
from streamclf.teach.search.moments import Moment
from streamclf.teach.search.more_like import more_like
from streamclf.web import records
from streamclf.web.asking import ask, change, place_now, understands
from streamclf.web.bodies import read_json
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.filters import MOST_CHOSEN, Filters, read_day, read_whole
from streamclf.web.openapi import Operation, Parameter
from streamclf.web.words import LabelNames

N_EVENTS, MOST_EVENTS = 50, 500
"""Events of an answer: usually, and at most."""
N_MOMENTS, MOST_MOMENTS = 20, 200
"""Moments of an answer: usually, and at most."""
N_GROUPS, MOST_GROUPS = 30, 1000
"""Groups of an answer: usually, and at most."""
MOST_DAYS = 366
"""Most days of one answer."""
MEDIA = "media/clips"
"""Address of the clips' files, below the root of the pages."""

_DAY = {"type": "string", "format": "date"}
_POSITION = {"type": "string"}
_FILTERS = (
    Parameter(
        "label",
        f"Events of this label and all narrower ones, by any of its names; at most {MOST_CHOSEN}.",
        {"type": "string"},
        repeated=True,
    ),
    Parameter(
        "source",
        f"Events of this source alone; at most {MOST_CHOSEN}.",
        {"type": "string"},
        repeated=True,
    ),
    Parameter("date", "Events of this day, by the place's own clock.", _DAY),
    Parameter("from", "Events from this day on.", _DAY),
    Parameter("to", "Events up to this day, all of it.", _DAY),
    Parameter(
        "hour",
        "Events of this hour of the day.",
        {"type": "integer", "minimum": 0, "maximum": 23},
    ),
    Parameter(
        "score",
        "Events whose highest score is at least this.",
        {"type": "number", "minimum": 0, "maximum": 1},
    ),
    Parameter(
        "reviewed",
        "Events of which this was said last; `not` for those of which nothing was said.",
        {"type": "string", "enum": ["right", "wrong", "not"]},
    ),
    Parameter("clip", "1: events whose clip is there.", {"type": "string", "enum": ["0", "1"]}),
)
_DAYS = (
    Parameter("date", "This day; today by default.", _DAY),
    Parameter("from", "First day.", _DAY),
    Parameter("to", f"Last day, at most {MOST_DAYS} days after the first.", _DAY),
)

OPERATIONS = (
    Operation(
        "GET",
        "/api/events",
        "List events, the newest first.",
        records.EventsAnswer,
        (
            *_FILTERS,
            Parameter("older", "Events before this position.", _POSITION),
            Parameter("newer", "Events after this position, the nearest ones.", _POSITION),
            Parameter(
                "limit",
                "Most events of an answer.",
                {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS, "default": N_EVENTS},
            ),
        ),
    ),
    Operation("GET", "/api/events/{id}", "Tell of one event.", records.EventAnswer, may_lack=True),
    Operation(
        "POST",
        "/api/events/{id}/review",
        "Say that an event is right or wrong, or what it was. No file moves.",
        records.EventAnswer,
        body=records.ReviewOrder,
        may_lack=True,
    ),
    Operation(
        "POST",
        "/api/events/{id}/keep",
        "Keep the clip of an event, or let it go when its time has come.",
        records.EventAnswer,
        body=records.KeepOrder,
        may_lack=True,
    ),
    Operation(
        "POST",
        "/api/events/{id}/delete",
        "Delete the clip of an event. The event itself stays.",
        records.DeleteAnswer,
        may_lack=True,
    ),
    Operation(
        "GET",
        "/api/events/{id}/like",
        "Find the moments of the past that sound most like an event, by the features that are "
        "kept.",
        records.LikeAnswer,
        (
            Parameter(
                "limit",
                "Most moments of an answer.",
                {"type": "integer", "minimum": 1, "maximum": MOST_MOMENTS, "default": N_MOMENTS},
            ),
        ),
        may_lack=True,
    ),
    Operation(
        "GET",
        "/api/unknown",
        "Group the unknown sounds without a name by likeness, by the features that are kept.",
        records.UnknownAnswer,
        (
            Parameter(
                "limit",
                "Most groups of an answer.",
                {"type": "integer", "minimum": 1, "maximum": MOST_GROUPS, "default": N_GROUPS},
            ),
        ),
    ),
    Operation(
        "GET",
        "/api/days",
        "Count events by label: by hour of one day, or by day of several.",
        records.DaysAnswer,
        _DAYS,
    ),
    Operation(
        "GET",
        "/api/levels",
        "Tell how loud each hour was; of more than 15 days, each day.",
        records.LevelsAnswer,
        _DAYS,
    ),
    Operation(
        "GET",
        "/api/labels",
        "List the sounds of a time, the most frequent first.",
        records.LabelsAnswer,
        (
            Parameter("date", "This day; by default the last 30 days.", _DAY),
            *_DAYS[1:],
        ),
    ),
    Operation(
        "GET",
        "/api/clips/{id}",
        "Tell of one clip and its event.",
        records.ClipAnswer,
        may_lack=True,
    ),
)
"""What this module answers."""


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the API to the application."""
    for operation, handler in zip(
        OPERATIONS,
        (
            list_events, show_event, review, keep, delete, show_like, show_unknown, show_days,
            show_levels, show_labels, show_clip,
        ),
        strict=True,
    ):  # fmt: skip
        path = operation.path.replace("{id}", r"{id:[0-9]{1,18}}")
        app.router.add_route(operation.method, path, understands(handler))


def _answer(record: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(record), content_type="application/json")


def record_clip(clip: StoredClip) -> records.ClipRecord:
    """Return the record of a clip."""
    return records.ClipRecord(
        id=clip.row,
        there=clip.is_there,
        bytes=clip.n_bytes,
        kept=clip.kept,
        url=f"{MEDIA}/{clip.row}" if clip.is_there else UNSET,
        gone=UNSET if clip.is_there else clip.gone_why or "deleted",
    )


def record_event(entry: Entry, names: LabelNames) -> records.EventRecord:
    """Return the record of an event."""
    event = entry.event
    return records.EventRecord(
        id=event.row,
        event=event.id,
        label=event.label,
        name=names(event.label),
        source=event.source,
        recording=UNSET if event.recording is None else event.recording,
        model=event.model,
        time=UNSET if event.time is None else event.time.isoformat(timespec="milliseconds"),
        onset=event.onset_s,
        offset=UNSET if event.offset_s is None else event.offset_s,
        score=round(event.highest_score, 4),
        sureness=UNSET if event.sureness is None else event.sureness,
        state=event.state,
        verdict=UNSET if event.verdict is None else cast(records.Verdict, event.verdict),
        said=UNSET if entry.said_label is None else entry.said_label,
        said_name=UNSET if entry.said_label is None else names(entry.said_label),
        clip=UNSET if entry.clip is None else record_clip(entry.clip),
    )


async def list_events(request: web.Request) -> web.Response:
    """Answer with a page of events."""
    filters = Filters.read(request.query)
    older, newer = (_read_position(request, key) for key in ("older", "newer"))
    limit = read_whole(request.query, "limit", 1, MOST_EVENTS, N_EVENTS)

    def work(store: sqlite3.Connection) -> records.EventsAnswer:
        page = find_page(store, filters.choose(store), limit, older=older, newer=newer)
        entries, names = page.entries, LabelNames(store)
        return records.EventsAnswer(
            events=[record_event(each, names) for each in entries],
            older=str(entries[-1].position) if page.has_older and entries else UNSET,
            newer=str(entries[0].position) if page.has_newer and entries else UNSET,
        )

    return _answer(await ask(request, work))


def _read_position(request: web.Request, key: str) -> Position | None:
    text = request.query.get(key)
    return Position.read(text) if text else None


def _number(request: web.Request) -> int:
    return int(request.match_info["id"])


def _no_event(number: int) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"The store has no event {number}.")


async def show_event(request: web.Request) -> web.Response:
    """Answer with one event."""
    event = await ask(request, lambda store: _find_event(store, _number(request)))
    if event is None:
        raise _no_event(_number(request))
    return _answer(records.EventAnswer(event=event))


def _find_event(store: sqlite3.Connection, number: int) -> records.EventRecord | None:
    entry = find_entry(store, number)
    return None if entry is None else record_event(entry, LabelNames(store))


async def review(request: web.Request) -> web.Response:
    """Note what somebody says of an event."""
    order = await read_json(request, records.ReviewOrder)
    return _answer(
        records.EventAnswer(
            event=await _change_event(
                request,
                lambda store, now_us: review_event(
                    store, _number(request), order.verdict, _said(store, order), now_us
                ),
            )
        )
    )


def _said(store: sqlite3.Connection, order: records.ReviewOrder) -> str | None:
    return None if order.label is None else find_said_label(store, order.label)


async def keep(request: web.Request) -> web.Response:
    """Keep a clip, or let it go."""
    order = await read_json(request, records.KeepOrder)
    return _answer(
        records.EventAnswer(
            event=await _change_event(
                request,
                lambda store, _: keep_clip(store, _number(request), kept=order.kept),
                "The event {} has no clip that is there.",
            )
        )
    )


async def _change_event(
    request: web.Request,
    step: Callable[[sqlite3.Connection, int], bool],
    problem: str = "The store has no event {}.",
) -> records.EventRecord:
    number = _number(request)

    def work(store: sqlite3.Connection, now_us: int) -> records.EventRecord | None:
        return _find_event(store, number) if step(store, now_us) else None

    event = await change(request, work)
    if event is None:
        raise web.HTTPNotFound(text=problem.format(number))
    return event


async def delete(request: web.Request) -> web.Response:
    """Delete a clip."""
    number = _number(request)

    def work(store: sqlite3.Connection, now_us: int) -> records.DeleteAnswer | None:
        result = remove_clip(store, number, now_us)
        event = _find_event(store, number)
        return None if event is None else records.DeleteAnswer(result=result, event=event)

    answer = await change(request, work)
    if answer is None:
        raise _no_event(number)
    return _answer(answer)


async def show_like(request: web.Request) -> web.Response:
    """Answer with the moments that are like an event."""
    number = _number(request)
    limit = read_whole(request.query, "limit", 1, MOST_MOMENTS, N_MOMENTS)
    path = request.config_dict[CONTEXT].store

    def work(store: sqlite3.Connection) -> records.LikeAnswer | None:
        found = more_like(store, path, number, limit)
        if found is None:
            return None
        names = LabelNames(store)
        return records.LikeAnswer(
            event=record_event(found.entry, names),
            moments=[record_moment(each, names) for each in found.moments],
        )

    answer = await ask(request, work)
    if answer is None:
        raise _no_event(number)
    return _answer(answer)


async def show_unknown(request: web.Request) -> web.Response:
    """Answer with the groups of unknown sounds."""
    limit = read_whole(request.query, "limit", 1, MOST_GROUPS, N_GROUPS)
    path = request.config_dict[CONTEXT].store

    def work(store: sqlite3.Connection) -> records.UnknownAnswer:
        groups, n_alone, n_unkept = group_unknown(store, path)
        names = LabelNames(store)
        listed = [_record_group(store, each, names) for each in groups[:limit]]
        return records.UnknownAnswer(groups=listed, alone=n_alone, unkept=n_unkept)

    return _answer(await ask(request, work))


def _record_group(
    store: sqlite3.Connection, group: Group, names: LabelNames
) -> records.UnknownGroup:
    example, hour, last = find_example(store, group), group.usual_hour, group.last
    return records.UnknownGroup(
        events=[event.row for event in group.events],
        times=group.n_times,
        sources=sorted({event.source for event in group.events}),
        likeness=round(group.likeness, 4),
        length=round(group.length_s, 3),
        usual_hour=UNSET if hour is None else hour,
        last=UNSET if last is None else last.isoformat(timespec="milliseconds"),
        example=record_event(example, names),
    )


def record_moment(moment: Moment, names: LabelNames) -> records.MomentRecord:
    """Return the record of a moment."""
    time = moment.time
    return records.MomentRecord(
        source=moment.source,
        recording=moment.recording or UNSET,
        onset=moment.onset_s,
        offset=moment.offset_s,
        time=UNSET if time is None else time.isoformat(timespec="milliseconds"),
        likeness=moment.likeness,
        event=record_event(moment.entries[0], names) if moment.entries else UNSET,
    )


def _read_days(
    request: web.Request, store: sqlite3.Connection, n_days: int = 1
) -> tuple[datetime, datetime]:
    """Read the first and the last day; by default the last days up to now.

    Raises:
        UsageError: They are no days, or too many.
    """
    query = request.query
    day = read_day(query, "date")
    first, last = read_day(query, "from") or day, read_day(query, "to") or day
    if last is None:
        last = place_now(store).date()
        last = max(last, first) if first is not None else last
    if first is None:
        first = last - timedelta(days=n_days - 1)
    if not 0 <= (last - first).days < MOST_DAYS:
        raise UsageError(
            f"from {first} to {last}: must be from 1 to {MOST_DAYS} days: ask for fewer"
        )
    begin, end = (datetime(each.year, each.month, each.day) for each in (first, last))
    return begin, end


async def show_days(request: web.Request) -> web.Response:
    """Answer with events by label and time."""

    def work(store: sqlite3.Connection) -> records.DaysAnswer:
        first, last = (each.date() for each in _read_days(request, store))
        table, names = count_table(store, first, last), LabelNames(store)
        return records.DaysAnswer(
            first=str(first),
            last=str(last),
            step_hours=1 if table.step_h == 1 else 24,
            times=[each.isoformat(timespec="minutes") for each in table.begins],
            hours_heard=[round(each, 4) for each in table.heard_h],
            labels=[
                records.LabelCounts(label=label, name=names(label), events=counts)
                for label, counts in zip(table.labels, table.n_events, strict=True)
            ],
            gaps=[
                records.GapRecord(
                    source=gap.source,
                    cause=gap.cause,
                    time=gap.begun.isoformat(timespec="seconds"),
                    seconds=round(gap.seconds, 3),
                )
                for gap in list_gaps(store, first, last)
            ],
        )

    return _answer(await ask(request, work))


LONGEST_HOURLY_DAYS = 15
"""Most days whose levels are told hour by hour."""


async def show_levels(request: web.Request) -> web.Response:
    """Answer with levels."""

    def work(store: sqlite3.Connection) -> records.LevelsAnswer:
        first, last = (each.date() for each in _read_days(request, store))
        step_h = 1 if (last - first).days < LONGEST_HOURLY_DAYS else 24
        return records.LevelsAnswer(
            step_hours=1 if step_h == 1 else 24,
            levels=[
                records.LevelRecord(
                    source=level.source,
                    time=level.begun.isoformat(timespec="minutes"),
                    laeq=_db(level.laeq),
                    la10=_db(level.la10),
                    la90=_db(level.la90),
                    lamax=_db(level.lamax),
                    hours_heard=round(level.heard_h, 4),
                )
                for level in levels_of_days(store, first, last, step_h=step_h)
            ],
        )

    return _answer(await ask(request, work))


def _db(value: float | None) -> records.Db:
    return UNSET if value is None else round(value, 2)


async def show_labels(request: web.Request) -> web.Response:
    """Answer with the sounds of a time."""

    def work(store: sqlite3.Connection) -> records.LabelsAnswer:
        first, last = _read_days(request, store, 30)
        table, names = count_labels(store, first.date(), last.date()), LabelNames(store)
        return records.LabelsAnswer(
            first=str(table.first_day),
            last=str(table.last_day),
            hours_heard=round(table.heard_h, 4),
            labels=[
                records.LabelRecord(
                    label=count.label,
                    name=names(count.label),
                    events=count.n_events,
                    minutes=round(count.sounding_s / 60, 3),
                    per_hour=round(count.n_events / table.heard_h, 4) if table.heard_h else UNSET,
                    last=UNSET if count.last is None else count.last.isoformat("T", "seconds"),
                    score=round(count.highest_score, 4),
                )
                for count in table.labels
            ],
        )

    return _answer(await ask(request, work))


async def show_clip(request: web.Request) -> web.Response:
    """Answer with one clip."""
    number = _number(request)

    def work(store: sqlite3.Connection) -> records.ClipAnswer | None:
        row = store.execute("SELECT event_id FROM clips WHERE id = ?", (number,)).fetchone()
        entry = None if row is None else find_entry(store, row[0])
        if entry is None or entry.clip is None:
            return None
        event = record_event(entry, LabelNames(store))
        return records.ClipAnswer(clip=record_clip(entry.clip), event=event)

    answer = await ask(request, work)
    if answer is None:
        raise web.HTTPNotFound(text=f"The store has no clip {number}.")
    return _answer(answer)
