"""The report: one page of HTML about a time, complete in itself."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

from streamclf import __version__
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count, format_length
from streamclf.store.display_names import read_display_names
from streamclf.store.heat_map import count_heat_map
from streamclf.store.names import list_sources, shorten_names
from streamclf.store.queries import (
    Level,
    Missing,
    count_events,
    count_untimed,
    find_first_runs,
    hours_heard,
    list_levels,
    list_missing,
)
from streamclf.store.question import Question
from streamclf.store.rates import Rate, list_rates

N_LABELS = 20
"""Most labels in the table and in the map."""
N_SOURCES = 12
"""Most sources with a diagram each; those with most hours heard."""
LONGEST_HOURLY_DAYS = 15
"""Longest time, in days, that is drawn hour by hour; a longer one is drawn day by day."""
LONGEST_WEEKLY_DAYS = 100
"""Longest time, in days, whose axis names weeks; that of a longer one names months."""
LONGEST_YEAR_DAYS = 366
"""Longest time, in days, whose axis needs no years."""
N_MONTHS = 13
"""Most months that an axis names."""
N_SHADES = 8
"""Shades of the map above none."""
LAST_MARK, LAST_NARROW = 96.0, 84.0
"""Places in per cent of the axis after which a text has no room; the second on narrow screens."""
STEP_DB = 10.0
"""Steps of the levels' axis."""
SHORTEST_REST_S = 60.0
"""Shortest time in which nothing listened that is told; hours are known to the minute."""


