"""The history of rules as the store knows it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from streamclf.core.errors import StoreError
from streamclf.core.sureness import Limits, least_score
from streamclf.notify.history import PastSound, Told
from streamclf.notify.joined_sounds import PastEvent, join_past
from streamclf.notify.messages import Message
from streamclf.notify.rules import MOST_REPEATS, Rule
from streamclf.store.database import connect_to_read, is_there, reason_of
from streamclf.store.heard_spans import heard_spans
from streamclf.store.names import list_labels, read_vocabulary
from streamclf.store.sureness import join_sureness_limits

T = TypeVar("T")
JOINED_S = 3600
"""Seconds before a time that are looked at for sounds which events of that time go on with."""
_SOURCE = "(SELECT id FROM sources WHERE name = :source)"
_COUNTS = f"""
source_id = {_SOURCE} AND max(score, highest_score) >= :min_score
AND (:lasting_us = 0 OR offset_us - onset_us >= :lasting_us)"""
_LAST_TOLD = """
SELECT body FROM messages WHERE rule = :rule AND source = :source AND occasion != 'test'
AND (label = :label OR body LIKE '%"asked":"%') ORDER BY told_us DESC, id DESC"""
_LAST_OF_RULES = """
SELECT rule, max(told_us) FROM messages WHERE occasion != 'test' GROUP BY rule"""
_EVENTS = f"""
SELECT max(coalesce(began_us, 0), onset_us), onset_us, coalesce(offset_us, onset_us), label,
       max(score, highest_score) FROM events
