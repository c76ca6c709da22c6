"""Backtests for programs: what the page does, as JSON."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from msgspec import UNSET

from streamclf.runs.backtester import BacktestOrder, BacktestTask
from streamclf.teach.backtest import PastEvent
from streamclf.teach.past_entries import find_told
from streamclf.web import backtest_records as records
from streamclf.web.asking import ask, understands
from streamclf.web.bodies import read_json
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.openapi import Operation
from streamclf.web.pages.backtest import N_PAST
from streamclf.web.pages.teach import read_name

OPERATIONS = (
    Operation(
        "GET",
        "/api/backtest",
        "Tell how far the newest order is, and what would have been told of the past.",
        records.BacktestAnswerRecord,
    ),
    Operation(
        "POST",
        "/api/backtest",
        "Begin to judge the past again; a new order takes the place of one that goes on.",
        records.BacktestAnswerRecord,
        body=records.BacktestOrderRecord,
    ),
    Operation(
        "POST",
        "/api/backtest/stop",
        "Stop what is being judged.",
        records.BacktestAnswerRecord,
    ),
)


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the operations to the application."""
    for operation, handler in zip(OPERATIONS, (show, begin, stop), strict=True):
        app.router.add_route(operation.method, operation.path, understands(handler))


async def show(request: web.Request) -> web.Response:
    """Answer with the newest order."""
    backtester = request.config_dict[CONTEXT].backtester
    task = backtester.task
    answer = records.BacktestAnswerRecord(
        models=backtester.models,
        rules=[rule.name for rule in backtester.rules],
        task=UNSET if task is None else await ask(request, lambda store: _describe(store, task)),
    )
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def begin(request: web.Request) -> web.Response:
    """Begin to judge the past.

    Raises:
        UsageError: The order makes no sense.
    """
    wanted = await read_json(request, records.BacktestOrderRecord)
    order = BacktestOrder(
        read_name(wanted.label),
        wanted.model,
        wanted.threshold,
        wanted.precision,
        wanted.days,
        wanted.rule,
    )
    backtester = request.config_dict[CONTEXT].backtester
    await asyncio.to_thread(backtester.begin, order)
    return await show(request)


async def stop(request: web.Request) -> web.Response:
    """Stop what is being judged."""
    request.config_dict[CONTEXT].backtester.stop()
    return await show(request)


def _describe(store: sqlite3.Connection, task: BacktestTask) -> records.BacktestTaskRecord:
    order, answer = task.order, task.answer
    record = records.BacktestTaskRecord(
        order=records.BacktestOrderRecord(
            label=order.label,
            model=order.model,
            threshold=order.threshold,
            precision=order.precision,
            days=order.days,
            rule=order.rule,
        ),
        state="judging" if task.goes_on else "judged" if answer is not None else "failed",
        part=round(task.part, 4) if answer is None else 1.0,
        problem=task.problem,
    )
    if answer is None:
        return record
    would = [_record(store, each) for each in answer.events[:N_PAST]]
    if order.rule:
        would = []
        for each, event in answer.messages[:N_PAST]:
            message = each.message
            plain = records.WouldBeRecord(
                source=message.source, label=message.label, time=_write_time(message.told_us)
            )
            found = plain if event is None else _record(store, event)
            would.append(msgspec.structs.replace(found, text=message.text))
    return msgspec.structs.replace(
        record,
        past_hours=round(answer.past_s / 3600, 6),
        count=answer.n_messages if order.rule else answer.n_events,
        then=answer.n_told,
        would=would,
    )


def _record(store: sqlite3.Connection, event: PastEvent) -> records.WouldBeRecord:
    told = find_told(store, event)
    return records.WouldBeRecord(
        source=event.source,
        time=UNSET if event.onset_us is None else _write_time(event.onset_us),
        label=event.label,
        onset=round(event.onset_s, 3),
        offset=round(event.offset_s, 3),
        score=round(event.score, 4),
        event=UNSET if told is None else told.event.row,
    )


def _write_time(moment_us: int) -> str:
    moment = datetime.fromtimestamp(moment_us / 1e6, UTC).astimezone()
    return moment.isoformat("T", "milliseconds")
