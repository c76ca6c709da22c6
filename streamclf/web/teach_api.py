"""Teaching for programs: what the page does, as JSON."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec
from aiohttp import web
from msgspec import UNSET

from streamclf.core.errors import UsageError
from streamclf.runs.teacher import Order, Task, Teacher
from streamclf.store.browse import find_entry
from streamclf.store.said_labels import find_said_label
from streamclf.teach.kept_moments import moment_of, parse_moment
from streamclf.teach.past_entries import find_told
from streamclf.teach.teaching import find_sound
from streamclf.web import teach_records as records
from streamclf.web.asking import ask, change, understands
from streamclf.web.bodies import read_json
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.openapi import Operation, Parameter
from streamclf.web.pages.teach import N_PAST, note_marks, read_name

OPERATIONS = (
    Operation(
        "GET",
        "/api/teach",
        "Tell what was taught, and how far the newest order is.",
        records.TeachAnswer,
        (
            Parameter(
                "model",
                "Name of the model, of `models`; by default the first.",
                {"type": "string"},
            ),
        ),
    ),
    Operation(
        "POST",
        "/api/teach",
        "Begin to learn a sound from reviewed events and named moments; one at a time.",
        records.TeachAnswer,
        body=records.TeachOrder,
    ),
    Operation(
        "POST",
        "/api/teach/forget",
        "Forget a taught sound.",
        records.TeachAnswer,
        body=records.ForgetOrder,
    ),
)


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the operations to the application."""
    for operation, handler in zip(OPERATIONS, (show, begin, forget), strict=True):
        app.router.add_route(operation.method, operation.path, understands(handler))


async def show(request: web.Request) -> web.Response:
    """Answer with what was taught and is learned."""
    return await _show(request, request.query.get("model", ""))


async def _show(request: web.Request, model: str) -> web.Response:
    teacher = request.config_dict[CONTEXT].teacher
    if model and model not in teacher.choices():
        raise UsageError(f"model {model[:80]}: no source is heard with it")
    taught = await asyncio.to_thread(teacher.list_taught, model)
    task = teacher.task
    found = UNSET if task is None else await ask(request, lambda store: _describe(store, task))
    answer = records.TeachAnswer(
        model=str(teacher.path_of(model)),
        models=teacher.choices(),
        listens=teacher.hears_with_it(model),
        taught=[
            records.TaughtRecord(
                name=label, date=each.date, examples=each.examples, against=each.against
            )
            for label, each in taught.items()
        ],
        task=found,
    )
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def begin(request: web.Request) -> web.Response:
    """Note what is marked, and begin to learn a sound.

    Raises:
        UsageError: The order is none, or another sound is being learned.
    """
    order = await read_json(request, records.TeachOrder)
    name = _read_name(order.name)
    for moment in (*order.moments, *order.moments_against):
        if parse_moment(moment) is None:
            raise UsageError(f"moment {moment[:80]}: is no name of a moment: GET lists them")
    if len(order.moments) > N_PAST or len(order.moments_against) > N_PAST:
        raise UsageError(f"moments: at most {N_PAST} can be named at once")
    teacher: Teacher = request.config_dict[CONTEXT].teacher
    _, card = await asyncio.to_thread(teacher.find_base, order.model)
    sound = find_sound(card, name)
    if teacher.task is not None and teacher.task.goes_on:
        raise UsageError(f"{teacher.task.order.label}: is being learned: one sound at a time")
    await ask(request, lambda store: _check_events(store, (*order.yes, *order.no)))
    await change(
        request, lambda store, now_us: note_marks(store, sound, name, order.yes, order.no, now_us)
    )
    label = await ask(request, lambda store: find_said_label(store, name))
    begins = teacher.begin(
        Order(
            label or name,
            order.at_most,
            () if sound.silences else tuple(order.no),
            tuple(order.moments),
            tuple(order.moments_against),
            order.model,
        )
    )
    if not begins:
        raise UsageError("another sound is being learned: one sound at a time")
    return await _show(request, order.model)


async def forget(request: web.Request) -> web.Response:
    """Forget a taught sound.

    Raises:
        UsageError: It was not taught.
    """
    order = await read_json(request, records.ForgetOrder)
    teacher: Teacher = request.config_dict[CONTEXT].teacher
    await asyncio.to_thread(teacher.forget, _read_name(order.name), order.model)
    return await _show(request, order.model)


def _read_name(text: str) -> str:
    name = read_name(text)
    if not name:
        raise UsageError("name: is empty: name the sound")
    return name


def _check_events(store: sqlite3.Connection, rows: Sequence[int]) -> None:
    for row in rows:
        if find_entry(store, row) is None:
            raise UsageError(f"event {row}: the store has none of this number: /api/events has all")


def _describe(store: sqlite3.Connection, task: Task) -> records.TaskRecord:
    learned = task.learned
    if learned is None:
        return records.TaskRecord(
            name=task.order.label,
            state="learning" if task.goes_on else "failed",
            problem=task.problem,
        )
    lesson = learned.made.lesson
    past = []
    for event in sorted(lesson.past_events, key=lambda each: -each.score)[:N_PAST]:
        told = find_told(store, event)
        time = None
        if event.onset_us is not None:
            time = datetime.fromtimestamp(event.onset_us / 1e6).astimezone()
        past.append(
            records.PastRecord(
                source=event.source,
                onset=round(event.onset_s, 3),
                offset=round(event.offset_s, 3),
                time=UNSET if time is None else time.isoformat(timespec="milliseconds"),
                score=round(event.score, 4),
                moment=moment_of(event).name,
                event=UNSET if told is None else told.event.row,
            )
        )
    return records.TaskRecord(
        name=task.order.label,
        state="learned",
        examples=len(learned.made.taught.examples),
        scenes=lesson.n_scenes,
        scenes_found=lesson.n_found,
        past_hours=round(lesson.past_s / 3600, 6),
        past=past,
    )
