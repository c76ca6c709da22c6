"""The page that tries the past: what a sound would have been told with another threshold."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from streamclf.core.card import Card
from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.label_names import plain_name
from streamclf.core.redaction import one_line
from streamclf.core.sureness import Limits, find_sureness_limits, show_sureness, tell_sureness
from streamclf.core.text_format import format_length
from streamclf.runs.backtest import DAYS
from streamclf.runs.backtester import (
    NOT_HERE,
    BacktestAnswer,
    Backtester,
    BacktestOrder,
    BacktestTask,
)
from streamclf.store.days import place_time
from streamclf.store.names import list_sources, shorten_names
from streamclf.store.queries import local_time
from streamclf.teach.backtest import PastEvent
from streamclf.teach.lesson import WEEK_S
from streamclf.teach.past_entries import find_told
from streamclf.teach.teaching import tell_duration, tell_times
from streamclf.web.asking import ask, now, understands
from streamclf.web.bodies import read_form
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.filters import Query, read_whole, write_query
from streamclf.web.pages.events import describe_entry, list_names
from streamclf.web.pages.teach import read_name
from streamclf.web.rendering import redirect, render
from streamclf.web.words import LabelNames, tell_moment, tell_part, tell_past_moment

N_PAST = 40
"""Events, or messages, that the page lists: the newest."""
AGAIN_S = 2
"""Seconds after which the page looks again how far it is."""
PERIODS = (1, 7, 14, 30)
"""Days to choose from."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Thresholds to choose from, beside those that hold."""
DAY_S = 86_400


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the page to the application."""
    app.router.add_get("/backtest", understands(show))
    app.router.add_post("/backtest", understands(begin))
    app.router.add_post("/backtest/stop", understands(stop))


def read_order(query: Query) -> BacktestOrder | None:
    """Read what is to be tried; None where no sound and no rule is named.

    Raises:
        UsageError: A value makes no sense.
    """
    label, rule = read_name(query.get("label") or ""), one_line(query.get("rule") or "")
    if not (label or rule):
        return None
    at = query.get("at") or ""
    is_precision = at.startswith("p")
    try:
        value = float(at.removeprefix("p")) if at else None
    except ValueError:
        raise UsageError(f"at {at[:40]}: must be a threshold, such as 0.4") from None
    return BacktestOrder(
        label,
        query.get("model") or "",
        None if is_precision else value,
        value if is_precision else None,
        read_whole(query, "days", 1, 366, DAYS),
        rule,
    )


def _write_at(order: BacktestOrder) -> str:
    if order.precision is not None:
        return f"p{order.precision:g}"
    return "" if order.threshold is None else f"{order.threshold:g}"


def _place(order: BacktestOrder) -> str:
    """The query of an order's page."""
    said = {
        "label": order.label,
        "rule": order.rule,
        "model": order.model,
        "days": order.days if order.days != DAYS else "",
        "at": _write_at(order),
    }
    return write_query({key: value for key, value in said.items() if value})


async def show(request: web.Request) -> web.StreamResponse:
    """Show what can be tried, or what came of it."""
    context = request.config_dict[CONTEXT]
    backtester = context.backtester
    order = read_order(request.query)
    model_name = request.query.get("model") or ""
    card, trouble = await asyncio.to_thread(_find_card, backtester, model_name)
    task = None if order is None else backtester.task_of(order)
    running = backtester.task
    values = await ask(request, lambda store: _describe(store, now(), card, order, task))
    present = _find_present(context, card, order)
    return render(
        request,
        "backtest.html",
        page="sounds",
        trouble=trouble,
        order=order,
        task=task,
        other=running if running is not None and running.goes_on and running is not task else None,
        steps=[] if card is None or order is None else _steps(card, order, present, backtester),
        has_precisions=card is not None and bool(card.precisions),
        periods=sorted({*PERIODS, order.days if order is not None else DAYS}),
        days=order.days if order is not None else DAYS,
        model=model_name,
        models=[(each, Path(each).stem) for each in backtester.models],
        rules=[rule.name for rule in backtester.rules],
        again_s=AGAIN_S,
        **values,
    )


def _find_card(backtester: Backtester, model: str) -> tuple[Card | None, str]:
    """Read the card of the model that judges, or tell why nothing can be tried."""
    if not backtester.models:
        return None, NOT_HERE
    try:
        return backtester.open_model(model).card, ""
    except StreamclfError as error:
        # The page has a field in place of the option.
        return None, f"{str(error).removesuffix(' by --model')}."


def _find_label(card: Card, name: str) -> str | None:
    wanted = plain_name(name)
    return next(
        (
            label
            for label in card.labels
            if wanted in (plain_name(label), plain_name(card.display_name(label)))
        ),
        None,
    )


def _find_present(
    context: WebContext, card: Card | None, order: BacktestOrder | None
) -> dict[str, float]:
    """The thresholds of a sound as they are set now, by source."""
    label = _find_label(card, order.label) if card is not None and order is not None else None
    return {} if label is None or context.hub is None else context.hub.thresholds(label)


