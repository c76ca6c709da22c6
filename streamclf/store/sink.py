"""Sink that hands a stream's events, gaps and minutes to the store's writer."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeAlias

from streamclf.core.model_hash import hash_model
from streamclf.core.records import (
    Block,
    EventBegan,
    EventOngoing,
    Gap,
    ModelIdentity,
    Result,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.stats import Statistics
from streamclf.pipeline.levels import LevelMeter, LevelPiece
from streamclf.sinks.base import Sink
from streamclf.store.clips import NOTE_CLIP, state_clip
from streamclf.store.minutes import N_RECENT, Minute, MinuteCounter, to_us
from streamclf.store.recordings import StoredRecording
from streamclf.store.statements import (
    COUNT_RUN,
    CUT_EVENTS,
    DELETE_OLDER_RUNS,
    END_RUN,
    INSERT_GAP,
    INSERT_RUN,
    KEEP_CLIPS,
    LEVELS,
    MOVE_CLIPS,
    MOVE_REVIEWS,
    OUTDATE_RECORDING,
    UPSERT_EVENT,
    UPSERT_MINUTE,
    UPSERT_MODEL,
    UPSERT_RECORDING,
    UPSERT_SOURCE,
)

Statement: TypeAlias = tuple[str, dict[str, Any]]
"""An SQL statement and its named values."""

LIMIT_EVENTS = 100_000
"""Most begins, ends and gaps of a stream that wait to be written, some 30 MB."""


class StoreSink(Sink):
    """Sink of one stream after another, written by the store's thread.

    What is to be written waits here. Minutes and counts replace their older values, so an outage of
    the disk costs memory by its events alone, up to `LIMIT_EVENTS`; what comes beyond is lost and
    counted.

    Args:
        writer: Name of this process in the store.
        source: Name of the source; None takes the stream's own.
        live: Whether audio cannot wait. Otherwise a full memory waits for the disk.
        wake: Called when something is to be written soon.
        flush: Called to wait until all is written, in runs that are not live.
        on_close: Called when the sink has been closed.
        levels: Whether it measures sound levels; without them minutes only say how long was heard.

    Attributes:
        calibration_db: What is stated of the source with its next run: decibels that lead from full
            scale to sound pressure; None leaves what the store knows.
        on_levels: Called with the levels of the source as they are measured, for those who want
            them as well.
        closed: Whether nothing follows.
    """

    def __init__(
        self,
        writer: str,
        source: str | None,
        *,
        live: bool,
        wake: Callable[[], None],
        flush: Callable[[], None],
        on_close: Callable[[], None] = lambda: None,
        levels: bool = True,
    ) -> None:
        self._levels = levels
        self._writer, self._source, self._live = writer, source, live
        self._wake, self._flush, self._on_close = wake, flush, on_close
        self._lock = threading.Lock()
        self._stream: StreamStarted | None = None
        self._run = ""
        self._recording: StoredRecording | None = None
        self._minutes: MinuteCounter | None = None
        self._changed: dict[int, Minute] = {}
        self._first: int | None = None
        self._end = self._heard = self._gap = self._lost = self._n_lost = 0
        self._counts_taken = self._counts_written = _Counts()
        self._minutes_written: dict[int, int] = {}  # position -> samples, of the newest
        self._is_part = False  # of a recording, because the store that held its begin is no more
        self._opening: list[Statement] = []
        self._waiting: list[Statement] = []
        self._in_flight: list[Statement] = []
        self._open_events: dict[tuple[str, int], Statement] = {}
        self._n_heard = self._n_taken = self._n_written = 0  # items; what counts belong to
        self._taken: dict[int, tuple[int, int]] = {}  # position -> samples heard, changes
        self._meter = LevelMeter()
        self.calibration_db: float | None = None
        self.on_levels: Callable[[Sequence[LevelPiece]], None] = lambda pieces: None
        self.closed = False

    @property
    def measures(self) -> bool:
        """Whether it measures sound levels."""
        return self._levels

    @property
    def n_lost(self) -> int:
        """Number of begins, ends and gaps that are lost."""
        return self._n_lost + (self.n_waiting if self.closed else 0)

    @property
    def n_waiting(self) -> int:
        """Number of begins, ends and gaps that are not written yet."""
        waiting = [*self._in_flight, *self._opening, *self._waiting]
        return sum(sql in (UPSERT_EVENT, INSERT_GAP) for sql, _ in waiting)

    @property
    def settled(self) -> bool:
        """Whether the sink is closed, and all it held is written."""
        return self.closed and not (self._in_flight or self._opening or self._waiting)

    def begin(self, stream: StreamStarted) -> None:
        """Begin a run; a run that was open ends."""
        with self._lock:
            self._end_run("ended" if stream.live else "cut")
            self._stream = stream
            self._begin_run(stream.position, stream.run)
        self._wake_if_live()

    def _wake_if_live(self) -> None:
        """Have it written soon; a run that is not live is written at its end."""
        if self._live:
            self._wake()

    def _begin_run(self, position: int, token: str = "") -> None:
        stream = self._stream
        assert stream is not None
        self._run = token or f"{self._writer}-{secrets.token_hex(4)}"
        self._first, self._end = None, position
        self._heard = self._gap = self._lost = 0
        self._counts_taken = self._counts_written = _Counts(end=position)
        self._minutes_written, self._is_part = {}, False
        self._minutes = MinuteCounter(stream)
        self._changed = {}
        self._open_events = {}
        self._recording = None
        if not stream.live:
            try:
                self._recording = StoredRecording.of(Path(stream.source))
            except (OSError, ValueError):  # it has gone since, or has a name that is no path
                self._recording = None
        self._state_run(position)

    def _state_run(self, position: int) -> None:
        """Note the rows that a run's other rows refer to."""
        stream, recording = self._stream, self._recording
        assert stream is not None
        source = self._source or (recording.source if recording else stream.source)
        model = stream.model or ModelIdentity("unknown", "")
        self._opening += [
            (UPSERT_SOURCE, {"name": source, "calibration_db": self.calibration_db}),
            (
                UPSERT_MODEL,
                {
                    "name": model.name,
                    "version": model.version,
                    "sha256": model,
                    "display_names": json.dumps(dict(stream.display_names)),
                    "broader": json.dumps(dict(stream.broader)),
                    "sureness": json.dumps(dict(stream.sureness)),
                },
            ),
        ]
        if recording:
            file = {
                "path": recording.path, "bytes": recording.n_bytes,
                "modified_us": recording.modified_us,
            }  # fmt: skip
            self._opening += [(OUTDATE_RECORDING, file), (UPSERT_RECORDING, file)]
        begun_us, offset_min = to_us(self._moment(position))
        values = {
            "run": self._run, "source": source, "sha256": model,
            "path": recording.path if recording else None, "writer": self._writer,
            "sample_rate": stream.sample_rate, "first_position": position,
            "begun_us": begun_us, "utc_offset_min": offset_min,
        }  # fmt: skip
        self._opening.append((INSERT_RUN, values))

    def hear(self, item: Block | Gap) -> None:
        """Count audio and gaps."""
        with self._lock:
            if self._minutes is None:
                return
            if self._first is None:
                self._first = item.position
            self._end = item.end
            self._n_heard += 1
            if isinstance(item, Gap):
                self._gap += item.n_samples
                self._add_gap(item)
            else:
                self._heard += item.n_samples
                for minute in self._minutes.add(item):
                    self._changed[minute.position] = minute
        if isinstance(item, Gap):
            self._wake_if_live()

    def measure(self, item: Block | Gap) -> None:
        """Measure the sound levels of the source's audio."""
        self._note_levels(self._meter.add(item))

    def _note_levels(self, pieces: Sequence[LevelPiece]) -> None:
        if pieces:
            self.on_levels(pieces)
            with self._lock:
                self._add_levels(pieces)

    def _add_levels(self, pieces: Sequence[LevelPiece]) -> None:
        if self._minutes is None:
            return
        for piece in pieces:
            for minute in self._minutes.measure(piece):
                self._changed[minute.position] = minute
                self._n_heard += 1

    def _add_gap(self, gap: Gap) -> None:
        begun_us, _ = to_us(self._moment(gap.position))
        values = {
            "run": self._run, "position": gap.position, "n_samples": gap.n_samples,
            "begun_us": begun_us, "cause": gap.cause,
        }  # fmt: skip
        # There is always room for a gap, because the sums would not add up without it.
        self._waiting.append((INSERT_GAP, values))

    def write(self, result: Result) -> None:
        """Note an event's begin or end.

        Raises:
            StoreError: The store cannot be written, in a run that is not live.
        """
        if not isinstance(result, EventBegan | EventOngoing | SoundEvent):
            return
        with self._lock:
            full = self._is_full()
        if full and not self._live:
            self._flush()
        with self._lock:
            if self._is_full():
                self._lost += 1
                self._n_lost += 1
                if isinstance(result, SoundEvent):
                    self._open_events.pop((result.label, result.onset), None)
                return
            self._waiting.append(self._state_event(result))
        self._wake_if_live()

    def _is_full(self) -> bool:
        """Whether there is no room for one more event; what could not be written counts as well."""
        rows = (self._in_flight, self._opening, self._waiting)
        return sum(map(len, rows)) >= LIMIT_EVENTS

    def _state_event(self, event: EventBegan | EventOngoing | SoundEvent) -> Statement:
        key = (event.label, event.onset)
        before = self._open_events.get(key)
        began = before[1] if before else {}
        onset_us, offset_min = to_us(self._moment(event.onset))
        ended = isinstance(event, SoundEvent)
        offset = event.offset if isinstance(event, SoundEvent) else None
        offset_us = None
        if onset_us is not None and offset is not None and self._stream is not None:
            # By its samples: a clock that is set back meanwhile makes no event end before it began.
            offset_us = onset_us + (offset - event.onset) * 1_000_000 // self._stream.sample_rate
        values = {
            "run": self._run, "label": event.label, "onset": event.onset, "offset": offset,
            "onset_us": onset_us, "offset_us": offset_us,
            "utc_offset_min": offset_min, "score": began.get("score", event.score),
            "highest_score": event.score,
            "began_us": began.get("began_us", self._now_us() if not ended else None),
            "short": int(isinstance(event, SoundEvent) and event.short),
            "state": "ended" if ended else "open",
        }  # fmt: skip
        statement = (UPSERT_EVENT, values)
        if ended:
            self._open_events.pop(key, None)
        else:
            self._open_events[key] = statement
        return statement

    def _now_us(self) -> int | None:
        return time.time_ns() // 1000 if self._live else None

    def _moment(self, position: int) -> Any:
        assert self._stream is not None
        return self._stream.moment(position)

    def note_clip(
        self, stream: StreamStarted, event: SoundEvent, folder: Path, path: PurePath, n_bytes: int
    ) -> None:
        """Note that the clip of an event was written; from any thread, and after the run as well.

        Args:
            stream: Stream of the event, one that this sink was given.
            event: The event, which this sink was given or is given before it ends.
            folder: Folder of the clips.
            path: The file, below that folder.
            n_bytes: Its size.
        """
        with self._lock:
            run = self._run if stream is self._stream else stream.run
            values = state_clip(
                run, event.label, event.onset, folder, path, n_bytes, time.time_ns() // 1000
            )
            self._waiting.append((NOTE_CLIP, values))
        self._wake_if_live()

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """End the run of a recording, and wait until it is written.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._lock:
            self._end_run("ended" if whole else "cut")
        self._wake()
        if not self._live:
            self._flush()

    def finish(self) -> None:
        """End the run; the store's writer writes what waits."""
        with self._lock:
            if not self.closed:
                self._end_run("ended" if self._live else "cut")
            self.closed = True
        self._wake()

    def close(self) -> None:
        """End the run, see `finish`; the store's own `close` waits for it."""
        self.finish()
        self._on_close()

    def _end_run(self, state: str) -> None:
        if self._minutes is None:
            return
        self._add_levels(self._meter.end())
        if self._is_part:
            state = "cut"
        ending: list[Statement] = [
            *self._state_counts(),
            (CUT_EVENTS, {"run": self._run}),
            (END_RUN, {"run": self._run, "state": state}),
        ]
        if state == "ended" and self._recording is not None:
            ending += [
                (sql, {"run": self._run})
                for sql in (MOVE_REVIEWS, KEEP_CLIPS, MOVE_CLIPS, DELETE_OLDER_RUNS)
            ]
        # The rows of a run that follows come after these.
        self._opening = [*self._opening, *self._waiting, *ending]
        self._waiting, self._changed, self._minutes = [], {}, None

    def _state_counts(self) -> list[Statement]:
        """Return statements for the minutes that changed and for the run's counts."""
        statements = [self._state_minute(minute) for minute in self._changed.values()]
        first = self._first if self._first is not None else self._end
        begun_us, offset_min = to_us(self._moment(first))
        values = {
            "run": self._run, "first": first, "elapsed": self._end - first, "heard": self._heard,
            "gap": self._gap, "lost": self._lost, "begun_us": begun_us,
            "utc_offset_min": offset_min,
        }  # fmt: skip
        return [*statements, (COUNT_RUN, values)]

    def _state_minute(self, minute: Minute) -> Statement:
        levels = minute.levels()
        values = {name: getattr(levels, name) if levels else None for name in LEVELS}
        values |= {
            "run": self._run, "position": minute.position, "minute_us": minute.minute_us,
            "utc_offset_min": minute.utc_offset_min, "heard": minute.heard,
        }  # fmt: skip
        return UPSERT_MINUTE, values

    # The methods below are called by the store's thread.

    def take(self) -> list[Statement]:
        """Return what is to be written together, in order; empty if nothing has changed.

        The same statements are returned again, with those that have come since, until `acknowledge`
        is called.
        """
        with self._lock:
            self._in_flight += [*self._opening, *self._waiting]
            self._opening, self._waiting = [], []
            statements = list(self._in_flight)
            # Newer counts replace older ones, so those that could not be written are not kept.
            self._n_taken = self._n_heard
            self._taken = {
                position: (minute.heard, minute.n_changes)
                for position, minute in self._changed.items()
            }
            self._counts_taken = _Counts(self._run, self._end, self._heard, self._gap)
            if self._minutes is not None and self._n_heard > self._n_written:
                statements += self._state_counts()
        return [(sql, _bind(values)) for sql, values in statements]

    def acknowledge(self) -> None:
        """Forget what `take` returned, because it has been written."""
        with self._lock:
            self._in_flight = []
            self._n_written = self._n_taken
            if self._counts_taken.run != self._run:  # the run has ended since
                return
            self._counts_written = self._counts_taken
            self._minutes_written |= {place: heard for place, (heard, _) in self._taken.items()}
            for place in sorted(self._minutes_written)[:-N_RECENT]:
                del self._minutes_written[place]
            for position, (_, n_changes) in self._taken.items():
                minute = self._changed.get(position)
                if minute is not None and minute.n_changes == n_changes:
                    del self._changed[position]

    def lose(self, n_rows: int) -> None:
        """Count rows that cannot be written."""
        with self._lock:
            self._lost += n_rows
            self._n_lost += n_rows

    def begin_anew(self) -> None:
        """State again what the store that is no more did not hold.

        The run that is open goes on as a new one from the place up to which the old store held it,
        with the events that still sound. Rows of an ended run of which the old store held a part
        are lost, and counted.
        """
        with self._lock:
            waiting = [*self._in_flight, *self._opening, *self._waiting]
            self._in_flight, self._opening, self._waiting = [], [], []
            whole = {values["run"] for sql, values in waiting if sql == INSERT_RUN}
            open_run = self._run if self._minutes is not None else ""
            rest: list[Statement] = []
            for sql, values in waiting:
                run = values.get("run")
                if run is None or run in whole:
                    self._opening.append((sql, values))
                elif sql in (UPSERT_EVENT, INSERT_GAP, NOTE_CLIP):
                    if run == open_run:
                        rest.append((sql, values))
                    else:
                        self._n_lost += sql != NOTE_CLIP
            if open_run and open_run not in whole:
                self._continue_run(rest)

    def _continue_run(self, rest: list[Statement]) -> None:
        """Begin a new run where what is written of this one ends."""
        written, minutes_written = self._counts_written, self._minutes_written
        end, heard, gap, lost = self._end, self._heard, self._gap, self._lost
        minutes, changed, sounding = self._minutes, self._changed, self._open_events
        self._begin_run(written.end)
        self._is_part = self._recording is not None
        self._first, self._end, self._lost = written.end, end, lost
        self._heard, self._gap = heard - written.heard, gap - written.gap
        self._minutes = minutes
        for minute in changed.values():
            if minute.position in minutes_written:
                minute.heard -= minutes_written[minute.position]
                minute.position = max(minute.position, written.end)
            if minute.heard:
                self._changed[minute.position] = minute
        for key, (sql, values) in sounding.items():
            self._open_events[key] = (sql, {**values, "run": self._run})
        self._waiting = [
            *self._open_events.values(),
            *((sql, {**values, "run": self._run}) for sql, values in rest),
        ]
        self._n_heard += 1  # so that the counts are written


@dataclass(frozen=True)
class _Counts:
    """Counts of a run that are written together."""

    run: str = ""
    end: int = 0
    heard: int = 0
    gap: int = 0


def _bind(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as SQLite takes them.

    A model is replaced by the hash of its file, which is read in the store's thread. In texts,
    what UTF-8 cannot hold is escaped.
    """
    bound = dict(values)
    for name, value in values.items():
        if isinstance(value, ModelIdentity):
            bound[name] = hash_model(value)
        elif isinstance(value, str) and not value.isascii():
            bound[name] = value.encode("utf-8", "backslashreplace").decode()
    return bound
