"""What the store knows of events that would have been: the event that was told then, its clip."""

from __future__ import annotations

import sqlite3

from streamclf.store.browse import Entry, find_within
from streamclf.teach.backtest import PastEvent


def find_told(connection: sqlite3.Connection, event: PastEvent) -> Entry | None:
    """Find the event of the store that sounded then, by which it can be heard and marked.

    Of several, one with a clip comes first, then the one that lasted longest in it. None if nothing
    was told then.
    """
    onset_us = event.onset_us
    length_us = round((event.offset_s - event.onset_s) * 1e6)
    times = None if onset_us is None else (onset_us, onset_us + max(length_us, 1))
    rate = event.sample_rate
    positions = round(event.onset_s * rate), round(event.offset_s * rate)
    recording = event.source if event.is_recording else ""
    entries = find_within(connection, event.source, recording, positions, times)

    def worth(entry: Entry) -> tuple[bool, int]:
        told = entry.event
        if times is None or told.onset_us is None or event.is_recording:
            begin, end = told.onset, told.offset or positions[1]
            return told.clip is not None, min(end, positions[1]) - max(begin, positions[0])
        end = told.offset_us or times[1]
        return told.clip is not None, min(end, times[1]) - max(told.onset_us, times[0])

    return max(entries, key=worth, default=None)
