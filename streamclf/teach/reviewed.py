"""Examples that lie in the store: events, and what people said of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from streamclf.core.errors import UsageError
from streamclf.core.records import Waveform
from streamclf.sources.recording.recording import Recording
from streamclf.store.listing import StoredEvent, read_events
from streamclf.teach.clip_audio import read_clip

AROUND_S = 0.3
"""Seconds before and after an event that belong to its sound: onsets are right to a hop."""

_NEWEST = """
SELECT events.id FROM events JOIN reviews ON reviews.event_id = events.id
WHERE reviews.id = (SELECT id FROM reviews AS newest WHERE newest.event_id = events.id
                    ORDER BY reviewed_us DESC, id DESC LIMIT 1)
  AND {condition} ORDER BY onset_us, events.id"""


def events_said_to_be(connection: sqlite3.Connection, label: str) -> list[StoredEvent]:
    """List events that somebody said were this sound: of another label, or right ones of its own.

    Args:
        connection: The store.
        label: The label, in any case.
    """
    condition = (
        "((reviews.label IS NOT NULL AND lower(reviews.label) = lower(?)) "
        "OR (reviews.verdict = 'right' AND lower(events.label) = lower(?)))"
    )
    return _read(connection, condition, (label, label))


def events_wrong(connection: sqlite3.Connection, label: str) -> list[StoredEvent]:
    """List events of a label that somebody called wrong."""
    condition = "reviews.verdict = 'wrong' AND lower(events.label) = lower(?)"
    return _read(connection, condition, (label,))


def _read(
    connection: sqlite3.Connection, condition: str, values: Sequence[str]
) -> list[StoredEvent]:
    rows = connection.execute(_NEWEST.format(condition=condition), values).fetchall()
    return read_events(connection, [row for (row,) in rows])


def has_clip(event: StoredEvent) -> bool:
    """Whether the event's clip is still there."""
    return event.clip is not None and Path(event.clip).is_file()


def read_event(event: StoredEvent, sample_rate: int) -> Waveform:
    """Read the audio of an event from its clip, which begins before it and ends after it.

    Args:
        event: An event with a clip.
        sample_rate: The model's rate in Hz.

    Returns:
        ``(samples,)``: the event alone, where the clip says when it was recorded.

    Raises:
        SourceError: The clip cannot be read.
        UsageError: It is gone, or silent.
    """
    if event.clip is None or not has_clip(event):
        raise UsageError(f"{event.id}: has no clip any more: name an event that has one")
    path = Path(event.clip)
    waveform = read_clip(path, sample_rate)
    with Recording(path) as recording:
        started = recording.started
    if started is None or event.time is None or started.tzinfo is None or event.offset_s is None:
        return waveform
    begin_s = (event.time - started).total_seconds() - AROUND_S
    end_s = begin_s + event.offset_s - event.onset_s + 2 * AROUND_S
    first, end = max(round(begin_s * sample_rate), 0), max(round(end_s * sample_rate), 0)
    cut = waveform[first:end]
    return cut if cut.size and abs(cut).max() > 0 else waveform
