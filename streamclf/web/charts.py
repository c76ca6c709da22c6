"""Numbers for drawings in templates: shades of a map, heights of columns, levels over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count, format_length
from streamclf.store.days import DayTable, LocatedGap
from streamclf.store.level_plot import Axis, plot_levels
from streamclf.store.names import Source, shorten_names
from streamclf.store.queries import Level
from streamclf.web.filters import write_query
from streamclf.web.health_texts import explain_cause

N_SHADES = 8
"""Shades of a map above none."""
FULL_H = 0.995
"""Part of an hour, or of a day, from which on it counts as heard wholly."""


def find_shade(value: float, most: float) -> int:
    """Return the shade of a value, 0 to `N_SHADES`; any value above none has one above none.

    By the square root, so that what is rare is seen beside what is frequent.
    """
    if value <= 0 or most <= 0:
        return 0
    return max(min(round(math.sqrt(value / most) * N_SHADES), N_SHADES), 1)


@dataclass(frozen=True)
class Cell:
    """A cell of a map.

    Attributes:
        n: Number of events.
        shade: Shade, or ``x`` where nothing was heard.
        told: What it says, as a sentence.
        query: Parameters of the address that shows its events; empty for none.
    """

    n: int
    shade: str
    told: str
    query: str


def draw_map(table: DayTable, n_shown: int, name_of: Callable[[str], str]) -> list[dict[str, Any]]:
    """Draw events by label and time: a row for each label, all together in the first."""
    rows = []
    shown = list(zip(table.labels, table.n_events, strict=True))[:n_shown]
    most_of_all = max(table.totals, default=0)
    most = max((n for _, counts in shown for n in counts), default=0)
    everything: list[tuple[str | None, Sequence[int]]] = [(None, table.totals)]
    for label, counts in [*everything, *shown]:
        name = "All sounds" if label is None else name_of(label)
        cells = []
        for begin, n, heard in zip(table.begins, counts, table.heard_h, strict=True):
            when = f"{begin:%H}:00" if table.step_h == 1 else f"{begin:%A} {begin.day} {begin:%B}"
            told = f"{name}, {when}: {format_count(n, 'event')}"
            if not n and not heard:
                told = f"{when}: nothing listened"
            query = {
                "label": label,
                "date": begin.date(),
                "hour": begin.hour if table.step_h == 1 else None,
            }
            shade = find_shade(n, most if label is not None else most_of_all)
            cells.append(
                Cell(
                    n,
                    "x" if not n and not heard else str(shade),
                    told,
                    write_query(query) if n else "",
                )
            )
        rows.append({"label": label, "name": name, "n": sum(counts), "cells": cells})
    return rows


def draw_heard(table: DayTable, n_past: int) -> list[dict[str, Any]]:
    """Draw what part of each column was heard, a row for each source.

    Args:
        table: The table.
        n_past: Number of columns that have begun.
    """
    shown = shorten_names(table.heard_by_source)
    rows = []
    for source, hours in table.heard_by_source.items():
        parts = [min(each / table.step_h, 1.0) for each in hours]
        rows.append(
            {
                "name": one_line(shown[source]),
                "hours": sum(hours),
                "n_columns": len(parts),
                "n_past": n_past,
                "bars": [
                    {"x": x, "y": round(1 - part, 3), "height": round(part, 3)}
                    for x, part in ((x, _step(part)) for x, part in enumerate(parts))
                    if part > 0
                ],
            }
        )
    return rows


def _step(part: float) -> float:
    """Round a part so that what is nearly whole is not drawn as whole, nor little as nothing."""
    if part >= FULL_H:
        return 1.0
    return 0.0 if part <= 0 else min(max(round(part, 2), 0.06), 0.92)


def draw_levels(
    levels: Sequence[Level], sources: Sequence[Source], first_day: date, last_day: date
) -> dict[str, Any]:
    """Draw the levels of days, a drawing for each source."""
    first, last = (datetime(day.year, day.month, day.day) for day in (first_day, last_day))
    axis = Axis(first, last + timedelta(days=1), 1)
    heard = {each.source for each in levels}
    names = [each.name for each in sources if each.name in heard]
    shown = {name: one_line(text) for name, text in shorten_names(names).items()}
    calibrated = {each.name for each in sources if each.calibration_db is not None}
    drawn = plot_levels(levels, axis, names, shown, calibrated)
    for each, name in zip(drawn, [n for n in names if _has_level(levels, n)], strict=True):
        each["rows"] = [level for level in levels if level.source == name]
    return {"sources": drawn, "marks": axis.marks()}


def _has_level(levels: Sequence[Level], name: str) -> bool:
    return any(each.source == name and each.laeq is not None for each in levels)


def list_missing(gaps: Sequence[LocatedGap], n_shown: int) -> list[dict[str, str]]:
    """Tell the gaps, the longest ones if they are many, in the order of their times."""
    longest = sorted(gaps, key=lambda each: -each.seconds)[:n_shown]
    shown = shorten_names({each.source for each in gaps})
    return [
        {
            "when": f"{each.begun:%H:%M:%S}",
            "day": f"{each.begun:%a} {each.begun.day}",
            "source": one_line(shown[each.source]),
            "why": one_line(explain_cause(each.cause)),
            "length": format_length(each.seconds),
        }
        for each in sorted(longest, key=lambda each: each.begun)
    ]


@dataclass(frozen=True)
class Column:
    """A column of a chart.

    Attributes:
        x: Its place.
        height: Its height, 0 to 100.
        told: What it says, as a sentence.
        query: Parameters of the address that shows its events; empty for none.
        deaf: Whether nothing was heard.
    """

    x: int
    height: float
    told: str
    query: str
    deaf: bool


def draw_columns(
    counts: Sequence[int], heard: Sequence[float], names: Sequence[str], queries: Sequence[str]
) -> list[Column]:
    """Draw counts as columns."""
    most = max(counts, default=0) or 1
    return [
        Column(
            x,
            0.0 if not n else max(round(100 * n / most, 1), 3.0),
            f"{name}: {format_count(n, 'event')}" if n or hours else f"{name}: nothing listened",
            query if n else "",
            not n and not hours,
        )
        for x, (n, hours, name, query) in enumerate(zip(counts, heard, names, queries, strict=True))
    ]
