"""Delivery to one target: order, pauses, age, losses, and what is told of them."""

import re
import threading
import time

import pytest
from live_runs import PATIENCE_S, Words
from webhooks import Webhook, answer, make_message

from streamclf.notify import delivery as delivery_module
from streamclf.notify.delivery import Delivery
from streamclf.notify.messages import Message
from streamclf.notify.outbox import LIMIT_WAITING
from streamclf.notify.targets.base import DeliveryError, Target
from streamclf.notify.targets.factory import open_target
from streamclf.notify.targets.options import TargetOptions


class Told(Target):
    """A target that does what a test says, message by message, and takes all that follow."""

    def __init__(self, *ways: object, takes_clips: bool = False) -> None:
        self.name = self.description = "told"
        self.takes_clips = takes_clips
        self.ways = list(ways)
        self.sent: list[str] = []
        self.clips: list[object] = []
        self.tried = threading.Semaphore(0)
        self.closed = False

    def send(self, message: Message, clip: object) -> None:
        way = self.ways.pop(0) if self.ways else None
        self.tried.release()
        if isinstance(way, threading.Event):
            assert way.wait(PATIENCE_S)
        elif isinstance(way, Exception):
            raise way
        self.sent.append(message.token)
        self.clips.append(clip)

    def close(self) -> None:
        self.closed = True


class Rig:
    """A delivery, and what it tells."""

    def __init__(self, target: Target, **options: object) -> None:
        given = {"webhook": "http://127.0.0.1/", **options}
        self.words = Words()
        self.settled: list[tuple] = []
        self.delivery = Delivery(
            TargetOptions("hook", **given), target,
            settle=lambda *row: self.settled.append(row), report=self.words,
        )  # fmt: skip
        self.delivery.start()

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.delivery.put(make_message(number))

    def until(self, condition) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.005)

    def end(self) -> None:
        self.delivery.stop()
        self.delivery.join(PATIENCE_S)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(
        delivery_module, "PAUSES_S", dict.fromkeys(("webhook", "apprise", "exec"), (0.02, 0.05))
    )


def test_messages_arrive_in_order_though_tries_fail():
    target = Told(None, DeliveryError("no"), DeliveryError("no"), None, DeliveryError("no"))
    rig = Rig(target)
    rig.put(1, 2, 3, 4)
    rig.until(lambda: len(rig.settled) == 4)
    rig.end()
    assert target.sent == [f"token-{n}" for n in (1, 2, 3, 4)]
    assert rig.settled == [
        ("token-1", "hook", "sent", 1, None), ("token-2", "hook", "sent", 3, None),
        ("token-3", "hook", "sent", 2, None), ("token-4", "hook", "sent", 1, None),
    ]  # fmt: skip
    assert rig.words.told == [
        "warning: target hook: no; it is tried again for up to 24 h 00 min",
        "target hook: delivers again, 2 messages wait",
        "warning: target hook: no; it is tried again for up to 24 h 00 min",
        "target hook: delivers again, 1 message wait",
    ]
    assert target.closed


def test_one_that_no_try_can_deliver_holds_up_no_other():
    target = Told(DeliveryError("it answers 400 Bad Request", lasting=True), ValueError("oops"))
    rig = Rig(target)
    rig.put(1, 2, 3)
    rig.until(lambda: len(rig.settled) == 3)
    assert [row[2] for row in rig.settled] == ["failed", "failed", "sent"]
    assert "it answers 400 Bad Request; the message of rule smoke is given up" in rig.words.told[0]
    assert "a mistake in streamclf itself: ValueError: oops" in rig.words.told[1]
    described = rig.delivery.describe()
    assert (described["n_sent"], described["n_failed"], described["state"]) == (1, 2, "fine")
    assert described["last_sent"]
    rig.end()


def test_the_same_trouble_is_told_once():
    target = Told(*[DeliveryError("no")] * 30)
    rig = Rig(target)
    rig.put(1)
    rig.until(lambda: rig.settled)
    rig.end()
    assert rig.settled == [("token-1", "hook", "sent", 31, None)]
    assert len(rig.words.told) == 2


def test_what_is_too_old_is_given_up_with_a_line():
    target = Told(*[DeliveryError("no")] * 1000)
    rig = Rig(target, max_age=0.2)
    rig.put(1, 2)
    # In one line, or where the second came a moment later, in two.
    line = re.compile(r"(\d) messages? given up after 0\.20 s: no")
    rig.until(lambda: sum(int(n) for n in line.findall(" ".join(rig.words.told))) == 2)
    assert [row[2] for row in rig.settled] == ["failed", "failed"]
    target.ways.clear()
    rig.delivery.put(make_message(3), age_s=0.2)  # one of before a restart
    rig.delivery.put(make_message(4))
    rig.until(lambda: len(rig.settled) == 4)
    assert target.sent == ["token-4"]
    rig.end()


