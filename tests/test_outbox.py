"""Memory of messages: what waits survives, and a disk that fails holds nothing up."""

import sqlite3
import time

import pytest
from live_runs import PATIENCE_S, Words
from serving import rows
from webhooks import make_message

from streamclf.notify import outbox as outbox_module
from streamclf.notify.outbox import DAY_US, KEPT_DAYS, LIMIT_WAITING, Outbox
from streamclf.store.database import connect
from streamclf.store.store import Store

NOW_US = 1_700_000_000_500_000
STATES = (
    "SELECT token, target, state, tries, reason FROM deliveries "
    "JOIN messages ON messages.id = message_id ORDER BY message_id, target"
)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "heard.db"
    Store(path, report=lambda line: None, live=True).close()
    return path


@pytest.fixture
def words():
    return Words()


def begin(store, words) -> Outbox:
    outbox = Outbox(store, words, lambda: NOW_US)
    outbox.start()
    return outbox


def test_what_waits_is_taken_up_again_in_order(store, words):
    outbox = begin(store, words)
    messages = [make_message(n, targets=("hook", "phone"), told_us=NOW_US) for n in (3, 1, 2)]
    for message in messages:
        outbox.add(message)
    outbox.settle("token-1", "hook", "sent", 2, None)
    outbox.settle("token-2", "phone", "failed", 5, "it answers 400")
    assert outbox.flush(PATIENCE_S)
    outbox.close(PATIENCE_S)
    assert rows(store, STATES)[2:] == [
        ("token-1", "hook", "sent", 2, None), ("token-1", "phone", "waiting", 0, None),
        ("token-2", "hook", "waiting", 0, None),
        ("token-2", "phone", "failed", 5, "it answers 400"),
    ]  # fmt: skip
    again = Outbox(store, words, lambda: NOW_US)
    found = again.restore(["phone", "hook", "new"])
    assert found == {
        "hook": [messages[0], messages[2]], "phone": [messages[0], messages[1]], "new": []
    }  # fmt: skip
    new = make_message(9)
    assert again.find_new([messages[0], new, make_message(1, token="another")]) == [new]
    assert again.find_new([make_message(1, token="another", on="end")]) != []
    assert words.told == []


def test_what_waits_for_nobody_or_in_too_great_number_is_given_up(store, words):
    outbox = begin(store, words)
    outbox.add(make_message(1, targets=("gone",), told_us=NOW_US - DAY_US - 1))
    outbox.add(make_message(2, targets=("gone",), told_us=NOW_US - DAY_US + 1))
    for number in range(3, LIMIT_WAITING + 5):
        outbox.add(make_message(number, told_us=NOW_US))
    assert outbox.flush(PATIENCE_S)
    outbox.close(PATIENCE_S)
    again = begin(store, words)
    found = again.restore(["hook"])["hook"]
    assert [found[0].token, len(found)] == ["token-5", LIMIT_WAITING]
    assert again.flush(PATIENCE_S)
    again.close(PATIENCE_S)
    assert [row for row in rows(store, STATES) if row[2] == "failed"] == [
        ("token-1", "gone", "failed", 0, "the settings have no such target"),
        ("token-3", "hook", "failed", 0, "too many waited"),
        ("token-4", "hook", "failed", 0, "too many waited"),
    ]


def test_a_message_that_cannot_be_read_is_given_up(store, words):
    outbox = begin(store, words)
    outbox.add(make_message(1))
    assert outbox.flush(PATIENCE_S)
    connection = sqlite3.connect(store)
    connection.execute("UPDATE messages SET body = '{}'")
    connection.commit()
    connection.close()
    assert outbox.restore(["hook"]) == {"hook": []}
    assert outbox.flush(PATIENCE_S)
    outbox.close(PATIENCE_S)
    assert rows(store, STATES)[0][2:] == ("failed", 0, "this streamclf cannot read it")


