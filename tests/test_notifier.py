"""From the records of streams to messages: nothing waits for a target, losses are told."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import toys
from live_runs import PATIENCE_S, Words
from serving import rows
from test_delivery import Told
from webhooks import make_message

from streamclf.core.errors import UsageError
from streamclf.core.records import (
    Average,
    EventBegan,
    EventOngoing,
    Gap,
    Scores,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.stats import Statistics
from streamclf.notify import notifier as notifier_module
from streamclf.notify.happenings import AudioHeard, SoundHappened
from streamclf.notify.notifier import LIMIT_HAPPENINGS, Notifier
from streamclf.notify.options import NotifyPlan
from streamclf.notify.outbox import LIMIT_WAITING
from streamclf.notify.rules import Rule
from streamclf.notify.sink import HappeningSink
from streamclf.notify.targets.options import TargetOptions
from streamclf.store.store import Store

RATE = toys.RATE
BEGUN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
BEGUN_US = round(BEGUN.timestamp()) * 1_000_000
STREAM = StreamStarted(
    "kitchen", RATE, toys.LABELS, "multi-label", started=BEGUN, live=True, run="run-1",
    display_names={"high": "High tone"}, broader={"high": ["middle"]},
)  # fmt: skip


def average(position: int, n_samples: int = RATE) -> Average:
    scores = Scores(position, n_samples, np.zeros(len(toys.LABELS), np.float32))
    return Average(scores, scores.values)


def began(label: str, second: float) -> EventBegan:
    return EventBegan(label, round(second * RATE), 0.7, round((second + 1) * RATE))


def ended(label: str, second: float, offset: float) -> SoundEvent:
    return SoundEvent(label, round(second * RATE), round(offset * RATE), 0.9)


def lives(number: int) -> list[EventBegan | SoundEvent]:
    """Begins and ends of so many events, one after the other."""
    seconds = range(number)
    return [
        result
        for second in seconds
        for result in (began("high", second), ended("high", second, second + 0.5))
    ]


class TestSink:
    """What streams tell."""

    def setup_method(self) -> None:
        self.told: list = []
        self.sink = HappeningSink("kitchen", self.told.append, lambda: 5)
        self.sink.begin(STREAM)

    def test_an_event_has_one_id_and_one_onset_from_its_begin_to_its_end(self):
        self.sink.write(began("high", 2))
        self.sink.write(EventOngoing("high", 2 * RATE, 0.8, 4 * RATE))
        self.sink.write(ended("high", 2, 5.5))
        begin, ongoing, end = self.told
        assert begin == SoundHappened(
            "begin", f"high-{2 * RATE}@run-1", "kitchen", "high", "High tone", 0.7,
            BEGUN_US + 2_000_000, 5,
        )  # fmt: skip
        assert ongoing == replace(begin, phase="ongoing", score=0.8)
        assert end.asked_by(["Low", "Middle"]) == "middle"  # which is broader
        assert end == replace(begin, phase="end", score=0.9, offset_us=BEGUN_US + 5_500_000)

    def test_audio_is_heard_once_it_is_scored_and_not_in_gaps(self):
        for position in range(0, 3 * RATE, RATE // 4):
            self.sink.write(average(position, RATE // 4))
        self.sink.write(Gap(3 * RATE, RATE, RATE, "overflow"))
        self.sink.write(average(4 * RATE, RATE // 2))
        self.sink.write(began("high", 4))
        assert [(each.from_us - BEGUN_US, each.until_us - BEGUN_US) for each in self.told[:-1]] == [
            (0, 1_000_000), (1_000_000, 2_000_000), (2_000_000, 3_000_000), (4_000_000, 4_500_000)
        ]  # fmt: skip
        assert isinstance(self.told[-1], SoundHappened)

    def test_an_end_without_a_begin_gets_one(self):
        self.sink.write(ended("high", 2, 3))
        assert [each.phase for each in self.told] == ["begin", "end"]

    @pytest.mark.parametrize("way", ["begin", "end", "close"])
    def test_a_run_that_fails_ends_its_events_where_the_audio_ended(self, way):
        self.sink.write(average(0, 4 * RATE))
        self.sink.write(began("high", 2))
        {"begin": lambda: self.sink.begin(STREAM), "end": lambda: self.sink.end(Statistics(RATE)),
         "close": self.sink.close}[way]()  # fmt: skip
        assert self.told[-1].phase == "end"
        assert self.told[-1].offset_us == BEGUN_US + 4_000_000
        self.sink.close()
        assert sum(isinstance(each, SoundHappened) for each in self.told) == 2

    def test_a_clock_that_is_set_back_stops_no_counting(self):
        class Clock:
            behind = timedelta()

            def moment(self, position: int) -> datetime:
                return BEGUN - self.behind + timedelta(seconds=position / RATE)

        clock = Clock()
        self.sink.begin(replace(STREAM, clock=clock))
        self.sink.write(average(0, RATE))
        clock.behind = timedelta(hours=1)
        self.sink.write(average(RATE, RATE))
        self.sink.write(average(2 * RATE, RATE))
        assert all(isinstance(each, AudioHeard) for each in self.told)
        assert [each.until_us - each.from_us for each in self.told] == [1_000_000] * 3


class Rig:
    """A notifier with targets of a test."""

    def __init__(self, rules, store=None, **targets: Told) -> None:
        self.words = Words()
        self.targets = targets
        plan = NotifyPlan(
            tuple(rules), tuple(TargetOptions(name, webhook="http://h/") for name in targets)
        )
        self.notifier = Notifier(
            plan, store, report=self.words, open_target=lambda options: self.targets[options.name]
        )

    def until(self, condition) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.005)

    def hear(self, *results) -> None:
        sink = self.notifier.sink("kitchen")
        sink.begin(STREAM)
        for result in results:
            sink.write(result)
        sink.close()


def plan_of(rules, *names: str) -> NotifyPlan:
    return NotifyPlan(
        tuple(rules), tuple(TargetOptions(name, webhook="http://h/") for name in names)
    )


BEGINS, ENDS = Rule("begins", to=("a",)), Rule("ends", on="end")


def test_rules_reach_the_targets_that_they_name_and_else_all():
    a, b = Told(), Told()
    rig = Rig([BEGINS, ENDS], a=a, b=b)
    rig.notifier.start()
    rig.hear(began("high", 2), ended("high", 2, 5))
    rig.until(lambda: len(a.sent) == 2 and len(b.sent) == 1)
    rig.notifier.close()
    assert a.sent[1] == b.sent[0]
    assert rig.words.told[0].startswith("rule begins: kitchen: High tone since ")
    assert rig.words.told[0].endswith(" (to a)")
    assert rig.words.told[1].endswith(" (to a, b)")


def test_a_target_that_hangs_holds_up_neither_audio_nor_others():
    go = threading.Event()
    a, b = Told(*[go] * 5), Told()
    rig = Rig([Rule("begins")], a=a, b=b)
    rig.notifier.start()
    began_at = time.monotonic()
    rig.hear(*lives(5))
    assert time.monotonic() - began_at < 5
    rig.until(lambda: len(b.sent) == 5)
    assert a.sent == []
    began_at = time.monotonic()
    rig.notifier.close()
    assert time.monotonic() - began_at < 10
    assert "5 messages wait for the next start" in rig.words.told
    go.set()


def test_ten_thousand_happenings_with_a_slow_target_stay_within_bounds():
    go = threading.Event()
    slow = Told(go)
    rig = Rig([Rule("begins"), ENDS], slow=slow)
    rig.notifier.start()
    sink = rig.notifier.sink("kitchen")
    sink.begin(STREAM)
    for result in lives(5000):
        sink.write(result)
    sink.close()

    def done() -> bool:
        rules = rig.notifier.describe()["rules"]
        return rules["n_told"] + rules["n_lost"] == 10_000

    rig.until(done)
    n_told = rig.notifier.describe()["rules"]["n_told"]

    def target():
        return rig.notifier.describe()["targets"][0]

    # A message is counted as told just before its target has it.
    rig.until(lambda: target()["n_lost"] + target()["waiting"] == n_told)
    assert target()["waiting"] <= LIMIT_WAITING + 1
    assert target()["n_lost"] > 0
    go.set()
    rig.until(lambda: rig.notifier.describe()["targets"][0]["waiting"] == 0)
    rig.notifier.close()
    assert any("messages waited; the oldest" in line for line in rig.words.told)


def test_happenings_that_the_end_leaves_out_are_counted_and_told(monkeypatch):
    monkeypatch.setattr(notifier_module, "CLOSE_S", 0.01)
    asked, go_on = threading.Event(), threading.Event()
    rig = Rig([BEGINS], a=Told())
    feed = rig.notifier._feed

    def feed_slowly(happening):
        asked.set()
        go_on.wait(PATIENCE_S)
        return feed(happening)

    monkeypatch.setattr(rig.notifier, "_feed", feed_slowly)
    rig.notifier.start()
    rig.hear(*lives(10))
    assert asked.wait(PATIENCE_S)
    rig.notifier.close()
    go_on.set()
    assert "the end came before they could follow" in rig.words.until("warning: rules")
    assert rig.notifier.describe()["rules"]["n_lost"] > 0


def test_happenings_beyond_the_limit_are_counted_and_told(monkeypatch):
    monkeypatch.setattr(notifier_module, "LIMIT_HAPPENINGS", 10)
    assert LIMIT_HAPPENINGS == 10_000
    rig = Rig([BEGINS], a=Told())
    rig.hear(*lives(10))  # nobody takes them yet
    rig.notifier.start()
    rig.words.until("more happened than they could follow")
    described = rig.notifier.describe()["rules"]
    assert described["n_lost"] > 0
    rig.notifier.close()


def test_rules_that_fail_are_told_and_the_others_go_on(monkeypatch):
    rig = Rig([BEGINS], a=Told())
    feed, failed = rig.notifier._book.feed, []

    def fail_once(happening):
        if not failed:
            failed.append(happening)
            raise ZeroDivisionError("oops")
        return feed(happening)

    monkeypatch.setattr(rig.notifier._book, "feed", fail_once)
    rig.notifier.start()
    rig.hear(*lives(2))
    rig.until(lambda: rig.targets["a"].sent)
    rig.notifier.close()
    assert any("a mistake in streamclf itself: ZeroDivisionError: oops" in line
               for line in rig.words.told)  # fmt: skip


def test_new_settings_keep_queues_of_targets_and_begin_and_end_others():
    hanging = threading.Event()
    a, b = Told(hanging), Told()
    rig = Rig([Rule("begins")], a=a, b=b)
    rig.notifier.start()
    rig.hear(began("high", 1), began("low", 2))
    assert a.tried.acquire(timeout=PATIENCE_S)
    rig.until(lambda: len(b.sent) == 2)
    anew, c = Told(), Told()
    rig.targets = {"a": anew, "c": c}
    rig.notifier.take_over(rig.notifier.prepare(plan_of([Rule("all", on="end")], "a", "c")))
    hanging.set()
    rig.until(lambda: len(anew.sent) == 1)  # what waited for a
    assert (len(a.sent), b.closed) == (1, True)
    rig.hear(ended("middle", 5, 6))
    rig.until(lambda: len(anew.sent) == 2 and len(c.sent) == 1)
    assert [each["name"] for each in rig.notifier.describe()["targets"]] == ["a", "c"]
    rig.notifier.close()


def test_new_settings_with_a_mistake_change_nothing():
    rig = Rig([BEGINS], a=Told())
    rig.notifier.start()

    def refuse(options: TargetOptions) -> Told:
        if options.name == "b":
            raise UsageError("webhook-env B: this environment variable is not set: set it")
        return opened

    opened = Told()
    rig.notifier._open_target = refuse
    with pytest.raises(UsageError, match="webhook-env B"):
        rig.notifier.prepare(plan_of([BEGINS], "a", "b"))
    assert opened.closed
    rig.hear(began("high", 1))
    rig.until(lambda: len(rig.targets["a"].sent) == 1)
    rig.notifier.close()


def test_the_clip_of_an_event_goes_along_where_it_is_taken(tmp_path):
    a, b = Told(takes_clips=True), Told()
    rig = Rig([Rule("begins"), ENDS], a=a, b=b)
    rig.notifier.expect_clips("kitchen", True)
    rig.notifier.start()
    clip = tmp_path / "clip.flac"
    rig.hear(began("high", 1), ended("high", 1, 2))
    rig.until(lambda: len(b.sent) == 2)  # which waits for no clip
    rig.notifier.note_clip(f"high-{RATE}@run-1", clip)
    rig.until(lambda: len(a.sent) == 2)
    rig.notifier.close()
    assert (a.clips, b.clips) == ([None, clip], [None, None])


def test_a_clip_that_does_not_come_delays_a_message_a_little(monkeypatch):
    monkeypatch.setattr(notifier_module, "CLIP_S", 0.1)
    a = Told(takes_clips=True)
    rig = Rig([ENDS], a=a)
    rig.notifier.expect_clips("kitchen", True)
    rig.notifier.start()
    rig.hear(began("high", 1), ended("high", 1, 2))
    rig.until(lambda: a.clips == [None])
    rig.notifier.close()


def test_what_waits_is_delivered_by_the_next_process_in_order(tmp_path):
    path = tmp_path / "heard.db"
    Store(path, report=lambda line: None, live=True).close()
    go = threading.Event()
    rig = Rig([Rule("begins"), ENDS], store=path, a=Told(go))
    rig.notifier.start()
    rig.hear(began("high", 1), ended("high", 1, 2), began("low", 3))
    rig.until(lambda: rig.notifier.describe()["targets"][0]["waiting"] == 4)
    rig.notifier.close()
    waiting = rows(path, "SELECT token FROM messages ORDER BY id")
    assert len(waiting) == 4  # the run ended in the middle of a sound, which ended with it
    again = Rig([Rule("begins"), ENDS], store=path, a=Told())
    again.notifier.start()
    again.until(lambda: len(again.targets["a"].sent) == 4)
    again.notifier.close()
    assert [(token,) for token in again.targets["a"].sent] == waiting
    assert rows(path, "SELECT DISTINCT state FROM deliveries") == [("sent",)]
    go.set()


def test_what_is_tried_by_hand_goes_to_its_targets_alone():
    a, b = Told(), Told()
    rig = Rig([], a=a, b=b)
    rig.notifier.start()
    rig.notifier.tell(make_message(1, on="test", targets=("b", "none")))
    rig.until(lambda: b.sent == ["token-1"])
    rig.notifier.close()
    assert a.sent == []


def test_names_that_no_json_can_hold_are_escaped(tmp_path):
    path = tmp_path / "heard.db"
    Store(path, report=lambda line: None, live=True).close()
    a = Told()
    rig = Rig([], store=path, a=a)
    rig.notifier.start()
    rig.notifier.tell(make_message(1, source="yard\udcff", text="T\u00fcr \udcff", targets=("a",)))
    rig.until(lambda: a.sent)
    rig.notifier.close()
    assert rows(path, "SELECT source FROM messages") == [("yard\\udcff",)]
    assert rows(path, "SELECT state FROM deliveries") == [("sent",)]


def test_a_target_that_cannot_be_opened_leaves_none_open():
    opened = Told()

    def open_one(options: TargetOptions) -> Told:
        if options.name == "b":
            raise UsageError("no")
        return opened

    with pytest.raises(UsageError):
        Notifier(plan_of([], "a", "b"), None, report=Words(), open_target=open_one)
    assert opened.closed
