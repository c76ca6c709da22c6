"""Drawings of sound levels over time, as numbers and paths of SVG for templates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from streamclf.store.queries import Level

LONGEST_HOURLY_DAYS = 15
"""Longest time, in days, that is drawn hour by hour; a longer one is drawn day by day."""
LONGEST_WEEKLY_DAYS = 100
"""Longest time, in days, whose axis names weeks; that of a longer one names months."""
LONGEST_YEAR_DAYS = 366
"""Longest time, in days, whose axis needs no years."""
N_MONTHS = 13
"""Most months that an axis names."""
LAST_MARK, LAST_NARROW = 96.0, 84.0
"""Places in per cent of the axis after which a text has no room; the second on narrow screens."""
STEP_DB = 10.0
"""Steps of the levels' axis."""
MOST_DB = 90.0
"""Length of that axis at most: a muted microphone lies some hundred decibels below all that sounds,
and is drawn at the foot."""


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
            texts = [name_day(moment, days) for moment in moments]
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


def name_day(moment: datetime, days: float) -> str:
    """Write a day of a time that is so many days long."""
    if days <= LONGEST_HOURLY_DAYS:
        return f"{moment:%a} {moment.day}"
    if days > LONGEST_YEAR_DAYS:
        return f"{moment:%b} {moment.year}"
    return f"{moment.day} {moment:%b}"


def plot_levels(
    levels: Iterable[Level],
    axis: Axis,
    names: Sequence[str],
    shown: Mapping[str, str],
    calibrated: Collection[str],
) -> list[dict[str, Any]]:
    """Plot the levels of each source that has any.

    Args:
        levels: Levels that lie on the axis.
        axis: Time axis.
        names: Sources, in the order in which they are drawn.
        shown: What to show for their names.
        calibrated: Names of the sources whose levels are sound pressure levels.
    """
    by_source: defaultdict[str, list[Level]] = defaultdict(list)
    for level in levels:
        if level.laeq is not None:
            by_source[level.source].append(level)
    drawn = []
    for name in names:
        own = by_source[name]
        if not own:
            continue
        values = [v for each in own for v in (each.laeq, each.la10, each.la90) if v is not None]
        low = STEP_DB * (min(values) // STEP_DB)
        high = STEP_DB * -(-max(values) // STEP_DB)
        high = max(high, low + 2 * STEP_DB)
        low = max(low, high - MOST_DB)
        unit = "dB(A)" if name in calibrated else "dB(A) re full scale"
        loudest = max(own, key=lambda each: each.laeq or -1e9)
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
                "lines": _lines(own, axis, low, high),
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
        return round(100 * min((high - value) / (high - low), 1.0), 2)

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