WHERE label = :label AND onset_us >= :since_us AND onset_us < :before_us
AND source_id = {_SOURCE} ORDER BY onset_us DESC LIMIT {MOST_REPEATS}"""
_LAST_HEARD = f"""
SELECT onset_us FROM events WHERE label = :label AND onset_us < :before_us AND {_COUNTS}
ORDER BY onset_us DESC LIMIT 1"""
_LAST_SOUND = f"""
SELECT onset_us, offset_us FROM events WHERE label = :label AND onset_us < :before_us
AND offset_us IS NOT NULL AND {_COUNTS} ORDER BY onset_us DESC LIMIT 1"""


class StoreHistory:
    """What the store knows of the time before; see `History` for its questions.

    Each question opens a connection of its own, because a damaged store is set aside by whoever
    writes it. A store that cannot be read knows nothing; that is told once.

    Args:
        store: The store.
        report: Called with one line where the store cannot be read.
        told: Whether messages count that were told before; a replay leaves them out.
        until_us: Moment from which on events are no past, because a replay tells of them; None for
            all that the store knows.
    """

    def __init__(
        self,
        store: Path,
        report: Callable[[str], None] = lambda line: None,
        *,
        told: bool = True,
        until_us: int | None = None,
    ) -> None:
        self._store, self._report, self._told = store, report, told
        self._until_us = until_us
        self._failed = False
        self._left_out: Collection[str] = ()

    def leave_out(self, events: Collection[str]) -> None:
        """Know nothing of messages about some events from now on, because they are told again."""
        self._left_out = events

    def last_told(self, rule: Rule, source: str, label: str) -> Told | None:
        """Find the last message of a rule about a sound of a source."""
        message = self._last_message(rule, source, label)
        if message is None:
            return None
        moment_us = message.told_us if message.moment_us is None else message.moment_us
        return Told(moment_us, message.utc_offset_min)

    def lost_since(self, rule: Rule, source: str) -> int | None:
        """When a source was lost that a rule told of last; None if it told that it is back."""
        message = self._last_message(rule, source, "")
        return message.onset_us if message is not None and message.on == "lost" else None

    def _last_message(self, rule: Rule, source: str, label: str) -> Message | None:
        if not self._told:
            return None
        values = {"rule": rule.name, "source": source, "label": label}

        def ask(connection: sqlite3.Connection) -> Message | None:
            for (body,) in connection.execute(_LAST_TOLD, values):
                try:
                    message = msgspec.json.decode(body, type=Message)
                except msgspec.MsgspecError:  # of another version, or damaged
                    return None
                is_about = (message.asked or message.label) == label
                if is_about and message.event_id not in self._left_out:
                    return message
            return None

        return self._ask(ask, None)

    def last_heard(
        self, rule: Rule, source: str, labels: Sequence[str], before_us: int
    ) -> int | None:
        """Find the onset of the last sound of labels that counts, before a moment."""
        values = _values(rule, source) | {"before_us": self._past(before_us)}
        needed = self._needed(rule)
        rows = [
            self._select(_LAST_HEARD, values | {"label": label, "min_score": needed(label)})
            for label in labels
        ]
        return max((int(each[0][0]) for each in rows if each), default=None)

    def onsets(
        self, rule: Rule, source: str, labels: Sequence[str], since_us: int, before_us: int
    ) -> Sequence[int]:
        """Find the onsets of the sounds of labels that count, from a moment to another one."""
        # An event before the first moment may go on as a sound of another label.
        early_us = since_us - (JOINED_S * 1_000_000 if len(labels) > 1 else 0)
        values = {"source": source, "since_us": early_us, "before_us": self._past(before_us)}
        rows = [row for label in labels for row in self._select(_EVENTS, values | {"label": label})]
        lasting_us, needed = _values(rule, source)["lasting_us"], self._needed(rule)
        events = [
            replace(each, score=each.score - needed(each.label))
            for each in sorted(PastEvent(*row) for row in rows)
        ]
        onsets = [
            sound.onset_us
            for sound in join_past(events)
            if sound.onset_us >= since_us
            and sound.score >= 0  # one of its events is as sure as is needed of its label
            and sound.offset_us - sound.onset_us >= lasting_us
        ]
        return onsets[-MOST_REPEATS:]

    def last_sound(self, rule: Rule, source: str, before_us: int) -> PastSound | None:
        """Find the sound among those of a rule that ended last, begun before a moment."""
        values = _values(rule, source)
        values |= {"lasting_us": 0, "before_us": self._past(before_us)}
        needed = self._needed(rule)

        def ask(connection: sqlite3.Connection) -> list[PastSound]:
            vocabulary, found = read_vocabulary(connection), []
            for label in list_labels(connection):
                asked = vocabulary.asked(rule.labels, label) if rule.labels else label
                if asked is not None:
                    more = {"label": label, "min_score": needed(label)}
                    rows = connection.execute(_LAST_SOUND, values | more)
                    found += [PastSound(asked, vocabulary.show(asked), *row) for row in rows]
            return found

        nothing: list[PastSound] = []
        return max(self._ask(ask, nothing), key=lambda sound: sound.offset_us, default=None)

    def heard_spans(self, source: str, since_us: int, before_us: int) -> Sequence[tuple[int, int]]:
        """Find the spans in which a source was heard without a gap, from a moment to another."""

        def ask(connection: sqlite3.Connection) -> list[tuple[int, int]]:
            row = connection.execute("SELECT id FROM sources WHERE name = ?", (source,)).fetchone()
            return [] if row is None else list(heard_spans(connection, row[0], since_us, before_us))

        return self._ask(ask, [])

    def _needed(self, rule: Rule) -> Callable[[str], float]:
        """Return what tells from which score on a sound of a label counts for a rule."""
        sure = rule.at_least
        if sure is None:
            return lambda label: rule.min_score
        nothing: Limits = {}
        limits = self._ask(join_sureness_limits, nothing)
        return lambda label: max(rule.min_score, least_score(limits, label, sure))

    def _past(self, before_us: int) -> int:
        """The moment before which events are past."""
        return before_us if self._until_us is None else min(before_us, self._until_us)

    def _select(self, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        nothing: list[tuple[Any, ...]] = []
        return self._ask(lambda connection: connection.execute(sql, values).fetchall(), nothing)

    def _ask(self, question: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Ask the store; what it cannot answer is told once."""
        try:
            with closing(connect_to_read(self._store)) as connection:
                return question(connection)
        except (StoreError, sqlite3.Error) as error:
            reason = str(error) if isinstance(error, StoreError) else reason_of(error)
            if not self._failed and is_there(self._store):
                self._report(
                    f"warning: rules: what was heard and told before is not known: {reason}"
                )
                self._failed = True
            return otherwise


def _values(rule: Rule, source: str) -> dict[str, Any]:
    return {
        "source": source,
        "lasting_us": round(rule.lasting * 1_000_000),
    }


def last_messages(connection: sqlite3.Connection) -> dict[str, int]:
    """Find when each rule told last, in microseconds since 1970-01-01 UTC."""
    return dict(connection.execute(_LAST_OF_RULES).fetchall())
