"""Export of a store as the JSON Lines that `listen` and `file` write."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from streamclf.core.errors import StoreError
from streamclf.core.event_id import event_id
from streamclf.core.records import ModelIdentity
from streamclf.sinks.json_records import (
    BeginLine,
    EventLine,
    GapLine,
    HeardLine,
    JsonRecord,
    UnfinishedLine,
)
from streamclf.sinks.jsonl import modified_field
from streamclf.store.database import connect_to_read, reason_of
from streamclf.store.last_model import UNKNOWN_MODEL

CHUNK = 1000
"""Lines that are yielded together."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GAP, _BEGIN, _EVENT = 0, 1, 2
_RUNS = """
SELECT runs.id, token, coalesce(path, sources.name), recording_id IS NULL, sample_rate,
       first_position, elapsed_samples, begun_us, utc_offset_min, state,
       (SELECT count(*) FROM events WHERE run_id = runs.id), models.name, version, sha256,
       coalesce(bytes, 0), coalesce(modified_us, 0)
FROM runs JOIN sources ON source_id = sources.id
JOIN models ON model_id = models.id
LEFT JOIN recordings ON recording_id = recordings.id
ORDER BY begun_us, runs.id"""
_KNOWN = "onset + max(0, coalesce(began_us - onset_us, 0)) / 1000000.0 * :sample_rate"
"""SQL of the position that had been heard when an event was known, by the time of the clock."""
_ROWS = f"""
SELECT {_BEGIN}, CAST(iif({_KNOWN} <= :end, {_KNOWN}, onset) AS INTEGER) AS place, label,
       onset, NULL, score, onset_us, utc_offset_min, 0, 0
FROM events WHERE run_id = :run AND (began_us IS NOT NULL OR state != 'ended')
UNION ALL
SELECT {_EVENT}, offset, label, onset, offset, highest_score, onset_us, utc_offset_min, short,
       state = 'cut'
FROM events WHERE run_id = :run AND state != 'open'
UNION ALL
SELECT {_GAP}, position + n_samples, cause, position, n_samples, NULL, begun_us, NULL, 0, 0
FROM gaps WHERE run_id = :run
ORDER BY place, 1"""


@dataclass(frozen=True)
class _Run:
    id: int
    token: str
    source: str
    live: bool
    sample_rate: int
    first: int
    elapsed: int
    begun_us: int | None
    utc_offset_min: int | None
    state: str
    n_events: int
    name: str
    version: str
    sha256: str
    n_bytes: int
    modified_us: int

    @property
    def model(self) -> ModelIdentity:
        return ModelIdentity(self.name, self.version)

    @property
    def end(self) -> int:
        return self.first + self.elapsed

    def seconds(self, position: int) -> float:
        return round(position / self.sample_rate, 6)


def export(path: Path) -> Generator[list[str]]:
    """Yield the lines of a store, run by run, in the order in which they were known.

    All of them are of one moment; another process may write the store meanwhile.

    Raises:
        StoreError: There is no store, or it cannot be read.
    """
    encoder = msgspec.json.Encoder()
    with closing(connect_to_read(path)) as connection:
        try:
            connection.execute("BEGIN")
            chunk: list[str] = []
            for row in connection.execute(_RUNS):
                for line in _lines(connection, _Run(*row)):
                    chunk.append(encoder.encode(line).decode())
                    if len(chunk) == CHUNK:
                        yield chunk
                        chunk = []
            if chunk:
                yield chunk
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{path}: cannot be read: {reason_of(error)}; see `streamclf store check`"
            ) from error


def _lines(connection: sqlite3.Connection, run: _Run) -> Iterator[JsonRecord]:
    rows = connection.execute(
        _ROWS, {"run": run.id, "sample_rate": run.sample_rate, "end": run.end}
    )
    return chain((_line(run, row) for row in rows), _mark(run))


def _line(run: _Run, row: tuple[Any, ...]) -> JsonRecord:
    kind, place, name, onset, end, score, us, offset_min, short, cut = row
    fields: dict[str, Any] = {
        "source": run.source,
        "onset": run.seconds(onset),
        **_time(us, offset_min if kind != _GAP else run.utc_offset_min),
    }
    if kind == _GAP:
        return GapLine(**fields, offset=run.seconds(onset + end), cause=name)
    identifier = event_id(name, onset)
    fields |= {
        "id": f"{identifier}@{run.token}" if run.live else identifier,
        "label": name,
        "score": round(score, 4),
    }
    if kind == _BEGIN:
        return BeginLine(**fields, known=run.seconds(place))
    fields |= {name: True for name, is_so in (("short", short), ("cut", cut)) if is_so}
    return EventLine(**fields, offset=run.seconds(end))


def _mark(run: _Run) -> Iterator[JsonRecord]:
    """Yield the line that says how far a run was heard; a run that goes on has none."""
    if run.state == "open":
        return
    is_whole = run.state == "ended"
    line = HeardLine if is_whole else UnfinishedLine
    model: dict[str, Any] = {}
    if run.model.name != UNKNOWN_MODEL:
        model = {"model": run.model.spoken, "model_sha256": run.sha256}
    file: dict[str, Any] = {}
    if is_whole and run.modified_us:  # 0 where nothing tells it
        file = {"bytes": run.n_bytes, **modified_field(run.modified_us)}
    yield line(
        source=run.source,
        onset=run.seconds(run.first),
        offset=run.seconds(run.end),
        **_time(run.begun_us, run.utc_offset_min),
        events=run.n_events,
        **model,
        **file,
    )


def _time(us: int | None, offset_min: int | None) -> dict[str, Any]:
    """Return the field of the local time; empty where it is unknown."""
    if us is None:
        return {}
    try:
        moment = _EPOCH + timedelta(microseconds=us)
        moment = moment.astimezone(timezone(timedelta(minutes=offset_min or 0)))
    except (OverflowError, ValueError):  # a year that no calendar knows
        return {}
    return {"time": moment.isoformat(timespec="milliseconds")}
