"""The events themselves, one by one in the order of their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from streamclf.core.event_id import event_id
from streamclf.core.sureness import Sureness, tell_sureness
from streamclf.store.queries import local_time
from streamclf.store.question import Database, Question, Where, marks
from streamclf.store.sureness import read_sureness_limits


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event, with what its run knows of it.

    Attributes:
        row: Its row in `events`.
        source: Name of the source.
        recording: Path of the recording; None for a live stream.
        model: Name and version of the model.
        run: Name of the run, which tells the events of one live stream from those of another.
        sample_rate: Rate of the positions in Hz.
        label: Label.
        onset: Position of its first sample.
        offset: Position after its last sample; None while it sounds.
        onset_us: Onset in microseconds since 1970; None where nothing tells the time.
        offset_us: Offset, likewise.
        utc_offset_min: The place's offset from UTC in minutes.
        score: Score when it began.
        highest_score: Highest score.
        short: Whether its audio was shorter than the model's window.
        state: ``open`` while it sounds; ``cut`` if its run ended without warning.
        elapsed: Samples of its run so far.
        verdict: What somebody said of it last.
        clip: Path of its clip; None if there is none.
        began_us: When its begin was known, in microseconds since 1970; None in recordings, and
            where nobody noted it.
        sureness: How sure it is by its highest score, and its model's card; None where that has no
            word.
        begin_sureness: How sure it was when it began.
    """

    row: int
    source: str
    recording: str | None
    model: str
    run: str
    sample_rate: int
    label: str
    onset: int
    offset: int | None
    onset_us: int | None
    offset_us: int | None
    utc_offset_min: int | None
    score: float
    highest_score: float
    short: bool
    state: Literal["open", "ended", "cut"]
    elapsed: int
    verdict: str | None
    clip: str | None
    began_us: int | None = None
    sureness: Sureness | None = None
    begin_sureness: Sureness | None = None

    @property
    def stream(self) -> str:
        """Name of the stream, the same that `listen` and `file` write: a recording's path."""
        return self.source if self.recording is None else self.recording

    @property
    def folder(self) -> str | None:
        """Name of the source that a recording belongs to; None for a live stream."""
        return None if self.recording is None else self.source

    @property
    def id(self) -> str:
        """Identifier, the same that `listen` and `file` write in their lines."""
        name = event_id(self.label, self.onset)
        return name if self.recording is not None else f"{name}@{self.run}"

    @property
    def onset_s(self) -> float:
        """Begin in seconds from the start of its stream."""
        return round(self.onset / self.sample_rate, 6)

    @property
    def offset_s(self) -> float | None:
        """End in seconds from the start of its stream; None while it sounds."""
        return None if self.offset is None else round(self.offset / self.sample_rate, 6)

    @property
    def time(self) -> datetime | None:
        """Onset by the place's clock; None where nothing tells the time."""
        return None if self.onset_us is None else local_time(self.onset_us, self.utc_offset_min)


_SELECT = """
SELECT events.id, sources.name, recordings.path, models.name || ' ' || models.version, runs.token,
       runs.sample_rate, label, onset, events.offset, onset_us, offset_us, events.utc_offset_min,
       score, highest_score, short, events.state, runs.first_position + runs.elapsed_samples,
       (SELECT verdict FROM reviews WHERE event_id = events.id
        ORDER BY reviewed_us DESC, reviews.id DESC LIMIT 1),
       (SELECT folder || '/' || path FROM clips WHERE event_id = events.id AND gone_us IS NULL),
       began_us, runs.model_id
FROM events
JOIN runs ON runs.id = events.run_id
JOIN sources ON sources.id = events.source_id
JOIN models ON models.id = runs.model_id
LEFT JOIN recordings ON recordings.id = runs.recording_id
WHERE """


def list_events(connection: Database, question: Question) -> Iterator[StoredEvent]:
    """List events, the earliest first; those without a time come last, recording by recording.

    Of several that begin together the one that was known first comes first.
    """
    timed = Where("onset_us IS NOT NULL")
    timed.add_range(question, "onset_us")
    timed.add_events(question)
    yield from _read(connection, f"{timed} ORDER BY onset_us, run_id, onset, events.id", timed)
    if not question.has_range:
        untimed = Where("onset_us IS NULL")
        untimed.add_events(question)
        order = "ORDER BY recordings.path, run_id, onset, events.id"
        yield from _read(connection, f"{untimed} {order}", untimed)


def _read(connection: Database, rest: str, where: Where) -> Iterator[StoredEvent]:
    limits = read_sureness_limits(connection)
    for *values, model in connection.execute(_SELECT + rest, where.values):
        event = StoredEvent(*values)
        if by_label := limits.get(model):
            event = replace(
                event,
                sureness=tell_sureness(by_label, event.label, event.highest_score),
                begin_sureness=tell_sureness(by_label, event.label, event.score),
            )
        yield event


def read_events(connection: Database, rows: Sequence[int]) -> list[StoredEvent]:
    """Read events by their rows, in that order; rows that are not there are left out."""
    where = Where()
    where.add(f"events.id IN ({marks(tuple(rows))})", *rows)
    found = {event.row: event for event in _read(connection, str(where), where)}
    return [found[row] for row in rows if row in found]


def list_open(connection: Database, question: Question) -> list[StoredEvent]:
    """List the events that still sound, the earliest first."""
    where = Where("events.state = 'open'")
    where.add_range(question, "onset_us")
    where.add_events(question)
    return list(_read(connection, f"{where} ORDER BY onset_us, run_id, onset, events.id", where))


def count_runs(connection: Database, question: Question) -> int:
    """Count the streams and recordings that the events lie in."""
    where = Where()
    where.add_range(question, "onset_us")
    where.add_events(question)
    (n_runs,) = connection.execute(
        f"SELECT count(DISTINCT run_id) FROM events WHERE {where}", where.values
    ).fetchone()
    return int(n_runs)