def _steps(
    card: Card, order: BacktestOrder, present: Mapping[str, float], backtester: Backtester
) -> list[dict[str, Any]]:
    """Describe the thresholds to choose from, with how often it was told at those that were tried.

    The first is the model's own.
    """
    label = _find_label(card, order.label)
    tried = {_write_at(each.order): each.answer for each in backtester.tasks_like(order)}
    yours = sorted({round(value, 2) for value in present.values()})
    own = "" if label is None else f"{card.thresholds.of(label).on:.2f}"
    values = sorted({*THRESHOLDS, *yours, *([order.threshold] if order.threshold else [])})
    steps = [("", f"{own}, the model's own" if own else "the model's own")]
    if own and yours == [round(float(own), 2)]:
        steps = [("", f"{own}, yours")]
        yours = []
    steps += [
        (f"{value:g}", f"{value:.2f}{', yours' if value in yours else ''}")
        for value in values
        if f"{value:.2f}" != own or value == order.threshold
    ]
    steps += [(f"p{float(key):g}", f"{tell_part(float(key))} right") for key in card.precisions]
    return [
        {
            "at": at,
            "text": text,
            "chosen": at == _write_at(order),
            "times": "" if answer is None else tell_times(_count(answer, order)),
        }
        for at, text in steps
        for answer in [tried.get(at)]
    ]


def _count(answer: BacktestAnswer, order: BacktestOrder) -> int:
    return answer.n_messages if order.rule else answer.n_events


def _describe(
    store: sqlite3.Connection,
    moment: datetime,
    card: Card | None,
    order: BacktestOrder | None,
    task: BacktestTask | None,
) -> dict[str, Any]:
    """Describe what came of an order.

    Args:
        store: The store.
        moment: The present.
        card: Card of the model; None where nothing can be tried.
        order: The order.
        task: How far it is; None if it was not given, or is forgotten.
    """
    labels = list_names(store)
    if card is not None:
        own = {card.display_name(label) for label in card.labels}
        labels = sorted({*labels, *own}, key=str.casefold)
    answer = None if task is None else task.answer
    if answer is None or order is None:
        return {"labels": labels, "told": "", "then": "", "warning": "", "rows": [], "n_more": 0}
    names, limits = LabelNames(store), find_sureness_limits(answer.card)
    shown = shorten_names([each.name for each in list_sources(store)])
    today = place_time(store, moment).date()
    told: list[tuple[PastEvent | None, str, int]] = [
        (event, one_line(each.message.text), each.message.told_us)
        for each, event in answer.messages[:N_PAST]
    ]
    if not order.rule:
        told = [
            (each, one_line(answer.card.display_name(each.label)), 0)
            for each in answer.events[:N_PAST]
        ]
    rows = [
        {"text": text, **_describe_row(store, event, told_us, limits, shown, names, today)}
        for event, text, told_us in told
    ]
    n = _count(answer, order)
    return {
        "labels": labels,
        "told": _tell_count(answer, order, n),
        "then": "" if order.rule else f"Told then: {tell_times(answer.n_told)}.",
        "warning": answer.warning,
        "rows": rows,
        "n_more": n - len(rows),
    }


def _tell_count(answer: BacktestAnswer, order: BacktestOrder, n: int) -> str:
    length = tell_duration(answer.past_s)
    weekly = f", {n * WEEK_S / answer.past_s:,.1f} a week" if answer.past_s >= DAY_S else ""
    if order.rule:
        told = f"would have told {tell_times(n)}{weekly}" if n else "would have told nothing"
        return f"In the past ({length}) the rule {one_line(order.rule)} {told}"
    told = f"would have been told {tell_times(n)}{weekly}" if n else "would not have been told"
    return f"In the past ({length}) it {told}"


def _describe_row(
    store: sqlite3.Connection,
    event: PastEvent | None,
    told_us: int,
    limits: Limits,
    shown: Mapping[str, str],
    names: LabelNames,
    today: date,
) -> dict[str, Any]:
    """Describe an event that would have been, with the one that was told then.

    Args:
        store: The store.
        event: The event; None for a message about quiet.
        told_us: When the message would have been told, in microseconds since 1970-01-01 UTC.
        limits: From which scores on its model's sounds are likely and sure.
        shown: What to show for the names of sources.
        names: Names of labels.
        today: Today.
    """
    if event is None:
        time = local_time(told_us, None).astimezone()
        when = f"{tell_moment(time, today)}:{time:%S}"
        return {"when": when, "facts": "", "event": None}
    entry = find_told(store, event)
    facts = (
        format_length(event.offset_s - event.onset_s),
        show_sureness(tell_sureness(limits, event.label, event.score), event.score),
        one_line(shown.get(event.source, event.source)),
    )
    return {
        "when": tell_past_moment(event, entry, today),
        "facts": " · ".join(facts),
        "event": None if entry is None else describe_entry(entry, shown, names, today),
    }


async def begin(request: web.Request) -> web.StreamResponse:
    """Begin to try the past."""
    texts = await read_form(request)
    order = read_order(texts)
    if order is None:
        raise UsageError("label: is empty: name a sound, or choose a rule")
    backtester = request.config_dict[CONTEXT].backtester
    await asyncio.to_thread(backtester.begin, order)
    return redirect(request, f"/backtest?{_place(order)}")


async def stop(request: web.Request) -> web.StreamResponse:
    """Stop what is being tried."""
    backtester = request.config_dict[CONTEXT].backtester
    backtester.stop()
    task = backtester.task
    return redirect(request, f"/backtest?{_place(task.order)}" if task is not None else "/backtest")