def test_a_store_that_cannot_be_written_is_told_once_and_written_later(store, words, monkeypatch):
    monkeypatch.setattr(outbox_module, "RETRY_LIMIT_S", 0.05)
    monkeypatch.setattr(outbox_module, "RETRY_FIRST_S", 0.05)
    away = store.with_name("away.db")
    store.rename(away)
    outbox = begin(store, words)
    assert outbox.restore(["hook"]) == {"hook": []}
    outbox.add(make_message(1))
    words.until(f"messages cannot be noted: {store}: is not there now; they are told all the same")
    outbox.add(make_message(2))
    outbox.settle("token-1", "hook", "sent", 1, None)
    away.rename(store)
    words.until("messages are noted again")
    assert outbox.flush(PATIENCE_S)
    outbox.close(PATIENCE_S)
    assert [row[:3] for row in rows(store, STATES)] == [
        ("token-1", "hook", "sent"), ("token-2", "hook", "waiting")
    ]  # fmt: skip
    assert len(words.told) == 2


def test_what_waits_in_a_store_that_cannot_be_read_waits_on(store, words):
    store.write_bytes(bytes(9000))
    assert Outbox(store, words, lambda: NOW_US).restore(["hook"]) == {"hook": []}
    assert "messages that wait are sent after the next start: " in words.told[0]
    assert "is damaged" in words.told[0]


def test_memory_is_bounded_while_nothing_can_be_written(store, words, monkeypatch):
    monkeypatch.setattr(outbox_module, "LIMIT_PENDING", 100)
    store.unlink()
    outbox = begin(store, words)
    for number in range(1000):
        outbox.add(make_message(number))
        outbox.settle(f"token-{number}", "hook", "sent", 1, None)
    began = time.monotonic()
    outbox.close(0.2)
    assert time.monotonic() - began < PATIENCE_S
    assert outbox.n_unnoted >= 800
    assert "1000 messages could not be noted" in words.told[-1].replace(",", "")
    assert len(words.told) <= 2


def test_a_locked_store_holds_up_nobody(store, words):
    other = connect(store)
    other.execute("BEGIN IMMEDIATE")
    outbox = begin(store, words)
    began = time.monotonic()
    for number in range(100):
        outbox.add(make_message(number))
    assert time.monotonic() - began < 2  # SQLite waits 5 s for the lock
    other.execute("ROLLBACK")
    other.close()
    assert outbox.flush(PATIENCE_S)
    outbox.close(PATIENCE_S)
    assert len(rows(store, STATES)) == 100


def test_old_messages_go_but_not_the_newest_of_a_rule_nor_those_that_wait(store, words):
    old = NOW_US - KEPT_DAYS * DAY_US - 1
    outbox = begin(store, words)
    for number, changes in enumerate(
        [{}, {}, {"source": "yard"}, {"on": "end"}, {"targets": ("slow",)}, {}]
    ):
        outbox.add(make_message(number, told_us=old, **changes))
        outbox.settle(f"token-{number}", "hook", "sent", 1, None)
    assert outbox.flush(PATIENCE_S)
    outbox.close(PATIENCE_S)
    again = begin(store, words)
    again.add(make_message(6, told_us=NOW_US, on="quiet"))
    assert again.flush(PATIENCE_S)
    again.close(PATIENCE_S)
    left = [row[0] for row in rows(store, "SELECT token FROM messages ORDER BY id")]
    assert left == [f"token-{n}" for n in (2, 3, 4, 5, 6)]


def test_a_mistake_ends_no_thread(store, words, monkeypatch):
    outbox = begin(store, words)
    note = outbox_module._note
    monkeypatch.setattr(outbox_module, "_note", lambda *given: 1 / 0)
    outbox.add(make_message(1))
    words.until("by a mistake in streamclf itself: ZeroDivisionError")
    monkeypatch.setattr(outbox_module, "_note", note)
    outbox.add(make_message(2))
    assert outbox.flush(PATIENCE_S)
    outbox.close(PATIENCE_S)
    assert [row[0] for row in rows(store, STATES)] == ["token-2"]
    assert outbox.n_unnoted == 1


def test_without_a_store_nothing_is_remembered(words):
    outbox = Outbox(None, words)
    outbox.start()
    outbox.add(make_message(1))
    assert outbox.restore(["hook"]) == {"hook": []}
    assert outbox.find_clip("a-1@run") is None
    outbox.close(1)
    assert words.told == []
