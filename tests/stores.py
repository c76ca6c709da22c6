"""Small stores whose contents are written down, made through the schema itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from streamclf.store.database import connect, transaction

RATE = 16_000


@dataclass
class Run:
    """A run, and what was heard in it. Times are local, with their offset from UTC.

    Attributes:
        source: Name of its source.
        begun: When its first sample sounded; None where nothing tells the time.
        heard_s: Seconds heard, from its begin on, besides the gaps.
        events: Pairs of a label and the seconds from its begin, or `Heard` for more.
        gaps: Begin in seconds, length in seconds, cause.
        recording: Path of the recording; None for a live run.
        level: LAeq of each minute in dB re full scale; LA10 is 5 above, LA90 5 below.
    """

    source: str
    begun: datetime | None
    heard_s: float
    events: Iterable[tuple[str, float] | Heard] = ()
    gaps: Iterable[tuple[float, float, str]] = ()
    recording: str | None = None
    model: str = "pocket"
    level: float | None = None
    calibration_db: float | None = None
    display_names: dict[str, str] = field(default_factory=dict)
    broader: dict[str, list[str]] = field(default_factory=dict)
    sureness: dict[str, list[float]] = field(default_factory=dict)
    sample_rate: int = RATE
    state: str = "ended"


@dataclass
class Heard:
    """An event.

    Attributes:
        onset_s: Seconds from the begin of its run.
        length_s: Length in seconds; None: it still sounds.
        known_after_s: Seconds from its onset until it was known.
    """

    label: str
    onset_s: float
    length_s: float | None = 2.0
    score: float = 0.9
    state: str = "ended"
    known_after_s: float = 0.0
    verdicts: list[str] = field(default_factory=list)


_numbers = itertools.count()


def make_store(path: Path, runs: Iterable[Run]) -> Path:
    """Make a store, or add to it."""
    connection = connect(path, create=True)
    try:
        with transaction(connection):
            for run in runs:
                _add_run(connection, run)
    finally:
        connection.close()
    return path


def _add_run(connection, run: Run) -> None:
    def add(sql: str, *values: object) -> int:
        return connection.execute(sql, values).lastrowid

    rate = run.sample_rate
    add(
        "INSERT INTO sources (name, calibration_db) VALUES (?, ?) ON CONFLICT DO NOTHING",
        run.source, run.calibration_db,
    )  # fmt: skip
    add("INSERT OR IGNORE INTO models (name, version, sha256, display_names, broader, sureness) "
        "VALUES (?, '8', ?, ?, ?, ?)",
        run.model, f"sha of {run.model}", json.dumps(run.display_names),
        json.dumps(run.broader), json.dumps(run.sureness))  # fmt: skip
    if run.recording is not None:
        add("INSERT OR IGNORE INTO recordings (path, bytes, modified_us) VALUES (?, 1000, 0)",
            run.recording)  # fmt: skip
    gaps = list(run.gaps)
    gap_s = sum(length for _, length, _ in gaps)
    begun_us, offset_min = us_of(run.begun, 0.0)
    row = add(
        "INSERT INTO runs (token, source_id, model_id, recording_id, writer, sample_rate, "
        "first_position, begun_us, utc_offset_min, elapsed_samples, heard_samples, gap_samples, "
        "state) VALUES (?, (SELECT id FROM sources WHERE name = ?), "
        "(SELECT id FROM models WHERE name = ?), (SELECT id FROM recordings WHERE path = ?), "
        "'writer', ?, 0, ?, ?, ?, ?, ?, ?)",
        f"run{next(_numbers)}", run.source, run.model, run.recording, rate, begun_us, offset_min,
        round((run.heard_s + gap_s) * rate), round(run.heard_s * rate), round(gap_s * rate),
        run.state,
    )  # fmt: skip
    for event in run.events:
        heard = event if isinstance(event, Heard) else Heard(*event)
        _add_event(add, run, row, heard)
    for onset_s, length_s, cause in gaps:
        add("INSERT INTO gaps (run_id, position, n_samples, begun_us, cause) VALUES (?,?,?,?,?)",
            row, round(onset_s * rate), round(length_s * rate), us_of(run.begun, onset_s)[0],
            cause)  # fmt: skip
    _add_levels(connection, run, row, gaps)


def _add_event(add, run: Run, row: int, event: Heard) -> None:
    rate = run.sample_rate
    end_s = None if event.length_s is None else event.onset_s + event.length_s
    onset_us, offset_min = us_of(run.begun, event.onset_s)
    event_row = add(
        "INSERT INTO events (run_id, source_id, label, onset_us, offset_us, utc_offset_min, "
        "began_us, score, highest_score, onset, offset, state) "
        "VALUES (?, (SELECT id FROM sources WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row, run.source, event.label, onset_us,
        None if end_s is None else us_of(run.begun, end_s)[0], offset_min,
        us_of(run.begun, event.onset_s + event.known_after_s)[0],
        event.score / 2, event.score, round(event.onset_s * rate),
        None if end_s is None else round(end_s * rate),
        "open" if event.length_s is None else event.state,
    )  # fmt: skip
    for number, verdict in enumerate(event.verdicts):
        add("INSERT INTO reviews (event_id, reviewed_us, verdict) VALUES (?, ?, ?)", event_row,
            number, verdict)  # fmt: skip


def _add_levels(connection, run: Run, row: int, gaps: list[tuple[float, float, str]]) -> None:
    """Rows of minutes, whose seconds heard add up to the run's."""
    rate, end_s = run.sample_rate, run.heard_s + sum(length for _, length, _ in gaps)
    begin_s = 0.0
    rows = []
    while begin_s < end_s:
        us, offset_min = us_of(run.begun, begin_s)
        into_s = begin_s % 60 if us is None else us % 60_000_000 / 1e6
        stop_s = min(begin_s + 60 - into_s, end_s)
        lost_s = sum(
            max(min(stop_s, onset + length) - max(begin_s, onset), 0.0) for onset, length, _ in gaps
        )
        level, minute_us = run.level, None if us is None else us - us % 60_000_000
        if stop_s - begin_s > lost_s:
            rows.append(
                (
                    row, round(begin_s * rate), minute_us,
                    offset_min, round((stop_s - begin_s - lost_s) * rate),
                    *(None if level is None else level + more for more in (0, 15, 5, 0, -5, 3)),
                )
            )  # fmt: skip
        begin_s = stop_s
    connection.executemany(
        "INSERT INTO levels (run_id, position, minute_us, utc_offset_min, heard_samples, laeq, "
        "lamax, la10, la50, la90, zeq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def us_of(begun: datetime | None, seconds: float) -> tuple[int | None, int | None]:
    """Microseconds since 1970 and the offset from UTC in minutes, some time after a begin."""
    if begun is None:
        return None, None
    moment = datetime.fromtimestamp(begun.timestamp() + seconds, begun.tzinfo)
    offset = moment.utcoffset()
    us = round(begun.timestamp()) * 1_000_000 + round(seconds * 1e6)
    assert offset is not None
    return us, offset // timedelta(minutes=1)