def test_a_command_acts_soon_or_never_and_others_wait_for_a_day():
    assert TargetOptions("a", exec=("x",)).max_age_s == 60
    assert TargetOptions("a", webhook="http://h").max_age_s == 86_400
    assert TargetOptions("a", exec=("x",), max_age=5.0).max_age_s == 5


def test_a_pause_that_is_asked_for_is_kept():
    target = Told(DeliveryError("busy", after_s=0.3))
    rig = Rig(target)
    began = time.monotonic()
    rig.put(1)
    rig.until(lambda: rig.settled)
    assert time.monotonic() - began >= 0.3
    rig.end()


def test_a_queue_that_is_full_loses_the_oldest_and_says_so():
    go = threading.Event()
    target = Told(go)
    rig = Rig(target)
    rig.put(0)
    assert target.tried.acquire(timeout=PATIENCE_S)
    rig.put(*range(1, LIMIT_WAITING + 51))
    described = rig.delivery.describe()
    assert (described["waiting"], described["n_lost"]) == (LIMIT_WAITING + 1, 50)
    go.set()
    rig.until(lambda: len(target.sent) == LIMIT_WAITING + 1)
    rig.end()
    assert target.sent == [f"token-{n}" for n in (0, *range(51, LIMIT_WAITING + 51))]
    lost = [row for row in rig.settled if row[2] == "failed"]
    assert [row[0] for row in lost] == [f"token-{n}" for n in range(1, 51)]
    assert any("more than 1000 messages waited; the oldest 50 are lost" in each
               for each in rig.words.told)  # fmt: skip


def test_new_settings_keep_what_waits_and_are_tried_at_once():
    first, second = Told(*[DeliveryError("no", after_s=3600.0)] * 9), Told()
    rig = Rig(first)
    rig.put(1, 2)
    assert first.tried.acquire(timeout=PATIENCE_S)
    rig.until(lambda: rig.delivery.describe()["trouble"])
    rig.delivery.replace(TargetOptions("hook", webhook="http://127.0.0.1/"), second)
    rig.until(lambda: len(rig.settled) == 2)
    assert (second.sent, first.closed) == (["token-1", "token-2"], True)
    rig.end()


def test_new_settings_do_not_disturb_a_try_that_goes_on():
    go = threading.Event()
    first, second = Told(go), Told()
    rig = Rig(first)
    rig.put(1, 2)
    assert first.tried.acquire(timeout=PATIENCE_S)
    rig.delivery.replace(TargetOptions("hook", webhook="http://127.0.0.1/"), second)
    assert not first.closed  # a siren that sounds goes on
    go.set()
    rig.until(lambda: len(rig.settled) == 2)
    rig.until(lambda: first.closed)
    assert (first.sent, second.sent) == (["token-1"], ["token-2"])
    rig.end()


def test_one_that_hangs_is_left_behind():
    go = threading.Event()
    target = Told(go)
    rig = Rig(target)
    rig.put(1, 2)
    assert target.tried.acquire(timeout=PATIENCE_S)
    rig.delivery.stop()
    rig.delivery.join(0.05)
    assert rig.settled == []  # both wait in the store
    go.set()
    rig.delivery.join(PATIENCE_S)
    assert rig.settled == [("token-1", "hook", "sent", 1, None)]


def test_a_real_server_that_fails_in_every_way_gets_each_message_once_and_in_order():
    with Webhook() as hook:
        hook.answer(
            answer("500 Oops"), b"", answer("429 Slow", "Retry-After: 0\r\n"), answer(),
            answer("503 Later"), b"HTTP/1.1", answer(), hook.hang, answer(),
        )  # fmt: skip
        options = TargetOptions("hook", webhook=hook.url, timeout=0.5)
        rig = Rig(open_target(options), timeout=0.5)
        rig.put(1, 2, 3)
        rig.until(lambda: len(rig.settled) == 3)
        rig.end()
        tokens = [request.headers["x-streamclf-token"] for request in hook.requests]
        assert tokens == ["token-1"] * 4 + ["token-2"] * 3 + ["token-3"] * 2
        assert [(row[2], row[3]) for row in rig.settled] == [("sent", 4), ("sent", 3), ("sent", 2)]
