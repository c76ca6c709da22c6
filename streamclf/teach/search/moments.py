"""Moments: neighbouring windows that are alike, as one, with what is known of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from streamclf.store.browse import Entry, find_within
from streamclf.store.features.layout import FeatureHeader, follows, known_time
from streamclf.store.queries import local_time
from streamclf.teach.search.scan import Found, Part

Window: TypeAlias = tuple[int, int]
"""A window: the number of its part, and its place among the records of that."""
NEARLY = 0.2
"""Neighbours whose likeness is lower than the best one's by at most this belong to its moment."""


@dataclass(frozen=True)
class Moment:
    """A stretch of the past that is like what was looked for.

    Attributes:
        source: Name of the source.
        recording: Path of the recording; empty for a live source.
        sample_rate: Rate of the positions in Hz.
        onset: Position of its first sample, from the start of its stream.
        offset: Position after its last sample.
        time_us: When it began, in microseconds UTC; None where nothing tells the time.
        likeness: Highest likeness of its windows, up to 1.
        utc_offset_min: The place's offset from UTC in minutes, by an event in it; None if unknown.
        entries: Events that sounded in it, the one that lasted longest in it first.
    """

    source: str
    recording: str
    sample_rate: int
    onset: int
    offset: int
    time_us: int | None
    likeness: float
    utc_offset_min: int | None = None
    entries: tuple[Entry, ...] = ()

    @property
    def stream(self) -> str:
        """Name of the stream: the recording's path, or the source."""
        return self.recording or self.source

    @property
    def onset_s(self) -> float:
        """Begin in seconds from the start of its stream."""
        return round(self.onset / self.sample_rate, 6)

    @property
    def offset_s(self) -> float:
        """End in seconds from the start of its stream."""
        return round(self.offset / self.sample_rate, 6)

    @property
    def until_us(self) -> int | None:
        """When it ended, in microseconds UTC; None where nothing tells the time."""
        if self.time_us is None:
            return None
        return self.time_us + (self.offset - self.onset) * 1_000_000 // self.sample_rate

    @property
    def time(self) -> datetime | None:
        """When it began, by the place's clock or else this machine's; None if unknown."""
        if self.time_us is None:
            return None
        moment = local_time(self.time_us, self.utc_offset_min)
        return moment if self.utc_offset_min is not None else moment.astimezone()


@dataclass(frozen=True)
class Stretch:
    """A stretch of a stream that is left out: the one that is looked for.

    Attributes:
        stream: Name of the stream.
        begin: Its begin in microseconds UTC; for recordings its first position.
        end: Its end, likewise.
    """

    stream: str
    begin: int
    end: int

    def holds(self, stream: str, begin: int, end: int) -> bool:
        """Whether a part of another stretch lies in it."""
        return stream == self.stream and begin < self.end and end > self.begin


def join_windows(
    parts: Sequence[Part], found: Found, n_moments: int, left_out: Stretch | None = None
) -> list[Moment]:
    """Join neighbouring windows to moments, the most like first.

    Args:
        parts: What was searched.
        found: The windows.
        n_moments: Most moments.
        left_out: A stretch whose windows are not among them.
    """
    windows = [*zip(found.parts.tolist(), found.places.tolist(), strict=True)]
    known = dict(zip(windows, found.likeness.tolist(), strict=True))
    line = _Line(parts)
    moments: list[Moment] = []
    taken: dict[str, list[tuple[int, int]]] = {}
    for window in windows:
        if len(moments) == n_moments:
            break
        first, last = _reach(line, known, window)
        moment = _describe(parts, first, last, known[window])
        begin, end = _span(moment)
        if left_out is not None and left_out.holds(moment.stream, begin, end):
            continue
        timeless = not moment.recording and moment.time_us is None
        spans = taken.setdefault(f"{window[0] if timeless else ''} {moment.stream}", [])
        if any(begin < other_end and end > other_begin for other_begin, other_end in spans):
            continue
        spans.append((begin, end))
        moments.append(moment)
    return moments


class _Line:
    """The order of windows in time, from one day's file to the next one's.

    Args:
        parts: What was searched, the days of a source in their order.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._next: dict[int, int] = {}
        newest: dict[FeatureHeader, int] = {}
        for number, part in enumerate(parts):
            header = part.file.header
            if header.recording:
                continue
            before = newest.get(header)
            if before is not None and follows(header, parts[before].records[-1], part.records[0]):
                self._next[before] = number
            newest[header] = number
        self._former = {number: before for before, number in self._next.items()}

    def neighbour(self, window: Window, step: int) -> Window | None:
        """The window before (``step`` -1) or behind (1) one; None if it does not overlap it."""
        number, place = window[0], window[1] + step
        if place < 0:
            number = self._former.get(number, -1)
            place = len(self._parts[number].records) - 1
        elif place == len(self._parts[number].records):
            number, place = self._next.get(number, -1), 0
        if number < 0:
            return None
        here, there = (self._parts[part].records[k] for part, k in (window, (number, place)))
        early, late = (here, there) if step > 0 else (there, here)
        distance = int(late["position"]) - int(early["position"])
        return (number, place) if 0 < distance <= int(early["n_samples"]) else None


def _reach(line: _Line, known: dict[Window, float], window: Window) -> tuple[Window, Window]:
    """Return the first and the last of the windows that belong to one."""
    lowest = known[window] - NEARLY
    ends = [window, window]
    for side, step in enumerate((-1, 1)):
        while (other := line.neighbour(ends[side], step)) is not None:
            if known.get(other, -2.0) < lowest:
                break
            ends[side] = other
    return ends[0], ends[1]


def _describe(parts: Sequence[Part], first: Window, last: Window, likeness: float) -> Moment:
    header = parts[first[0]].file.header
    begin, end = (parts[number].records[place] for number, place in (first, last))
    onset, time_us = int(begin["position"]), int(begin["time_us"])
    return Moment(
        header.source,
        header.recording,
        header.sample_rate,
        onset,
        int(end["position"]) + int(end["n_samples"]),
        known_time(time_us),
        round(likeness, 4),
    )


def _span(moment: Moment) -> tuple[int, int]:
    if moment.recording or moment.time_us is None or moment.until_us is None:
        return moment.onset, moment.offset
    return moment.time_us, moment.until_us


def add_events(connection: sqlite3.Connection, moments: Iterable[Moment]) -> list[Moment]:
    """Add to moments the events that sounded in them, and the clock of their place."""
    return [_add_events(connection, moment) for moment in moments]


def _add_events(connection: sqlite3.Connection, moment: Moment) -> Moment:
    entries = find_within(
        connection,
        moment.source,
        moment.recording,
        (moment.onset, moment.offset),
        None if moment.time_us is None else (moment.time_us, moment.until_us or moment.time_us),
    )

    def common(entry: Entry) -> int:
        event = entry.event
        if moment.time_us is None or event.onset_us is None:
            begin, end = event.onset, event.offset or moment.offset
            return min(end, moment.offset) - max(begin, moment.onset)
        end_us = event.offset_us or moment.until_us or 0
        return min(end_us, moment.until_us or 0) - max(event.onset_us, moment.time_us)

    ordered = sorted(entries, key=common, reverse=True)
    offsets = [
        each.event.utc_offset_min for each in ordered if each.event.utc_offset_min is not None
    ]
    return replace(moment, entries=tuple(ordered), utc_offset_min=offsets[0] if offsets else None)
