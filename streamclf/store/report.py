"""The report: one page of HTML about a time, complete in itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from streamclf import __version__
from streamclf.core.redaction import one_line
from streamclf.core.sureness import Limits, tell_sureness
from streamclf.core.text_format import format_count, format_length
from streamclf.store.display_names import read_display_names
from streamclf.store.heat_map import count_heat_map
from streamclf.store.level_plot import LONGEST_HOURLY_DAYS, Axis, name_day, plot_levels
from streamclf.store.names import list_sources, shorten_names
from streamclf.store.queries import (
    Missing,
    count_events,
    count_untimed,
    find_first_runs,
    hours_heard,
    list_levels,
    list_missing,
)
from streamclf.store.question import Database, Question
from streamclf.store.rates import Rate, list_rates
from streamclf.store.sureness import join_sureness_limits

N_LABELS = 20
"""Most labels in the table and in the map."""
N_SOURCES = 12
"""Most sources with a diagram each; those with most hours heard."""
N_SHADES = 8
"""Shades of the map above none."""
SHORTEST_REST_S = 60.0
"""Shortest time in which nothing listened that is told; hours are known to the minute."""


def make_report(
    connection: Database, question: Question, title: str, store: Path, now: datetime
) -> str:
    """Write the page.

    Args:
        connection: The store.
        question: What it is about; both ends of its time are given.
        title: Its time for people.
        store: The store's path, whose name stands at the foot.
        now: The present, with an offset.

    Returns:
        The page.
    """
    import jinja2

    text = resources.files("streamclf.store").joinpath("report.html").read_text(encoding="utf-8")
    pages = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters["count"] = format_count
    return pages.from_string(text).render(**_facts(connection, question, title, store, now))


def _facts(
    connection: Database, question: Question, title: str, store: Path, now: datetime
) -> dict[str, Any]:
    assert question.since is not None
    assert question.until is not None
    axis = Axis.of(question.since, question.until)
    rates = sorted(
        list_rates(connection, question, ["label"]), key=lambda rate: -rate.count.n_events
    )
    missing = list_missing(connection, question)
    heard = {
        str(key[0]): hours for key, hours in hours_heard(connection, question, ["source"]).items()
    }
    shown = {
        name: one_line(text)
        for name, text in shorten_names(
            each.name for each in list_sources(connection) if each.name in heard
        ).items()
    }
    names = sorted(heard, key=lambda name: (-heard[name], name))[:N_SOURCES]
    names.sort(key=str.casefold)
    n_events = sum(rate.count.n_events for rate in rates)
    return {
        "title": title,
        "n_events": n_events,
        "n_labels": len(rates),
        "heard": _length(sum(heard.values())),
        "n_sources": len(heard),
        "missing": format_length(sum(each.seconds for each in missing)) if missing else "nothing",
        "labels": _label_rows(
            rates[:N_LABELS], read_display_names(connection), join_sureness_limits(connection)
        ),
        "n_more": max(len(rates) - N_LABELS, 0),
        "map": _map(connection, question),
        "columns": _columns(connection, question, axis),
        "columns_step": "hour" if axis.is_short else "day",
        "marks": axis.marks(),
        "step": "hour" if axis.step_h == 1 else "day",
        "levels": _levels(connection, question, axis, names, shown),
        "coverage": _coverage(connection, question, axis, names, shown, now),
        "n_more_sources": len(heard) - len(names),
        "missed": [
            *_missed(missing, shown),
            *_unheard(connection, question, heard, missing, shown, now),
        ],
        "n_open": sum(rate.count.n_open for rate in rates),
        "n_cut": sum(rate.count.n_cut for rate in rates),
        "n_untimed": count_untimed(connection, question),
        "made": f"{now:%Y-%m-%d %H:%M}",
        "store": one_line(store.name),
        "version": __version__,
    }


def _length(hours: float) -> str:
    return f"{hours:,.0f} h" if hours >= 10 else format_length(hours * 3600)


def _per_hour(rate: float | None) -> str:
    if rate is None:
        return "-"
    if 0 < rate < 0.01:
        return "< 0.01"
    return f"{rate:.{0 if rate >= 100 else 1 if rate >= 10 else 2}f}"


def _label_rows(
    rates: Sequence[Rate], shown: dict[str, str], limits: Limits
) -> list[dict[str, Any]]:
    most = max((rate.count.n_events for rate in rates), default=1)
    return [
        {
            "label": one_line(shown.get(str(rate.count.key[0]), str(rate.count.key[0]))),
            "n": f"{rate.count.n_events:,}",
            "part": round(100 * rate.count.n_events / most, 1),
            "per_hour": _per_hour(rate.per_hour),
            "minutes": f"{rate.count.sounding_s / 60:,.1f}",
            "last": f"{rate.count.last:%a %d %b, %H:%M}" if rate.count.last else "",
            "surest": tell_sureness(limits, str(rate.count.key[0]), rate.count.highest_score),
            "highest": f"{rate.count.highest_score:.2f}",
            "open": rate.count.n_open > 0,
        }
        for rate in rates
    ]


def _map(connection: Database, question: Question) -> dict[str, Any]:
    counted = count_heat_map(connection, question, N_LABELS)
    rates: Sequence[Sequence[float | None]] = (
        counted.rates if counted.has_hours else counted.n_events
    )
    most = max((rate or 0 for row in rates for rate in row), default=0) or 1
    rows = []
    for label, numbers, row in zip(counted.labels, counted.n_events, rates, strict=True):
        cells = []
        for hour, (n_events, rate) in enumerate(zip(numbers, row, strict=True)):
            told = f"{label}, {hour:02}:00: {format_count(n_events, 'event')}"
            if counted.has_hours and rate is not None:
                told += f", {_per_hour(rate)} in an hour heard"
            elif counted.has_hours:
                told += ", nothing was heard"
            # By the square root, so that what is rare is seen beside what is frequent.
            step = max(round(((rate or 0) / most) ** 0.5 * N_SHADES), int(n_events > 0))
            cells.append({"shade": "x" if rate is None else str(step), "told": told})
        rows.append({"label": label, "cells": cells})
    deaf = counted.has_hours and not all(counted.hours)
    return {
        "rows": rows,
        "most": _per_hour(most) if counted.has_hours else f"{most:.0f}",
        "per_hour": counted.has_hours,
        "deaf": deaf,
        "n_left_out": counted.n_left_out,
        "n_shades": N_SHADES,
    }


def _columns(connection: Database, question: Question, axis: Axis) -> list[dict[str, Any]]:
    """Events of each day; of each hour where the time is two days at most."""
    hourly = axis.is_short
    counts = count_events(connection, question, ["day", "hour"] if hourly else ["day"])
    numbers: dict[datetime, int] = {}
    for each in counts:
        day, hour = each.key[0], each.key[1] if hourly else 0
        assert isinstance(day, date)
        numbers[datetime.combine(day, datetime.min.time()) + timedelta(hours=int(str(hour)))] = (
            each.n_events
        )
    step = timedelta(hours=1 if hourly else 24)
    begin = axis.first if hourly else axis.first.replace(hour=0)
    moments = [begin + number * step for number in range(-((begin - axis.last) // step))]
    most = max(numbers.values(), default=0) or 1
    n_marks = max(len(moments) // 8, 1)
    return [
        {
            "n": numbers.get(moment, 0),
            "part": round(100 * numbers.get(moment, 0) / most, 1),
            "text": (f"{moment:%H}" if hourly else name_day(moment, len(moments)))
            if len(moments) <= LONGEST_HOURLY_DAYS or hourly or not number % n_marks
            else "",
            "minor": len(moments) > 8 and number % 3 != 0,
            "told": f"{moment:%a %d %b}"
            + (f", {moment:%H:%M}" if hourly else "")
            + f": {format_count(numbers.get(moment, 0), 'event')}",
        }
        for number, moment in enumerate(moments)
    ]


def _levels(
    connection: Database,
    question: Question,
    axis: Axis,
    names: Sequence[str],
    shown: dict[str, str],
) -> list[dict[str, Any]]:
    calibrated = {each.name for each in list_sources(connection) if each.calibration_db is not None}
    levels = list_levels(connection, question, step_h=axis.step_h)
    return plot_levels(levels, axis, names, shown, calibrated)


def _coverage(
    connection: Database,
    question: Question,
    axis: Axis,
    names: Sequence[str],
    shown: dict[str, str],
    now: datetime,
) -> list[dict[str, Any]]:
    """What part of each cell was heard, source by source."""
    parts: defaultdict[str, dict[int, float]] = defaultdict(dict)
    totals: defaultdict[str, float] = defaultdict(float)
    for key, hours in hours_heard(connection, question, ["source", "day", "hour"]).items():
        name, day, hour = key
        assert isinstance(day, date)
        moment = datetime.combine(day, datetime.min.time()) + timedelta(hours=int(str(hour)))
        cell = axis.cell(moment)
        parts[str(name)][cell] = parts[str(name)].get(cell, 0.0) + hours / axis.step_h
        totals[str(name)] += hours
    n_past = min(axis.cell(now.replace(tzinfo=None)) + 1, axis.n_cells)
    rows = []
    for name in names:
        cells = [min(parts[name].get(number, 0.0), 1.0) for number in range(axis.n_cells)]
        rows.append(
            {
                "name": shown[name],
                "heard": _length(totals[name]),
                "bars": [
                    {"x": start, "width": length, "part": part}
                    for start, length, part in _join_equal(cells)
                    if part > 0
                ],
                "n_cells": axis.n_cells,
                "n_past": n_past,
            }
        )
    return rows


def _join_equal(cells: Sequence[float]) -> list[tuple[int, int, float]]:
    """Join neighbours of the same part, in steps of a tenth: begin, length, part."""
    joined: list[tuple[int, int, float]] = []
    for number, part in enumerate(cells):
        # What is nearly whole is not drawn as whole, nor what is nearly none as none.
        step = 1.0 if part > 0.995 else 0.0 if part <= 0 else min(max(round(part, 1), 0.1), 0.9)
        if joined and joined[-1][2] == step:
            start, length, _ = joined.pop()
            joined.append((start, length + 1, step))
        else:
            joined.append((number, 1, step))
    return joined


def _missed(missing: Sequence[Missing], shown: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "source": shown.get(each.source, one_line(each.source)),
            "cause": one_line(each.cause),
            "n": f"{each.n_gaps:,}",
            "length": format_length(each.seconds),
        }
        for each in missing
    ]


def _unheard(
    connection: Database,
    question: Question,
    heard: dict[str, float],
    missing: Sequence[Missing],
    shown: dict[str, str],
    now: datetime,
) -> Iterator[dict[str, Any]]:
    """List how long nothing listened to a live source, since it was heard for the first time."""
    assert question.since is not None
    assert question.until is not None
    lost: defaultdict[str, float] = defaultdict(float)
    for each in missing:
        lost[each.source] += each.seconds
    for name, begun in sorted(find_first_runs(connection).items()):
        if name not in heard:
            continue
        due = min(question.until, now) - max(question.since, begun)
        rest_s = due.total_seconds() - heard[name] * 3600 - lost[name]
        if rest_s > SHORTEST_REST_S:
            yield {
                "source": shown[name],
                "cause": "nothing listened",
                "n": "",
                "length": format_length(rest_s),
            }
