"""What rules told, kept in the store, so that a message that waits survives the process.

Nobody waits for the disk: messages are delivered whether they can be noted or not, and a thread
notes them as soon as it can. Connections are short, because a damaged store is set aside by whoever
else writes it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from streamclf.core.errors import StoreError
from streamclf.core.text_format import format_count
from streamclf.notify.messages import Message, Occasion
from streamclf.notify.rules import SHORTEST_ROUND_S
from streamclf.sources.backoff import BackOff
from streamclf.store.database import connect, connect_to_read, is_there, reason_of, transaction

State: TypeAlias = Literal["sent", "failed"]

LIMIT_PENDING = 5_000
"""Most messages that wait to be noted, a few MB."""
LIMIT_WAITING = 1_000
"""Most messages that wait for one target."""
KEPT_DAYS = 90
"""Days after which messages that are settled are deleted; the newest of a rule, a source and a
label stays, because the rule's cooldown counts from it."""
SWEEP_EVERY_S = 86_400.0
DAY_US = 86_400_000_000
RETRY_FIRST_S, RETRY_LIMIT_S = 0.5, 30.0
"""First and longest pause, in seconds, between two tries to write."""

_NOTED: Mapping[Occasion, Occasion] = {"lost": "quiet", "back": "quiet"}
"""What the column `occasion` says of these; stores that exist know no other word, and the body has
the right one."""
_INSERT_MESSAGE = """
INSERT OR IGNORE INTO messages (token, rule, occasion, source, label, event, told_us, body)
VALUES (:token, :rule, :on, :source, :label, :event, :told_us, :body)"""
_INSERT_DELIVERY = """
INSERT OR IGNORE INTO deliveries (message_id, target, state)
SELECT id, :target, 'waiting' FROM messages WHERE token = :token"""
_SETTLE = """
UPDATE deliveries SET state = :state, tries = :tries, settled_us = :settled_us, reason = :reason
WHERE target = :target AND message_id = (SELECT id FROM messages WHERE token = :token)"""
_WAITING = """
SELECT messages.token, deliveries.target, messages.told_us, messages.body
FROM deliveries JOIN messages ON messages.id = deliveries.message_id
WHERE deliveries.state = 'waiting' ORDER BY messages.id"""
_HELD = """
SELECT token, body FROM messages
WHERE token = ? OR (rule = ? AND occasion = ? AND event = ?)"""
_SWEEP = """
DELETE FROM messages WHERE told_us < :before
AND NOT EXISTS (
    SELECT 1 FROM deliveries WHERE message_id = messages.id AND state = 'waiting'
)
AND EXISTS (
    SELECT 1 FROM messages AS later WHERE later.rule = messages.rule
    AND later.occasion = messages.occasion
    AND later.source = messages.source AND later.label = messages.label
    AND later.id > messages.id
)"""
_CLIP = """
SELECT clips.folder, clips.path FROM clips
JOIN events ON events.id = clips.event_id JOIN runs ON runs.id = events.run_id
WHERE runs.token = ? AND events.label = ? AND events.onset = ? AND clips.gone_us IS NULL"""


@dataclass
class _Pending:
    """What is to be noted of a message.

    Attributes:
        message: The message; None where it is noted already.
        settled: How deliveries ended, by target: state, tries, when, and why.
    """

    message: Message | None = None
    settled: dict[str, tuple[State, int, int, str | None]] = field(default_factory=dict)

    def add(self, later: _Pending) -> None:
        """Take what has come since."""
        self.message = self.message or later.message
        self.settled |= later.settled


