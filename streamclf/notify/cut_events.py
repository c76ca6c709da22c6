"""Events that a kill cut short: their ends are told at the next start, so that each begin has one.

They are found in two steps around the opening of the store, which closes what a dead process left
open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.event_id import event_id
from streamclf.core.sureness import Limits, tell_sureness
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.happenings import SoundHappened
from streamclf.store.database import connect
from streamclf.store.names import read_vocabulary
from streamclf.store.sureness import read_sureness_limits

MOST = 1_000
"""Most events that are looked at, the newest; each label of each source has one at a time."""

_OPEN = """
SELECT events.id FROM events JOIN runs ON runs.id = events.run_id
WHERE events.state = 'open' AND runs.recording_id IS NULL AND events.onset_us IS NOT NULL
ORDER BY events.id DESC LIMIT ?"""
_CUT = """
SELECT runs.model_id, label, onset, runs.token, sources.name, highest_score, onset_us,
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
            limits = read_sureness_limits(connection) if numbers else {}
            for number in numbers:
                row = connection.execute(_CUT, (number,)).fetchone()
                found += _tell(vocabulary, limits, *row) if row is not None else []
    except (StoreError, sqlite3.Error):
        return []
    return sorted(found, key=lambda each: each.known_us)


def _tell(
    vocabulary: Vocabulary, limits: Mapping[int, Limits],
    model: int, label: str, onset: int, run: str, source: str, score: float,
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
        sureness=tell_sureness(limits.get(model, {}), label, score),
        vocabulary=vocabulary,
    )
    known_us = max(offset_us, begin.known_us + 1)
    return [begin, replace(begin, phase="end", known_us=known_us, offset_us=offset_us)]
