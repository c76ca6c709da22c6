"""Events of a process that was killed, of which rules may not have told all.

Those are the events that the kill cut short, and others that had just ended. They are told at the
next start, so that each begin has one end.

They are found in two steps around the opening of the store, which closes what a dead process left
open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.event_id import event_id
from streamclf.core.sureness import Limits, tell_sureness
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.happenings import SoundHappened
from streamclf.notify.joined_sounds import FOLLOWS_US
from streamclf.store.database import connect_to_read
from streamclf.store.names import read_vocabulary
from streamclf.store.sureness import read_sureness_limits
from streamclf.store.writers import CUT_OFFSET_US, find_dead_writers

MOST = 1_000
"""Most events that are looked at, the newest."""
UNTOLD_US = 60_000_000
"""Longest time before the end of a process, in microseconds, in which an event may have ended and
what rules say of it not be noted. It is mostly a moment, and longer where the disk is slow. A
process that heard for so long has noted what it told of those before it."""

_OPEN_RUNS = "SELECT id FROM runs WHERE state = 'open' AND recording_id IS NULL"
_RUNS = f"""
SELECT id, state, elapsed_samples * 1000000 / sample_rate FROM runs
WHERE recording_id IS NULL AND writer != 'import' ORDER BY id DESC LIMIT {MOST}"""  # noqa: S608 - a number
_OPEN = "SELECT id FROM events WHERE state = 'open' AND run_id = ?"
_NEWEST = f"SELECT id FROM events WHERE run_id = ? ORDER BY id DESC LIMIT {MOST}"  # noqa: S608 - a number
_LEFT = """
SELECT run_id, onset_us, CASE events.state WHEN 'ended' THEN offset_us END,
       runs.begun_us + elapsed_samples * 1000000 / sample_rate
FROM events JOIN runs ON runs.id = run_id WHERE events.id = ? AND onset_us IS NOT NULL"""
_TOLD = f"""
SELECT runs.model_id, label, onset, runs.token, sources.name, highest_score, onset_us,
       began_us, coalesce(offset_us, {CUT_OFFSET_US}), coalesce(events.utc_offset_min, 0),
       CASE runs.state WHEN 'open' THEN runs.writer END
FROM events JOIN runs ON runs.id = events.run_id JOIN sources ON sources.id = events.source_id
WHERE events.id = ? AND runs.state != 'ended' AND onset_us IS NOT NULL
AND (runs.state = 'open' OR (events.state != 'open' AND offset_us IS NOT NULL))"""  # noqa: S608 - no value


@dataclass(frozen=True)
class CutEvents:
    """Events that are fed to the rules again.

    Attributes:
        happened: Their begins and ends, in order. Each was known when it happened, as far as can be
            told.
        untold: Identifiers of those about which messages may be missing. The others only go before
            them: they are one sound to a rule that asks for a broader label.
    """

    happened: tuple[SoundHappened, ...] = ()
    untold: frozenset[str] = frozenset()

    @property
    def ends(self) -> list[SoundHappened]:
        """The ends of those about which messages may be missing."""
        return [each for each in self.happened if each.phase == "end" and self.is_untold(each)]

    def is_untold(self, happened: SoundHappened) -> bool:
        """Whether messages about an event may be missing."""
        return happened.event_id in self.untold


@dataclass(frozen=True, slots=True)
class _Left:
    """An event that a process left, open or ended."""

    number: int
    run: int
    onset_us: int
    offset_us: int | None
    heard_until_us: int | None

    @property
    def is_untold(self) -> bool:
        if self.offset_us is None or self.heard_until_us is None:
            return True
        return self.offset_us >= self.heard_until_us - UNTOLD_US


def find_left_events(store: Path) -> dict[int, bool]:
    """Find what rules may not have told all about, before the store is opened by who writes it.

    Returns:
        The rows of the events, the oldest first, and whether messages about them may be missing;
        none where the store cannot be read or is not there.
    """
    try:
        with closing(connect_to_read(store)) as connection:
            numbers = {
                number
                for run in _find_runs(connection)
                for sql in (_OPEN, _NEWEST)
                for (number,) in connection.execute(sql, (run,))
            }
            left = [
                _Left(number, *row)
                for number in sorted(numbers)[-MOST:]
                for row in connection.execute(_LEFT, (number,))
            ]
    except (StoreError, sqlite3.Error):  # whoever opens it says what is wrong
        return {}
    return {each.number: each.is_untold for each in _with_joined(left)}


def _find_runs(connection: sqlite3.Connection) -> set[int]:
    """Find the runs that a dead process left open, and those that ones before it had left.

    A process that is killed soon after its start may not have noted what it told of these.
    """
    found = {run for (run,) in connection.execute(_OPEN_RUNS)}
    for run, state, elapsed_us in connection.execute(_RUNS):
        if state == "cut":
            found.add(run)
        if state == "ended" or elapsed_us >= UNTOLD_US:
            break
    return found


def _with_joined(left: list[_Left]) -> list[_Left]:
    """Choose the events that are untold, and those of their runs which they may have joined."""
    chosen: set[int] = set()
    for run in {each.run for each in left}:
        own = [each for each in left if each.run == run]
        untold = [each for each in own if each.is_untold]
        if not untold:
            continue
        chosen.update(each.number for each in untold)
        from_us = min(each.onset_us for each in untold)
        before = [each for each in own if not each.is_untold and each.offset_us is not None]
        for each in sorted(before, key=lambda each: each.offset_us or 0, reverse=True):
            if (each.offset_us or 0) + FOLLOWS_US < from_us:
                break
            chosen.add(each.number)
            from_us = min(from_us, each.onset_us)
    return [each for each in left if each.number in chosen]


def read_cut_events(store: Path, left: Mapping[int, bool]) -> CutEvents:
    """Read those of some events whose run was cut.

    A store that could not be opened yet, on a full disk, still holds such a run as an open one: its
    events end where they will.

    Args:
        store: The store.
        left: Their rows, from `find_left_events`.
    """
    found: list[SoundHappened] = []
    untold: set[str] = set()
    try:
        with closing(connect_to_read(store)) as connection:
            vocabulary = read_vocabulary(connection) if left else Vocabulary({})
            limits = read_sureness_limits(connection) if left else {}
            dead = {None, *(find_dead_writers(connection, store) if left else ())}
            for number, is_untold in left.items():
                row = connection.execute(_TOLD, (number,)).fetchone()
                if row is None or row[-1] not in dead:
                    continue
                found += _tell(vocabulary, limits, *row[:-1])
                if is_untold:
                    untold.add(found[-1].event_id)
    except (StoreError, sqlite3.Error):
        return CutEvents()
    return CutEvents(tuple(sorted(found, key=lambda each: each.known_us)), frozenset(untold))


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