@dataclass(frozen=True)
class Axis:
    """A time axis of the place's clock.

    Attributes:
        first: Its begin.
        last: Its end.
        step_h: Hours of a cell: 1, or 24.
    """

    first: datetime
    last: datetime
    step_h: int

    @classmethod
    def of(cls, since: datetime, until: datetime) -> Axis:
        """The axis of a time, in whole cells."""
        first, last = since.replace(tzinfo=None), until.replace(tzinfo=None)
        step_h = 1 if last - first <= timedelta(days=LONGEST_HOURLY_DAYS) else 24
        first = first.replace(minute=0, second=0, microsecond=0)
        if step_h == 24:
            first = first.replace(hour=0)
        n_cells = -((first - last) // timedelta(hours=step_h))
        return cls(first, first + max(n_cells, 1) * timedelta(hours=step_h), step_h)

    @property
    def is_short(self) -> bool:
        """Whether it is two days long at most, so that single hours can be told."""
        return self.last - self.first <= timedelta(days=2)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return (self.last - self.first) // timedelta(hours=self.step_h)

    def cell(self, moment: datetime) -> int:
        """Number of the cell that a time lies in."""
        return (moment - self.first) // timedelta(hours=self.step_h)

    def place(self, moment: datetime) -> float:
        """Place of a time, in per cent of the axis."""
        return round(100 * ((moment - self.first) / (self.last - self.first)), 3)

    def marks(self) -> list[dict[str, Any]]:
        """List times with a text below the axis; narrow screens leave out those that are minor."""
        days = (self.last - self.first) / timedelta(days=1)
        if self.is_short:
            hours = range(0, round(24 * days) + 1, 3)
            moments = [
                self.first.replace(hour=self.first.hour // 3 * 3) + timedelta(hours=h)
                for h in hours
            ]
            texts = [f"{m:%H:%M}" for m in moments]
        else:
            start = self.first.replace(hour=0)
            moments = [start + timedelta(days=number) for number in range(int(days) + 1)]
            if days > LONGEST_WEEKLY_DAYS:
                step = next(n for n in (1, 2, 3, 6, 12, 120) if days / 30 / n <= N_MONTHS)
                moments = [
                    moment
                    for moment in moments
                    if moment.day == 1 and (12 * moment.year + moment.month - 1) % step == 0
                ]
            elif days > LONGEST_HOURLY_DAYS:
                moments = moments[::7]
            texts = [_day(moment, days) for moment in moments]
        shown = [
            (self.place(moment), text)
            for moment, text in zip(moments, texts, strict=True)
            if self.first <= moment and self.place(moment) < LAST_MARK
        ]
        crowded = len(shown) > 5
        return [
            {"place": place, "text": text, "minor": (number % 2 and crowded) or place > LAST_NARROW}
            for number, (place, text) in enumerate(shown)
        ]


def _day(moment: datetime, days: float) -> str:
    """Write a day of a time that is so many days long."""
    if days <= LONGEST_HOURLY_DAYS:
        return f"{moment:%a} {moment.day}"
    if days > LONGEST_YEAR_DAYS:
        return f"{moment:%b} {moment.year}"
    return f"{moment.day} {moment:%b}"


def make_report(
    connection: sqlite3.Connection, question: Question, title: str, store: Path, now: datetime
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
    connection: sqlite3.Connection, question: Question, title: str, store: Path, now: datetime
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
        "labels": _label_rows(rates[:N_LABELS], read_display_names(connection)),
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


def _label_rows(rates: Sequence[Rate], shown: dict[str, str]) -> list[dict[str, Any]]:
    most = max((rate.count.n_events for rate in rates), default=1)
    return [
        {
            "label": one_line(shown.get(str(rate.count.key[0]), str(rate.count.key[0]))),
            "n": f"{rate.count.n_events:,}",
            "part": round(100 * rate.count.n_events / most, 1),
            "per_hour": _per_hour(rate.per_hour),
            "minutes": f"{rate.count.sounding_s / 60:,.1f}",
            "last": f"{rate.count.last:%a %d %b, %H:%M}" if rate.count.last else "",
            "highest": f"{rate.count.highest_score:.2f}",
            "open": rate.count.n_open > 0,
        }
        for rate in rates
    ]


def _map(connection: sqlite3.Connection, question: Question) -> dict[str, Any]:
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


def _columns(
    connection: sqlite3.Connection, question: Question, axis: Axis
) -> list[dict[str, Any]]:
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
            "text": (f"{moment:%H}" if hourly else _day(moment, len(moments)))
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
    connection: sqlite3.Connection,
    question: Question,
    axis: Axis,
    names: Sequence[str],
    shown: dict[str, str],
) -> list[dict[str, Any]]:
    calibrated = {each.name for each in list_sources(connection) if each.calibration_db is not None}
    by_source: defaultdict[str, list[Level]] = defaultdict(list)
    for level in list_levels(connection, question, step_h=axis.step_h):
        if level.laeq is not None:
            by_source[level.source].append(level)
    drawn = []
    for name in names:
        levels = by_source[name]
        if not levels:
            continue
        values = [v for each in levels for v in (each.laeq, each.la10, each.la90) if v is not None]
        low = STEP_DB * (min(values) // STEP_DB)
        high = STEP_DB * -(-max(values) // STEP_DB)
        high = max(high, low + 2 * STEP_DB)
        unit = "dB(A)" if name in calibrated else "dB(A) re full scale"
        loudest = max(levels, key=lambda each: each.laeq or -1e9)
        drawn.append(
            {
                "name": shown[name],
                "unit": unit,
                "loudest": f"loudest {'hour' if axis.step_h == 1 else 'day'}: "
                f"{loudest.laeq:.0f} {unit}, {loudest.begun:%a %d %b}"
                + (f", {loudest.begun:%H:%M}" if axis.step_h == 1 else ""),
                "steps": [
                    {
                        "text": f"{low + n * STEP_DB:.0f}",
                        "place": 100 * n * STEP_DB / (high - low),
                    }
                    for n in range(round((high - low) / STEP_DB) + 1)
                ],
                "lines": _lines(levels, axis, low, high),
            }
        )
    return drawn


def _lines(levels: Sequence[Level], axis: Axis, low: float, high: float) -> list[dict[str, str]]:
    """Paths of the mean level and of the band from LA90 to LA10; each stretch has its own."""
    step = timedelta(hours=axis.step_h)
    stretches: list[list[Level]] = [[levels[0]]]
    for before, level in pairwise(levels):
        if level.begun - before.begun > step:
            stretches.append([])
        stretches[-1].append(level)

    def y(value: float) -> float:
        return round(100 * (high - value) / (high - low), 2)

    paths = []
    for stretch in stretches:
        # Each level holds for its whole cell, and a single one is seen as well.
        ends = [(axis.place(each.begun), axis.place(each.begun + step), each) for each in stretch]
        mean = " L".join(f"{x0} {y(e.laeq or low)} L{x1} {y(e.laeq or low)}" for x0, x1, e in ends)
        band = ""
        if all(each.la10 is not None and each.la90 is not None for each in stretch):
            above = [f"{x0} {y(e.la10 or 0)} L{x1} {y(e.la10 or 0)}" for x0, x1, e in ends]
            below = [
                f"{x1} {y(e.la90 or 0)} L{x0} {y(e.la90 or 0)}" for x0, x1, e in reversed(ends)
            ]
            band = f"M{' L'.join(above)} L{' L'.join(below)} Z"
        paths.append({"mean": f"M{mean}", "band": band})
    return paths


def _coverage(
    connection: sqlite3.Connection,
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
    connection: sqlite3.Connection,
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
