"""Events that a kill cut short: their ends are told at the next start, so that each begin has one.

They are found in two steps around the opening of the store, which closes what a dead process left
open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.event_id import event_id
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.happenings import SoundHappened
from streamclf.store.database import connect
from streamclf.store.names import read_vocabulary

MOST = 1_000
"""Most events that are looked at, the newest; each label of each source has one at a time."""

_OPEN = """
SELECT events.id FROM events JOIN runs ON runs.id = events.run_id
WHERE events.state = 'open' AND runs.recording_id IS NULL AND events.onset_us IS NOT NULL
ORDER BY events.id DESC LIMIT ?"""
_CUT = """
SELECT label, onset, runs.token, sources.name, highest_score, onset_us,
       began_us, offset_us, coalesce(events.utc_offset_min, 0)
FROM events JOIN runs ON runs.id = events.run_id JOIN sources ON sources.id = events.source_id
WHERE events.id = ? AND events.state = 'cut' AND offset_us IS NOT NULL"""


def find_open_events(store: Path) -> list[int]:
    """Find the events that are open, before the store is opened by who writes it.

    Returns:
        Their rows, the oldest first; none where the store cannot be read or is not there.
    """
    try:
        with closing(connect(store)) as connection:
            return sorted(number for (number,) in connection.execute(_OPEN, (MOST,)))
    except (StoreError, sqlite3.Error):  # whoever opens it says what is wrong
        return []


def read_cut_events(store: Path, numbers: Sequence[int]) -> list[SoundHappened]:
    """Tell begins and ends of those of some events that have been cut since.

    Args:
        store: The store.
        numbers: Their rows.

    Returns:
        What happened, in order. Each was known when it happened, as far as can be told.
    """
    found: list[SoundHappened] = []
    try:
        with closing(connect(store)) as connection:
            vocabulary = read_vocabulary(connection) if numbers else Vocabulary({})
            for number in numbers:
                row = connection.execute(_CUT, (number,)).fetchone()
                found += _tell(vocabulary, *row) if row is not None else []
    except (StoreError, sqlite3.Error):
        return []
    return sorted(found, key=lambda each: each.known_us)


def _tell(
    vocabulary: Vocabulary, label: str, onset: int, run: str, source: str, score: float,
    onset_us: int, began_us: int | None, offset_us: int, utc_offset_min: int,
) -> list[SoundHappened]:  # fmt: skip
    begin = SoundHappened(
        phase="begin",
        event_id=f"{event_id(label, onset)}@{run}",
        source=source,
        label=label,
        name=vocabulary.show(label),
        score=score,
        onset_us=onset_us,
        known_us=began_us or onset_us,
        utc_offset_min=utc_offset_min,
        vocabulary=vocabulary,
    )
    end = SoundHappened(
        phase="end",
        event_id=begin.event_id,
        source=source,
        label=label,
        name=begin.name,
        score=score,
        onset_us=onset_us,
        known_us=max(offset_us, begin.known_us + 1),
        offset_us=offset_us,
        utc_offset_min=utc_offset_min,
        vocabulary=vocabulary,
    )
    return [begin, end]