class Outbox:
    """Memory of messages and their deliveries.

    Args:
        store: The store; None remembers nothing.
        report: Called with one line about each failure and recovery, from the thread.
        now_us: Returns microseconds since 1970-01-01 UTC.

    Attributes:
        n_unnoted: Messages that were told and could not be noted.
    """

    def __init__(
        self,
        store: Path | None,
        report: Callable[[str], None],
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.n_unnoted = 0
        self._store, self._report, self._now_us = store, report, now_us
        self._pending: dict[str, _Pending] = {}
        self._writing = False
        self._changed = threading.Condition()
        self._close_by: float | None = None
        self._back_off = BackOff(RETRY_FIRST_S, RETRY_LIMIT_S)
        self._failing = ""
        self._sweep_at = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="streamclf-outbox", daemon=True)

    def start(self) -> None:
        """Begin to write; until then what is to be noted waits."""
        if self._store is not None:
            self._thread.start()

    def restore(self, targets: Collection[str]) -> dict[str, list[Message]]:
        """Take up what waited when the last process ended.

        Args:
            targets: Names of the targets that there are. What waits for others is given up when it
                is a day old.

        Returns:
            The messages of each target, the oldest first, at most `LIMIT_WAITING`; older ones are
            given up. None where the store cannot be read, which is told: they wait on.
        """
        found: dict[str, list[Message]] = {name: [] for name in targets}
        if self._store is None or not is_there(self._store):
            return found
        try:
            rows = self._read(_WAITING)
        except StoreError as error:
            self._report(f"warning: messages that wait are sent after the next start: {error}")
            return found
        for token, target, told_us, body in rows:
            if target not in found:
                if self._now_us() - told_us > DAY_US:
                    self.settle(token, target, "failed", 0, "the settings have no such target")
                continue
            try:
                found[target].append(msgspec.json.decode(body, type=Message))
            except msgspec.MsgspecError:  # of another version, or damaged
                self.settle(token, target, "failed", 0, "this streamclf cannot read it")
        for name, messages in found.items():
            for message in messages[:-LIMIT_WAITING]:
                self.settle(message.token, name, "failed", 0, "too many waited")
            found[name] = messages[-LIMIT_WAITING:]
        return found

    def find_new(self, messages: Iterable[Message]) -> list[Message]:
        """Find the messages that are not in the store yet, neither as they are nor at another time.

        A rule tells one begin and one end of a sound. Their times may differ where the process
        before knew another end of it, or its clock became more exact.

        Returns:
            Them; all where the store cannot be read.
        """
        messages = [*messages]
        if self._store is None or not messages:
            return messages
        try:
            with closing(connect_to_read(self._store)) as connection:
                return [each for each in messages if not _holds(connection, each)]
        except (StoreError, sqlite3.Error):
            return messages

    def find_clip(self, event_id: str) -> Path | None:
        """Find the clip of an event in the store; None where there is none, or it cannot be told.

        Args:
            event_id: Identifier of the event, as in messages.
        """
        record, _, run = event_id.rpartition("@")
        label, _, onset = record.rpartition("-")
        if self._store is None or not (onset.isascii() and onset.isdigit()):
            return None
        try:
            rows = self._read(_CLIP, (run, label, int(onset[:18])))
        except StoreError:
            return None
        path = Path(rows[0][0], rows[0][1]) if rows else None
        return path if path is not None and path.is_file() else None

    def _read(self, sql: str, values: tuple[object, ...] = ()) -> list[Any]:
        assert self._store is not None
        connection = connect_to_read(self._store)
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._store}: cannot be read: {reason_of(error)}") from error
        finally:
            connection.close()

    def add(self, message: Message) -> None:
        """Note a message soon; safe to call from any thread, and never waits for the disk."""
        self._put(message.token, _Pending(message))

    def settle(self, token: str, target: str, state: State, tries: int, reason: str | None) -> None:
        """Note soon how a delivery ended; safe to call from any thread.

        Args:
            token: The message.
            target: Name of the target.
            state: How it ended.
            tries: How often it was tried.
            reason: Why it failed, without secrets.
        """
        self._put(token, _Pending(None, {target: (state, tries, self._now_us(), reason)}))

    def _put(self, token: str, pending: _Pending) -> None:
        if self._store is None:
            return
        with self._changed:
            self._pending.setdefault(token, _Pending()).add(pending)
            while len(self._pending) > LIMIT_PENDING:
                first = next(iter(self._pending))
                self.n_unnoted += self._pending.pop(first).message is not None
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is noted; returns whether it is."""
        with self._changed:
            return (
                self._changed.wait_for(lambda: not (self._pending or self._writing), timeout_s)
                or self._store is None
            )

    def close(self, timeout_s: float) -> None:
        """Note what is left, as far as there is time, and end."""
        if self._store is None or self._thread.ident is None:
            return
        with self._changed:
            self._close_by = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join(timeout_s + RETRY_FIRST_S)
        n_left = sum(each.message is not None for each in self._pending.values())
        if n_left or self.n_unnoted:
            self._report(
                f"warning: {self._store}: {format_count(n_left + self.n_unnoted, 'message')} could "
                "not be noted"
            )

    # The methods below run in the thread.

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._close_by is not None, 3600)
                if self._close_by is not None and not self._pending:
                    return
                batch, self._pending = self._pending, {}
                self._writing = True
            error = self._write(batch)
            with self._changed:
                self._writing = False
                if error:
                    self._keep(batch)
                self._changed.notify_all()
            if error and not self._pause():
                return

    def _pause(self) -> bool:
        """Wait before the next try; returns whether there is time for one."""
        pause_s = self._back_off.next_s()
        with self._changed:
            if self._close_by is None:
                self._changed.wait_for(lambda: self._close_by is not None, pause_s)
                return True
            left_s = self._close_by - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(pause_s, left_s, RETRY_FIRST_S))
        return True

    def _keep(self, batch: dict[str, _Pending]) -> None:
        """Keep what could not be written, before what has come since."""
        since, self._pending = self._pending, batch
        for token, pending in since.items():
            self._put(token, pending)

    def _write(self, batch: dict[str, _Pending]) -> str:
        """Write a batch in one transaction; returns why that failed, or an empty text."""
        assert self._store is not None
        try:
            connection = connect(self._store)
            try:
                with transaction(connection):
                    for token, pending in batch.items():
                        _note(connection, token, pending)
                self._sweep(connection)
            finally:
                connection.close()
        except (StoreError, sqlite3.Error) as error:
            reason = str(error) if isinstance(error, StoreError) else reason_of(error)
            if not is_there(self._store):  # it has been moved, or waits to be made
                reason = f"{self._store}: is not there now"
            if not self._failing:
                self._report(
                    f"warning: messages cannot be noted: {reason}; they are told all the same, and "
                    "noted when they can be"
                )
            self._failing = reason
            return reason
        except Exception as error:  # any error: the thread must go on with what follows
            self.n_unnoted += sum(pending.message is not None for pending in batch.values())
            self._report(
                f"error: messages are not noted, by a mistake in streamclf itself: "
                f"{type(error).__name__}: {error}"
            )
            return ""
        if self._failing:
            self._report("messages are noted again")
        self._failing = ""
        self._back_off.reset()
        return ""

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Delete old messages, once a day."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + SWEEP_EVERY_S
        with transaction(connection):
            connection.execute(_SWEEP, {"before": self._now_us() - KEPT_DAYS * DAY_US})


def _holds(connection: sqlite3.Connection, message: Message) -> bool:
    values = (message.token, message.rule, message.on, message.event_id)
    found = connection.execute(_HELD, values).fetchall()
    if message.on == "ongoing" and not any(token == message.token for token, _ in found):
        return any(_is_near(body, message) for _, body in found)
    return bool(found)


def _is_near(body: str, message: Message) -> bool:
    """Whether the message in a row is about the same round of a sound that goes on."""
    try:
        noted = msgspec.json.decode(body, type=Message)
    except msgspec.MsgspecError:  # of another version, or damaged
        return False
    apart_us = abs((noted.moment_us or 0) - (message.moment_us or 0))
    return apart_us < SHORTEST_ROUND_S * 1e6 / 2


def _note(connection: sqlite3.Connection, token: str, pending: _Pending) -> None:
    message = pending.message
    if message is not None:
        values = {
            "token": token, "rule": message.rule, "on": _NOTED.get(message.on, message.on),
            "source": message.source,
            "label": message.label, "event": message.event_id, "told_us": message.told_us,
            "body": msgspec.json.encode(message).decode(),
        }  # fmt: skip
        connection.execute(_INSERT_MESSAGE, values)
        for target in message.targets:
            connection.execute(_INSERT_DELIVERY, {"token": token, "target": target})
    for target, (state, tries, settled_us, reason) in pending.settled.items():
        values = {
            "token": token, "target": target, "state": state, "tries": tries,
            "settled_us": settled_us, "reason": reason,
        }  # fmt: skip
        connection.execute(_SETTLE, values)
