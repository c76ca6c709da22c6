"""Rules about sources that are away: told once, told when they are back, and after a restart."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

from stores import make_store
from test_delivery import Told
from test_notifier import Rig
from test_rulebook import note

from streamclf.notify.lost_sources import STEADY_S, LostSources, Presence
from streamclf.notify.notifier import Notifier
from streamclf.notify.rule_words import describe_rule
from streamclf.notify.rules import Rule
from streamclf.notify.store_history import StoreHistory

NOON_US = round(datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()) * 1_000_000
AWAY = Rule("away", on="lost", lasting=60.0)


class Watch:
    """Rules that look at sources at moments which a test tells."""

    def __init__(self, *rules: Rule, history: StoreHistory | None = None) -> None:
        self.now_s = 1000.0
        self.behind_us = 0
        self.lost = LostSources(rules, history, lambda: self.now_s)

    def after(self, seconds: float, **states: str | Presence) -> list[str]:
        """Let so much time pass, and return what is told of sources in these states."""
        return [message.text for message in self.messages(seconds, **states)]

    def messages(self, seconds: float, **states: str | Presence):
        self.now_s += seconds
        now_us = NOON_US + round((self.now_s - 1000) * 1e6) - self.behind_us
        presences = {
            name: state if isinstance(state, Presence)
            else Presence(state, signal_at_s=self.now_s if state == "heard" else None)
            for name, state in states.items()
        }  # fmt: skip
        return self.lost.look(presences, now_us, 0)


def test_a_lost_source_is_told_once_and_again_when_it_is_back():
    watch = Watch(AWAY)
    assert watch.after(0, hall="heard", gate="heard") == []
    assert watch.after(10, hall="lost", gate="heard") == []
    assert watch.after(59, hall="lost", gate="paused") == []
    assert watch.after(1, hall="failed", gate="heard") == [
        "hall: lost since 12:00:10, nothing is heard of it"
    ]
    assert watch.after(3600, hall="lost", gate="heard") == []
    assert watch.after(10, hall="heard", gate="heard") == []
    assert watch.after(STEADY_S, hall="heard", gate="heard") == [
        "hall: heard again after 1 h 01 min"
    ]
    assert watch.after(100, hall="heard", gate="heard") == []


def test_a_source_without_a_signal_is_told_since_it_fell_silent():
    watch = Watch(AWAY, Rule("own", on="lost", lasting=900.0, message="{source} since {time}"))
    assert watch.after(0, hall="heard") == []
    dead = Presence("silent", still_since_s=1000.0, signal_at_s=1000.0)
    assert watch.after(300, hall=dead) == [
        "hall: no signal since 12:00:00, is it muted or unplugged?"
    ]
    assert watch.after(599, hall=dead) == []
    assert watch.after(1, hall=dead) == ["hall since 12:00:00"]
    assert watch.after(100, hall="heard") == []
    assert watch.after(STEADY_S, hall="heard") == ["hall: heard again after 16 min 40 s"] * 2


def test_a_source_that_comes_back_without_a_signal_is_still_away():
    watch = Watch(AWAY)
    watch.after(0, hall="lost")
    assert len(watch.after(60, hall="lost")) == 1
    found = Presence("heard", still_since_s=1061.0)
    assert watch.after(1, hall=found) == []
    assert watch.after(250, hall=found) == []
    assert watch.after(50, hall=Presence("silent", still_since_s=1061.0)) == []
    assert watch.after(1, hall="heard") == []
    assert watch.after(STEADY_S, hall=Presence("heard", 1363.0, 1363.0)) == [
        "hall: heard again after 6 min 02 s"
    ]


def test_one_that_comes_for_a_moment_is_still_away():
    watch = Watch(AWAY)
    states = ["heard" if look % 3 else "lost" for look in range(20)]
    told = [text for state in states for text in watch.after(5, gate=state)]
    assert told == ["gate: lost since 12:00:05, nothing is heard of it"]


def test_hours_cooldown_and_names_are_kept_to_and_a_clock_set_back_changes_no_length():
    night = Rule("n", on="lost", lasting=60.0, hours="13:00-14:00", sources=("hall",))
    watch = Watch(night, Rule("c", on="lost", lasting=1.0, cooldown=600.0, message="{source}!"))
    assert watch.after(0, hall="lost", gate="lost") == []
    assert watch.after(2, hall="lost", gate="heard") == ["hall!"]
    assert watch.after(3600, hall="lost", gate="heard") == [
        "hall: lost since 12:00:00, nothing is heard of it"
    ]
    watch.behind_us = 3_600_000_000
    watch.after(1, hall="heard")
    assert len(watch.after(STEADY_S, hall="heard")) == 2
    watch.behind_us = 0
    assert watch.after(1, hall="lost") == []
    assert watch.after(1, hall="lost") == ["hall!"]
    watch.after(1, hall="heard")
    watch.after(STEADY_S, hall="heard")
    watch.after(1, hall="lost")
    assert watch.after(50, hall="lost") == []  # the cooldown
    watch.lost.change([])
    assert not watch.lost.watches
    assert watch.after(600, hall="lost") == []


def test_after_a_restart_what_was_told_is_not_told_again_but_its_return_is(tmp_path):
    store = make_store(tmp_path / "s.db", [])
    before = Watch(AWAY)
    before.after(0, hall="lost")
    (lost,) = before.messages(60, hall="lost")
    note(store, [lost])
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    after = Watch(AWAY, history=StoreHistory(store))
    assert after.after(300, hall="lost") == []
    after.after(300, hall="heard")
    (back,) = after.messages(STEADY_S, hall="heard")
    assert (back.on, back.text) == ("back", "hall: heard again after 10 min 00 s")
    note(store, [back])
    assert StoreHistory(store).lost_since(AWAY, "hall") is None


def test_the_notifier_looks_by_itself():
    bell = Told()
    rig = Rig([Rule("away", on="lost", lasting=0.001)], bell=bell)
    rig.notifier = Notifier(
        rig.notifier._plan, None, report=rig.words, presences=lambda: {"hall": Presence("lost")},
        open_target=lambda options: bell,
    )  # fmt: skip
    rig.notifier.start()
    rig.until(lambda: bell.sent)
    rig.notifier.close()
    assert rig.words.told[0].startswith("rule away: hall: lost since ")


def test_such_a_rule_is_told_in_plain_words():
    assert describe_rule(Rule("a", on="lost", lasting=600.0, cooldown=3600.0), ["phone"]) == (
        "when a source has been lost or without a signal for 10 minutes, and when it is heard "
        "again; tells phone; at most every 1 hour for each source"
    )
