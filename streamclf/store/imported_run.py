"""One run of an import: its row, its gaps and minutes, then its events."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamclf.core.model_hash import hash_model
from streamclf.core.records import ModelIdentity
from streamclf.store.database import transaction
from streamclf.store.last_model import UNKNOWN_MODEL
from streamclf.store.minutes import MINUTE_US
from streamclf.store.staging import NEAR_US, UNNAMED, StagedStream, tell_rates

WRITER = "import"
"""Name of the writer of imported runs; it lives in no process."""
UNKNOWN_RATE = 1_000_000
"""Rate of runs whose rate no line tells: their positions are the microseconds of the lines."""
BATCH = 2000
"""Events that are written together; other writers wait so long."""

_EVENT = """
INSERT INTO events (run_id, source_id, label, onset_us, offset_us, utc_offset_min, began_us, score,
                    highest_score, onset, offset, short, state)
VALUES (:run, :source, :label, :onset_us, :offset_us, :utc_offset_min, :began_us, :score,
        :highest_score, :onset, :offset, :short, :state)
ON CONFLICT (run_id, label, onset) DO UPDATE SET
    offset_us = excluded.offset_us, offset = excluded.offset, short = excluded.short,
    highest_score = excluded.highest_score, state = excluded.state
WHERE events.state = 'cut' AND excluded.state = 'ended'"""


@dataclass
class Counts:
    """What is new in the store.

    Attributes:
        n_runs: Runs.
        n_events: Events that are new, or whose end is.
        n_gaps: Gaps.
        n_known: Events and gaps that were there already.
        n_open: Events and gaps of runs that are being written.
    """

    n_runs: int = 0
    n_events: int = 0
    n_gaps: int = 0
    n_known: int = 0
    n_open: int = 0


@dataclass
class _Run:
    """A row of `runs`."""

    id: int
    source_id: int
    writer: str
    sample_rate: int
    first: int
    elapsed: int
    state: str

    @property
    def end(self) -> int:
        return self.first + self.elapsed


_COLUMNS = "id, source_id, writer, sample_rate, first_position, elapsed_samples, state"


class RunImport:
    """Import of the lines of one run.

    Args:
        connection: A connection to the store, with the staged lines.
        stream: The lines.
        folder: Folder that relative names of recordings start from.
        rate: Sample rate in Hz where the lines tell none.
        counts: Where what is new is counted.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        stream: StagedStream,
        folder: Path,
        rate: int,
        counts: Counts,
    ) -> None:
        self._connection, self._stream, self._counts = connection, stream, counts
        self._recording = None if stream.run else str(folder / stream.source)
        self._rate = self._tell_rate() or rate

    def write(self) -> None:
        """Write what the store does not hold yet.

        Raises:
            sqlite3.Error: The store cannot be written.
        """
        run = self._find_run()
        if run is not None and run.state == "open":
            self._counts.n_open += self._ask(
                "SELECT count(DISTINCT label || '-' || position) FROM temp.lines "
                "WHERE stream = :stream AND kind IN ('begin', 'event')"
            ) + self._ask("SELECT count(*) FROM temp.lines WHERE stream = :stream AND kind = 'gap'")
            return
        if run is not None:
            self._rate = run.sample_rate
        elif self._recording is not None and self._holds_all():
            return
        with transaction(self._connection):
            run = self._write_run(run)
        self._write_events(run)

    def _ask(self, question: str, **values: Any) -> Any:
        """Return the first column of the first row; None if there is none."""
        row = self._connection.execute(question, {"stream": self._stream.id, **values}).fetchone()
        return None if row is None else row[0]

    # The run.

    def _tell_rate(self) -> int | None:
        """Return the sample rate: that of its events, or of the recording as the store has it."""
        told = tell_rates(self._connection, self._stream.id)
        if told or self._recording is None:
            return told[0] if told else None
        rate: int | None = self._ask(
            "SELECT sample_rate FROM runs WHERE recording_id = (SELECT id FROM recordings "
            "WHERE path = :path) ORDER BY id DESC LIMIT 1",
            path=self._recording,
        )
        return rate

    def _find_run(self) -> _Run | None:
        """Find the run that the lines belong to, if the store has it."""
        token = self._token()
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE token = ?", (token,)
        ).fetchone()
        if row is None and token.startswith(UNNAMED) and self._recording is None:
            # A run of which there are only gaps and a mark may be there under its name.
            row = self._connection.execute(
                f"SELECT {_COLUMNS} FROM runs WHERE recording_id IS NULL AND source_id = "
                "(SELECT id FROM sources WHERE name = ?) AND abs(begun_us - first_position * "
                "1000000 / sample_rate - ?) <= ? ORDER BY id LIMIT 1",
                (self._stream.source, self._began_us(), NEAR_US // 100),
            ).fetchone()
        return None if row is None else _Run(*row)

    def _token(self) -> str:
        if self._recording is None:
            return self._stream.run
        return UNNAMED + hashlib.sha256(self._recording.encode()).hexdigest()[:20]

    def _began_us(self) -> int | None:
        """Return the time of position 0, as the first line with a time tells it."""
        began: int | None = self._ask(
            "SELECT us - CAST(round(onset * 1000000) AS INTEGER) FROM temp.lines "
            "WHERE stream = :stream AND us IS NOT NULL ORDER BY onset LIMIT 1"
        )
        return began

    def _write_run(self, run: _Run | None) -> _Run:
        """Write the run with its gaps and minutes, so that its sums are right at once."""
        marked = self._ask(
            "SELECT min(onset) FROM temp.lines WHERE stream = :stream "
            "AND kind IN ('heard', 'unfinished')"
        )
        end = self._position(self._ask("SELECT max(end) FROM temp.lines WHERE stream = :stream"))
        if run is None:
            run = self._insert_run(self._position(self._first() if marked is None else marked))
        elif self._recording is not None and run.writer == WRITER:
            self._insert_recording()  # these lines may tell of its file what others did not
        n_new = self._write_gaps(run)
        is_whole = self._ask(
            "SELECT 1 FROM temp.lines WHERE stream = :stream AND kind = 'heard' LIMIT 1"
        )
        n_lost = self._ask("SELECT sum(number) FROM temp.lines WHERE stream = :stream AND "
                           "kind = 'loss'") or 0  # fmt: skip
        grown = max(end - run.first, run.elapsed)
        if n_new or grown > run.elapsed:
            # What streamclf itself wrote stays; what lies behind it is added.
            start = run.first if run.writer == WRITER else run.end
            self._connection.execute(
                "DELETE FROM levels WHERE run_id = ? AND position >= ?", (run.id, start)
            )
            run.elapsed = grown
            self._write_minutes(run, start)
            self._connection.execute(
                "UPDATE runs SET elapsed_samples = :elapsed, "
                "gap_samples = (SELECT coalesce(sum(n_samples), 0) FROM gaps WHERE run_id = :run), "
                "heard_samples = (SELECT coalesce(sum(heard_samples), 0) FROM levels "
                "WHERE run_id = :run) WHERE id = :run",
                {"run": run.id, "elapsed": run.elapsed},
            )
        if run.writer == WRITER:
            self._name_model(run)
            is_whole = is_whole and self._is_of_known_file()
            self._connection.execute(
                "UPDATE runs SET rows_lost = max(rows_lost, ?), "
                "state = iif(?, 'ended', state) WHERE id = ?",
                (n_lost, bool(is_whole), run.id),
            )
        return run

    def _insert_run(self, first: int) -> _Run:
        connection = self._connection
        source = self._stream.source
        recording_id = None
        if self._recording is not None:
            source, recording_id = str(Path(self._recording).parent), self._insert_recording()
        connection.execute("INSERT OR IGNORE INTO sources (name) VALUES (?)", (source,))
        model = self._insert_model(ModelIdentity(UNKNOWN_MODEL, ""), None)
        began_us = self._began_us()
        if began_us is not None:
            began_us += first * 1_000_000 // self._rate
        row = connection.execute(
            "INSERT INTO runs (token, source_id, model_id, recording_id, writer, sample_rate, "
            "first_position, begun_us, utc_offset_min, state) VALUES (:token, (SELECT id FROM "
            "sources WHERE name = :source), :model, "
            ":recording, :writer, :rate, :first, :began_us, (SELECT offset_min FROM temp.lines "
            "WHERE stream = :stream AND us IS NOT NULL ORDER BY onset LIMIT 1), 'cut') "
            f"RETURNING {_COLUMNS}",
            {
                "token": self._token(), "source": source, "model": model,
                "recording": recording_id, "writer": WRITER, "rate": self._rate, "first": first,
                "began_us": began_us, "stream": self._stream.id,
            },
        ).fetchone()  # fmt: skip
        self._counts.n_runs += 1
        return _Run(*row)

    def _name_model(self, run: _Run) -> None:
        """Note the model of a run, if its lines name it."""
        told = self._connection.execute(
            "SELECT label, sha256 FROM temp.lines WHERE stream = ? AND label IS NOT NULL "
            "AND kind IN ('heard', 'unfinished') ORDER BY n DESC LIMIT 1",
            (self._stream.id,),
        ).fetchone()
        if told is not None:
            model = self._insert_model(ModelIdentity.parse(told[0]), told[1])
            self._connection.execute("UPDATE runs SET model_id = ? WHERE id = ?", (model, run.id))

    def _insert_model(self, model: ModelIdentity, sha256: str | None) -> int:
        """Return the row of a model; one whose file nothing tells is the newest of its name."""
        if sha256 is None:
            row: int | None = self._ask(
                "SELECT id FROM models WHERE name = :name AND version = :version "
                "ORDER BY id DESC LIMIT 1",
                name=model.name,
                version=model.version,
            )
            if row is not None:
                return row
            sha256 = hash_model(model)
        self._connection.execute(
            "INSERT OR IGNORE INTO models (name, version, sha256) VALUES (?, ?, ?)",
            (model.name, model.version, sha256),
        )
        return int(self._ask("SELECT id FROM models WHERE sha256 = :sha256", sha256=sha256))

    def _insert_recording(self) -> int:
        """Return the recording's row. The size of a file that is gone is 0.

        Where no line tells when the file was changed last, nobody knows whether it is the one that
        was heard: it has no such time, and `file --resume` hears it again.
        """
        assert self._recording is not None
        told = self._told_file()
        if told is not None:
            self._connection.execute(
                "UPDATE recordings SET bytes = ?, modified_us = ? WHERE path = ? AND "
                "modified_us = 0",
                (*told, self._recording),
            )
        n_bytes, modified_us = told or (0, 0)
        if told is None:
            with suppress(OSError, ValueError):
                n_bytes = Path(self._recording).stat().st_size
        self._connection.execute(
            "INSERT OR IGNORE INTO recordings (path, bytes, modified_us) VALUES (?, ?, ?)",
            (self._recording, n_bytes, modified_us),
        )
        return int(self._ask("SELECT id FROM recordings WHERE path = :path", path=self._recording))

    def _told_file(self) -> tuple[int, int] | None:
        """Return size and last change of the file that was heard, if its lines tell them."""
        row: tuple[int, int] | None = self._connection.execute(
            "SELECT bytes, modified_us FROM temp.lines WHERE stream = ? AND kind = 'heard' "
            "AND modified_us ORDER BY n DESC LIMIT 1",
            (self._stream.id,),
        ).fetchone()
        return row

    def _is_of_known_file(self) -> bool:
        """Whether the file that was heard may be the one that the store knows by its path."""
        known = self._connection.execute(
            "SELECT bytes, modified_us FROM recordings WHERE path = ?", (self._recording,)
        ).fetchone()
        return known is None or not known[1] or known == self._told_file()

    def _first(self) -> float:
        """Return where the run begins, in seconds: where another ended that it continues.

        A stream whose model was changed goes on as another run, which counts on.
        """
        began_us = self._began_us()
        if self._recording is not None or began_us is None:
            return 0.0
        end = self._ask(
            "SELECT max(1.0 * (first_position + elapsed_samples) / sample_rate) FROM runs WHERE "
            "recording_id IS NULL AND source_id = (SELECT id FROM sources WHERE name = :source) "
            "AND abs(begun_us - first_position * 1000000 / sample_rate - :began_us) <= :near",
            source=self._stream.source,
            began_us=began_us,
            near=NEAR_US,
        )
        first: float = min(
            end or 0.0, self._ask("SELECT min(onset) FROM temp.lines WHERE stream = :stream")
        )
        return first

    def _position(self, seconds: float | None) -> int:
        return round((seconds or 0.0) * self._rate)

    # Gaps and minutes.

    def _write_gaps(self, run: _Run) -> int:
        """Write the gaps that are new; returns their number."""
        n_new = 0
        rows = self._connection.execute(
            "SELECT onset, end, label, us FROM temp.lines WHERE stream = ? AND kind = 'gap' "
            "ORDER BY onset, n",
            (self._stream.id,),
        )
        for onset, end, cause, us in rows:
            first, last = self._position(onset), self._position(end)
            taken = self._ask(
                "SELECT position + n_samples FROM gaps WHERE run_id = :run AND position < :last "
                "ORDER BY position DESC LIMIT 1",
                run=run.id,
                last=last,
            )
            known_to = run.first if run.writer == WRITER else run.end
            if last <= first or first < max(known_to, taken or 0):
                self._counts.n_known += 1
                continue
            self._connection.execute(
                "INSERT INTO gaps (run_id, position, n_samples, begun_us, cause) "
                "VALUES (?, ?, ?, ?, ?)",
                (run.id, first, last - first, us, cause),
            )
            n_new += 1
        self._counts.n_gaps += n_new
        return n_new

    def _write_minutes(self, run: _Run, start: int) -> None:
        """Write how much was heard in each minute from a position on: all that is no gap."""
        minutes = _Minutes(self._rate, self._anchors(run))
        self._connection.executemany(
            "INSERT INTO levels (run_id, position, minute_us, utc_offset_min, heard_samples) "
            "VALUES (?, ?, ?, ?, ?)",
            ((run.id, *row) for row in minutes.count(self._spans(run, start))),
        )

    def _spans(self, run: _Run, start: int) -> Iterator[tuple[int, int]]:
        """Yield the stretches between the gaps."""
        gaps = self._connection.execute(
            "SELECT position, position + n_samples FROM gaps WHERE run_id = ? AND position >= ? "
            "ORDER BY position",
            (run.id, start),
        )
        for position, end in gaps:
            if position > start:
                yield start, position
            start = max(start, end)
        if start < run.end:
            yield start, run.end

    def _anchors(self, run: _Run) -> Iterator[tuple[int, int, int | None]]:
        """Yield positions whose time is known, with the time and its offset from UTC."""
        rows = self._connection.execute(
            "SELECT CAST(round(onset * :rate) AS INTEGER) AS place, us, offset_min FROM lines "
            "WHERE stream = :stream AND us IS NOT NULL UNION ALL SELECT onset, onset_us, "
            "utc_offset_min FROM events WHERE run_id = :run AND onset_us IS NOT NULL ORDER BY 1",
            {"rate": self._rate, "stream": self._stream.id, "run": run.id},
        )
        yield from rows

    # Events.

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield events: the values of a begin and of its end together."""
        rows = self._connection.execute(
            "SELECT kind, label, iif(abs(1.0 * position / :rate - onset) <= 0.00001, position, "
            "CAST(round(onset * :rate) AS INTEGER)) AS place, onset, end, score, us, offset_min, "
            "short, number FROM temp.lines WHERE stream = :stream AND kind IN ('begin', 'event') "
            "ORDER BY label, place, kind",
            {"rate": self._rate, "stream": self._stream.id},
        )
        event: dict[str, Any] | None = None
        for kind, label, place, onset, end, score, us, offset_min, short, cut in rows:
            if event is None or (label, place) != (event["label"], event["onset"]):
                if event is not None:
                    yield event
                event = {
                    "label": label, "onset": place, "onset_us": us, "utc_offset_min": offset_min,
                    "score": score, "highest_score": score, "began_us": None, "short": 0,
                    "state": "cut", "offset": None,
                }  # fmt: skip
            if kind == "begin":
                if self._recording is None and us is not None:
                    event["began_us"] = us + round((end - onset) * 1e6)
            else:
                event |= {
                    "state": "cut" if cut else "ended", "highest_score": score, "short": short,
                    "offset": max(self._position(end), place),
                }  # fmt: skip
        if event is not None:
            yield event

    def _holds_all(self) -> bool:
        """Whether other runs of the recording hold all of it already, which is then counted."""
        others = self._ask(
            "SELECT max(1.0 * (first_position + elapsed_samples) / sample_rate) FROM runs WHERE "
            "recording_id = (SELECT id FROM recordings WHERE path = :path)",
            path=self._recording,
        )
        end = self._ask("SELECT max(end) FROM temp.lines WHERE stream = :stream")
        if others is None or others + 1e-3 < (end or 0.0):
            return False
        n_events = 0
        for event in self._events():
            if not self._is_elsewhere(event):
                return False
            n_events += 1
        self._counts.n_known += n_events + self._ask(
            "SELECT count(*) FROM temp.lines WHERE stream = :stream AND kind = 'gap'"
        )
        return True

    def _is_elsewhere(self, event: dict[str, Any]) -> bool:
        return bool(
            self._ask(
                "SELECT 1 FROM events JOIN runs ON run_id = runs.id WHERE recording_id = (SELECT "
                "id FROM recordings WHERE path = :path) AND token != :token AND label = :label "
                "AND onset = :onset AND sample_rate = :rate",
                path=self._recording,
                token=self._token(),
                label=event["label"],
                onset=event["onset"],
                rate=self._rate,
            )
        )

    def _write_events(self, run: _Run) -> None:
        batch: list[dict[str, Any]] = []
        for event in self._events():
            if self._recording is not None and self._is_elsewhere(event):
                self._counts.n_known += 1
                continue
            if event["offset"] is None:
                event["offset"] = max(run.end, event["onset"])
            event["offset_us"] = None
            if event["onset_us"] is not None:
                n_samples = event["offset"] - event["onset"]
                event["offset_us"] = event["onset_us"] + n_samples * 1_000_000 // self._rate
            batch.append({**event, "run": run.id, "source": run.source_id})
            if len(batch) == BATCH:
                self._write_batch(batch)
                batch = []
        self._write_batch(batch)

    def _write_batch(self, batch: list[dict[str, Any]]) -> None:
        with transaction(self._connection):
            for event in batch:
                n_changed = self._connection.execute(_EVENT, event).rowcount
                self._counts.n_events += n_changed
                self._counts.n_known += not n_changed


class _Minutes:
    """The minutes of the clock that stretches of audio lie in.

    Args:
        sample_rate: Of the positions.
        anchors: Positions in rising order, with their time in microseconds and its offset.
    """

    def __init__(self, sample_rate: int, anchors: Iterator[tuple[int, int, int | None]]) -> None:
        self._rate, self._anchors = sample_rate, anchors
        self._anchor = self._next = next(anchors, None)

    def count(
        self, spans: Iterator[tuple[int, int]]
    ) -> Iterator[tuple[int, int | None, int | None, int]]:
        """Yield each minute's first position, time, offset from UTC, and samples heard."""
        row: tuple[int, int | None, int | None, int] | None = None
        end_of_row = 0
        for start, end in spans:
            position = start
            while position < end:
                minute_us, offset_min, boundary = self._locate(position)
                n_samples = min(end, boundary) - position
                if row is not None and (
                    row[1] == minute_us if minute_us is not None else position < end_of_row
                ):
                    row = (*row[:3], row[3] + n_samples)
                else:
                    if row is not None:
                        yield row
                    row = (position, minute_us, offset_min, n_samples)
                end_of_row = boundary
                position += n_samples
        if row is not None:
            yield row

    def _locate(self, position: int) -> tuple[int | None, int | None, int]:
        """Return the minute of a position, its offset from UTC, and where the minute ends."""
        while self._next is not None and self._next[0] <= position:
            self._anchor, self._next = self._next, next(self._anchors, None)
        if self._anchor is None:
            length = 60 * self._rate
            return None, None, (position // length + 1) * length
        place, us, offset_min = self._anchor
        us += (position - place) * 1_000_000 // self._rate
        minute_us = us // MINUTE_US * MINUTE_US
        left_us = minute_us + MINUTE_US - us
        return minute_us, offset_min, position + max(1, -(-left_us * self._rate // 1_000_000))
