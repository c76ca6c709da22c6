"""Temporary tables for lines on their way into the store, and which run each line belongs to.

Lines of events name their run. Gaps and marks do not: they belong to the run that goes on where
they stand, unless their times say otherwise.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

STAGE = (
    "CREATE TEMP TABLE streams (id INTEGER PRIMARY KEY, source TEXT, run TEXT, "
    "UNIQUE (source, run))",
    "CREATE TEMP TABLE lines (n INTEGER PRIMARY KEY, stream INTEGER, kind TEXT, label TEXT, "
    "position INTEGER, onset REAL, end REAL, score REAL, us INTEGER, offset_min INTEGER, "
    "short INTEGER, number INTEGER, sha256 TEXT, bytes INTEGER, modified_us INTEGER)",
    "CREATE INDEX temp.lines_by_stream ON lines (stream, n)",
    "CREATE TEMP TABLE assigned (n INTEGER PRIMARY KEY, stream INTEGER)",
    "CREATE TEMP TABLE waiting (n INTEGER PRIMARY KEY, began_us INTEGER, onset REAL, mark INTEGER)",
)
"""The lines with their values. ``label`` is a gap's cause, or the model
that a mark names, whose file has that ``sha256``; ``bytes`` and ``modified_us`` are of the
recording's file when it was heard; ``end`` is an offset, or where a begin
was known; ``us`` is the time of ``onset``; ``number`` counts a mark's events, or lines
lost; at an event, it is 1 if the event was cut."""
MARKS = ("heard", "unfinished")
UNNAMED = "lines-"
"""Begin of the names of runs that no line names."""
NEAR_US, NEAR_S = 500_000, 0.01
DRIFT = 5e-4
"""Microseconds, and the rate, by which the begin of a run may differ as its lines tell it."""


@dataclass(frozen=True)
class StagedStream:
    """Lines of one source that belong together.

    Attributes:
        id: Number of the stream.
        source: Name in the lines.
        run: Name of the run over a live source; empty for a recording.
    """

    id: int
    source: str
    run: str


def find_stream(connection: sqlite3.Connection, source: str, run: str) -> int:
    """Return the number of a stream, which is noted if it is new."""
    connection.execute(
        "INSERT OR IGNORE INTO temp.streams (source, run) VALUES (?, ?)", (source, run)
    )
    (stream,) = connection.execute(
        "SELECT id FROM temp.streams WHERE source = ? AND run = ?", (source, run)
    ).fetchone()
    return int(stream)


def is_recording(source: str) -> bool:
    """Whether a source, as lines name it, looks like a recording."""
    from streamclf.core.audio_endings import SUFFIXES

    if "://" in source or source.startswith("sim:"):
        return False
    return PurePath(source).suffix.lower() in SUFFIXES


def assign_lines(connection: sqlite3.Connection) -> None:
    """Give each line of a live source that names no run to one."""
    unnamed = connection.execute(
        "SELECT id, source FROM temp.streams WHERE run = '' AND NOT EXISTS (SELECT 1 FROM "
        "temp.lines WHERE stream = streams.id AND kind IN ('begin', 'event'))"
    ).fetchall()
    connection.execute("BEGIN")
    for stream, source in unnamed:
        if not is_recording(source):
            _Assignment(connection, stream, source).run()
    connection.execute(
        "UPDATE temp.lines SET stream = assigned.stream FROM temp.assigned "
        "WHERE assigned.n = lines.n"
    )
    connection.execute("COMMIT")


@dataclass
class _Place:
    """The run that lines are in, while they are gone through.

    Attributes:
        stream: Its number; 0 for none.
        began_us: When its first sample sounded, as its newest line tells; None where unknown.
        onset: Of that line, in seconds.
        reached: How far its lines have come, in seconds.
        is_over: Whether a mark has ended it.
    """

    stream: int = 0
    began_us: int | None = None
    onset: float = 0.0
    reached: float = 0.0
    is_over: bool = False

    def distance(self, began_us: int | None, onset: float) -> float:
        """Return by how much more a begin differs than it may, in us; 0 if it may be the same."""
        if not self.stream or self.is_over or onset < self.reached - NEAR_S:
            return float("inf")
        if began_us is None or self.began_us is None:
            return 0.0
        return max(
            abs(began_us - self.began_us) - NEAR_US - DRIFT * 1e6 * abs(onset - self.onset), 0.0
        )


class _Assignment:
    """Assignment of the lines of one source that name no run, in order."""

    def __init__(self, connection: sqlite3.Connection, unnamed: int, source: str) -> None:
        self._connection, self._unnamed, self._source = connection, unnamed, source
        self._place = _Place()
        self._has_marks = self._waits = False

    def run(self) -> None:
        rows = self._connection.execute(
            "SELECT n, stream, kind, us - CAST(round(onset * 1000000) AS INTEGER), onset, end "
            "FROM temp.lines WHERE stream IN (SELECT id FROM temp.streams WHERE source = ?) "
            "ORDER BY n",
            (self._source,),
        )
        for n, stream, kind, began_us, onset, end in rows:
            if stream != self._unnamed:
                self._go_on(stream, began_us, onset, end)
                continue
            if onset is None:  # lines were lost here
                onset = end = self._place.reached
            is_mark = kind in MARKS
            self._has_marks |= is_mark
            place = end if is_mark else onset  # a mark tells of the whole run
            if self._place.distance(began_us, place) == 0 and not self._waits:
                self._assign(n, self._place.stream)
                self._place.is_over |= is_mark
                self._place.reached = max(self._place.reached, end)
            else:
                self._waits = True
                self._connection.execute(
                    "INSERT INTO temp.waiting VALUES (?, ?, ?, ?)", (n, began_us, place, is_mark)
                )
        self._settle(self._place)

    def _go_on(self, stream: int, began_us: int | None, onset: float, end: float) -> None:
        """Note a line that names its run; what waits belongs before it, or to it."""
        before = self._place
        place = _Place(stream, began_us, onset)
        if stream == before.stream:
            place.reached = max(before.reached, end)
            if began_us is None:
                place.began_us, place.onset = before.began_us, before.onset
        if self._waits:
            self._settle(place)
        place.reached = max(place.reached, end)
        self._place = place

    def _settle(self, after: _Place) -> None:
        """Assign the lines that wait: to the run before or behind them, or to one of their own."""
        own = _Place()
        rows = self._connection.execute("SELECT * FROM temp.waiting ORDER BY n")
        for n, began_us, onset, is_mark in rows:
            # A mark ends a run, so lines behind one are of others.
            near = min((self._place, after), key=lambda place: place.distance(began_us, onset))
            distance = near.distance(began_us, onset)
            if distance == 0 or (not self._has_marks and distance < float("inf")):
                self._assign(n, near.stream)
                near.is_over |= bool(is_mark) and near is self._place
                continue
            if own.distance(began_us, onset) != 0:
                own = _Place(self._open_run(began_us, onset), began_us, onset)
            self._assign(n, own.stream)
            own.is_over = bool(is_mark)
        self._connection.execute("DELETE FROM temp.waiting")
        self._waits = False

    def _open_run(self, began_us: int | None, onset: float) -> int:
        """Name a run of lines that name none, the same whenever they are imported."""
        begin = f"at {onset}" if began_us is None else f"{round(began_us / 1000)}"
        digest = hashlib.sha256(f"{self._source}\0{begin}".encode()).hexdigest()
        return find_stream(self._connection, self._source, f"{UNNAMED}{digest[:20]}")

    def _assign(self, n: int, stream: int) -> None:
        self._connection.execute("INSERT INTO temp.assigned VALUES (?, ?)", (n, stream))


def list_streams(connection: sqlite3.Connection) -> Iterator[StagedStream]:
    """Yield the streams in the order of their first lines."""
    rows = connection.execute(
        "SELECT streams.id, source, run FROM temp.streams JOIN temp.lines ON stream = streams.id "
        "GROUP BY streams.id ORDER BY min(n)"
    )
    for row in rows:
        yield StagedStream(*row)


def tell_rates(connection: sqlite3.Connection, stream: int | None = None) -> list[int]:
    """Return the sample rates that the positions and onsets of events tell, two at most.

    Args:
        connection: A connection with staged lines.
        stream: The stream; None for all.
    """
    rows = connection.execute(
        "SELECT DISTINCT CAST(round(position / onset) AS INTEGER) FROM temp.lines WHERE "
        "(:stream IS NULL OR stream = :stream) AND kind IN ('begin', 'event') "
        # Seconds are rounded to microseconds: early ones do not tell the rate exactly.
        "AND onset * onset > 0.000002 * position AND position > 0 LIMIT 2",
        {"stream": stream},
    )
    return [rate for (rate,) in rows if 0 < rate <= 10_000_000]
