"""`streamclf serve` tells: the real engine, rules, and real receivers on loopback."""

import json
import os
import signal
import socket
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import toys
from live_runs import PATIENCE_S, Process
from serving import Serving, rows
from stored import fill_disk, mounted_disk, until
from webhooks import Webhook

from streamclf.core.errors import UsageError
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions
from streamclf.notify import lost_sources, notifier, outbox
from streamclf.notify.options import NotifyPlan
from streamclf.notify.rules import Rule
from streamclf.notify.targets.options import TargetOptions
from streamclf.runs.serve.options import ServedOptions
from streamclf.runs.serve.plan import ServePlan, StreamPlan, WritingOptions
from streamclf.sinks.options import OutputOptions
from streamclf.sources.options import SourceOptions
from streamclf.store import store as store_module
from streamclf.store.database import connect

BEGINS, ENDS = Rule("begins", labels=("middle",)), Rule("ends", labels=("middle",), on="end")
EVENT_IDS = (
    "SELECT events.label || '-' || events.onset || '@' || runs.token FROM events "
    "JOIN runs ON runs.id = run_id WHERE events.label = 'middle' ORDER BY events.id"
)
TOKENS = "SELECT token FROM messages ORDER BY id"


@pytest.fixture
def store(tmp_path):
    return tmp_path / "box.db"


@pytest.fixture
def plan_of(tone_model, store):
    """Make a plan of one stream, its rules, and its targets."""

    def make(*targets: TargetOptions, rules=(BEGINS, ENDS), **outputs):
        stream = StreamPlan(
            ServedOptions(name="yard"), SourceOptions(device="yard"),
            ModelOptions(str(tone_model), provider="cpu"), Settings(), ThresholdOptions(),
            OutputOptions(**outputs),
        )  # fmt: skip
        notify = NotifyPlan(tuple(rules), targets)
        return ServePlan((stream,), WritingOptions(store), notify=notify)

    return make


@pytest.fixture
def serve():
    """Start servers, and end those that a failed test leaves."""
    started = []

    def start(plan):
        started.append(Serving(plan))
        return started[-1]

    yield start
    for serving in started:
        if serving.code is None:
            serving.end()


@pytest.fixture
def hook():
    with Webhook() as webhook:
        yield webhook


def sound(source, seconds: float = 4.0) -> None:
    """A tone between silences."""
    source.feed(np.concatenate([toys.silence(3), toys.tone(1000, seconds), toys.silence(4)]))


def test_a_begin_arrives_while_it_sounds_and_its_end_later_under_one_id(
    serve, plan_of, hook, store, tmp_path
):
    lines = tmp_path / "heard.jsonl"
    serving = serve(plan_of(TargetOptions("hook", webhook=hook.url), files=(lines,)))
    yard = serving.source("yard")
    yard.feed(np.concatenate([toys.silence(3), toys.tone(1000, 3)]))
    begin = hook.next().json  # its end is not even fed
    assert (begin["rule"], begin["on"], begin["label"]) == ("begins", "begin", "middle")
    assert "end_time" not in begin
    yard.feed(np.concatenate([toys.tone(1000, 2), toys.silence(4)]))
    end = hook.next().json
    assert (end["rule"], end["on"], end["id"]) == ("ends", "end", begin["id"])
    assert end["time"] == begin["time"]
    assert end["length_s"] == pytest.approx(5, abs=1)
    health = serving.server.describe_health()
    assert health["rules"] == {"n_rules": 2, "n_told": 2, "n_lost": 0, "n_unnoted": 0}
    (target,) = health["targets"]
    assert (target["name"], target["state"], target["kind"]) == ("hook", "fine", "webhook")
    yard.end()
    assert serving.join() == 0
    assert rows(store, EVENT_IDS) == [(begin["id"],)]
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {each["id"] for each in written if each.get("label") == "middle"} == {begin["id"]}
    assert rows(store, "SELECT state, tries FROM deliveries") == [("sent", 1)] * 2
    assert rows(store, "SELECT event FROM messages") == [(begin["id"],)] * 2


def test_a_start_on_a_full_disk_hears_and_tells_and_writes_when_there_is_room(
    serve, plan_of, hook, tmp_path, monkeypatch
):
    monkeypatch.setattr(outbox, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(outbox, "RETRY_LIMIT_S", 0.05)
    monkeypatch.setattr(store_module, "RETRY_LIMIT_S", 0.05)
    with mounted_disk(tmp_path / "small") as disk:
        path = disk / "box.db"
        connect(path, create=True).close()
        other = fill_disk(disk)
        plan = replace(
            plan_of(TargetOptions("hook", webhook=hook.url)), writing=WritingOptions(path)
        )
        serving = serve(plan)
        sound(serving.source("yard"))
        assert [hook.next().json["on"] for _ in range(2)] == ["begin", "end"]
        serving.words.until("messages cannot be noted")
        assert sum("the disk is full; make room" in line for line in serving.words.told) == 2
        other.unlink()
        until(lambda: "messages are noted again" in "".join(serving.words.told))
        serving.source("yard").end()
        assert serving.join() == 0
        assert len(rows(path, EVENT_IDS)) == 1
        assert rows(path, "SELECT state, tries FROM deliveries") == [("sent", 1)] * 2
        assert rows(path, "SELECT state, rows_lost, gap_samples FROM runs") == [("ended", 0, 0)]


def test_targets_that_hang_hold_up_neither_audio_nor_other_targets(serve, plan_of, hook, store):
    with Webhook(*[lambda connection: time.sleep(PATIENCE_S)] * 9) as deaf:
        serving = serve(
            plan_of(
                TargetOptions("deaf", webhook=deaf.url, timeout=PATIENCE_S),
                TargetOptions("sleepy", exec=("sleep", "600"), timeout=PATIENCE_S),
                TargetOptions("hook", webhook=hook.url),
            )
        )
        yard = serving.source("yard")
        for _ in range(3):
            sound(yard)
        yard.drain()
        assert [hook.next().json["on"] for _ in range(6)] == ["begin", "end"] * 3

        def waiting():
            targets = serving.server.describe_health()["targets"]
            return {each["name"]: each["waiting"] for each in targets}

        until(lambda: waiting() == {"deaf": 6, "sleepy": 6, "hook": 0})
        began = time.monotonic()
        yard.end()
        assert serving.join() == 0
        assert time.monotonic() - began < PATIENCE_S / 2
        assert "12 messages wait for the next start" in "\n".join(serving.words.told)
    heard, gaps = rows(store, "SELECT heard_samples, gap_samples FROM runs")[0]
    assert (heard, gaps) == (3 * 11 * toys.RATE, 0)
    counts = "SELECT target, state, count(*) FROM deliveries GROUP BY target, state ORDER BY target"
    assert rows(store, counts) == [
        ("deaf", "waiting", 6), ("hook", "sent", 6), ("sleepy", "waiting", 6)
    ]  # fmt: skip


def test_a_store_that_cannot_be_written_stops_no_message(serve, plan_of, hook, store):
    serving = serve(plan_of(TargetOptions("hook", webhook=hook.url)))
    yard = serving.source("yard")
    yard.feed(toys.silence(1))
    yard.drain()
    aside = store.with_name("aside.db")
    store.rename(aside)
    store.mkdir()
    sound(yard)
    assert [hook.next().json["on"] for _ in range(2)] == ["begin", "end"]
    serving.words.until("messages cannot be noted")
    store.rmdir()
    aside.rename(store)
    serving.words.until("messages are noted again")
    yard.end()
    serving.join()
    assert rows(store, "SELECT state FROM deliveries") == [("sent",)] * 2


def test_a_dead_ear_is_told_and_another_model_revives_none(serve, plan_of, hook, monkeypatch):
    monkeypatch.setattr(notifier, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(lost_sources, "STEADY_S", 0.05)
    plan = plan_of(
        TargetOptions("hook", webhook=hook.url), rules=[Rule("away", on="lost", lasting=0.001)]
    )
    (stream,) = plan.streams
    stream = replace(stream, settings=Settings(silent_after_s=3.0))
    serving = serve(replace(plan, streams=(stream,)))
    yard, server = serving.source("yard"), serving.server
    yard.feed(toys.tone(1000, 1))
    yard.feed(toys.silence(2))
    yard.drain()
    assert server.streams["yard"].state == "heard"
    yard.feed(toys.silence(2))
    said = serving.words.until("no signal for")
    assert said.startswith("warning: yard: no signal for ")
    told = hook.next().json
    assert (told["on"], told["source"]) == ("lost", "yard")
    assert "yard: no signal since " in told["text"]
    assert "0 heard, 1 without a signal (yard)" in server.describe()
    (health,) = server.describe_health()["sources"]
    assert health["state"] == "silent"
    assert health["silent_since"] is not None
    assert not server.figures().sources[0].is_up
    assert server.live_state("yard").state == "silent"
    # Another engine hears the same ear.
    changed = replace(stream, settings=Settings(silent_after_s=3.0, average_kind="exponential"))
    serving.reload(replace(plan, streams=(changed,)))
    yard.feed(toys.silence(1))
    yard.drain()
    assert server.streams["yard"].hearing.plan == changed
    assert server.streams["yard"].state == "silent"
    heard = threading.Event()
    feeder = threading.Thread(target=keep_feeding, args=(yard, heard))
    feeder.start()
    try:
        back = hook.next().json
    finally:
        heard.set()
        feeder.join()
    assert (back["on"], server.streams["yard"].state) == ("back", "heard")
    assert "a signal again after " in serving.words.until("a signal again")


def keep_feeding(source, end) -> None:
    """Feed a tone until it is enough."""
    while not end.wait(0.02):
        source.feed(toys.tone(1000, 0.1))


def test_settings_read_anew_change_rules_and_targets_and_keep_what_waits(
    serve, plan_of, hook, store
):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plan = plan_of(TargetOptions("hook", webhook=f"http://127.0.0.1:{port}/"))
    serving = serve(plan)
    yard = serving.source("yard")
    sound(yard)
    serving.words.until("target hook: connection refused")
    yard.drain()
    assert "1 heard; no messages to hook; " in serving.server.describe()
    said = serving.reload(UsageError("box.toml:3: to bell: is no target"), refused=True)
    assert "is no target" in said
    bad = TargetOptions("hook", webhook_env="STREAMCLF_TEST_NOT_SET")
    said = serving.reload(replace(plan, notify=NotifyPlan(plan.notify.rules, (bad,))), refused=True)
    assert "webhook-env STREAMCLF_TEST_NOT_SET: this environment variable is not set" in said
    good = TargetOptions("hook", webhook=hook.url)
    said = serving.reload(replace(plan, notify=NotifyPlan((ENDS,), (good,))))
    assert "who is told what changes" in said
    assert [hook.next().json["rule"] for _ in range(2)] == ["begins", "ends"]
    sound(yard)
    yard.end()
    serving.join()
    assert [request.json["rule"] for request in hook.requests] == ["begins", "ends", "ends"]


def test_a_clip_reaches_those_who_take_it(serve, plan_of, tmp_path):
    pytest.importorskip("apprise")
    with Webhook() as hook:
        target = TargetOptions("phone", apprise=f"json://127.0.0.1:{hook.port}/")
        serving = serve(plan_of(target, clips=tmp_path / "clips"))
        yard = serving.source("yard")
        sound(yard)
        begin, end = hook.next().json, hook.next().json
        assert begin["attachments"] == []
        (attached,) = end["attachments"]
        assert attached["filename"].endswith(".flac")
        assert end["title"] == "middle in yard"
        yard.end()
        serving.join()


def config(path, tone_model, scene, port: int, *, more: str = "", speed: float = 20.0):
    path.write_text(
        f'model = "{tone_model}"\nstore = "{path.with_name("box.db")}"\n'
        f'[[sources]]\nname = "yard"\nurl = "sim:{scene}"\nspeed = {speed}\nloop = true\n'
        f'[[targets]]\nname = "hook"\nwebhook = "http://127.0.0.1:{port}/"\n{more}'
        '[[rules]]\nname = "begins"\nlabels = ["middle"]\nto = ["hook"]\n'
        '[[rules]]\nname = "ends"\nlabels = ["middle"]\non = "end"\n'
    )
    return path


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_kill_loses_no_message_and_each_begin_gets_its_end(tmp_path, tone_model, scene, store):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # nobody listens there after this
    path = config(tmp_path / "box.toml", tone_model, scene, port)
    process = Process("serve", "--config", path)
    try:
        for _ in range(3):
            process.until("rule begins: ")
        until = time.monotonic() + PATIENCE_S
        while len(rows(store, EVENT_IDS)) < 3 or len(rows(store, TOKENS)) < 5:
            assert time.monotonic() < until
    finally:
        process.end(signal.SIGKILL)
        process.close()
    noted = rows(store, TOKENS)
    with Webhook() as hook:
        text = path.read_text().replace(f":{port}/", f":{hook.port}/")
        path.write_text(text.replace(f"sim:{scene}", f"sim:{scene}?unplug=0,3600"))
        again = Process("serve", "--config", path)
        try:
            received = [hook.next().json for _ in range(6)]
            again.until("serving 1 source")  # signals are obeyed from then on
            assert again.end(signal.SIGTERM) == 130
        finally:
            again.close()
    assert [each["token"] for each in received[: len(noted)]] == [token for (token,) in noted]
    ids = [each["id"] for each in received]
    assert [each["on"] for each in received] == ["begin", "end"] * 3
    assert ids[::2] == ids[1::2]  # the third one's run was cut in the middle of it
    assert len({each["token"] for each in received}) == 6
    assert rows(store, "SELECT DISTINCT state FROM deliveries") == [("sent",)]
    assert ids[::2] == [name for (name,) in rows(store, EVENT_IDS)][:3]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigterm_ends_in_time_whatever_targets_do(tmp_path, tone_model, scene, store):
    with Webhook(*[lambda connection: threading.Event().wait(PATIENCE_S)] * 9) as deaf:
        more = '[[targets]]\nname = "bell"\nexec = ["sleep", "600"]\ntimeout = "9m"\n'
        path = config(tmp_path / "box.toml", tone_model, scene, deaf.port, more=more)
        process = Process("serve", "--config", path)
        try:
            process.until("rule ends: ")
            began = time.monotonic()
            assert process.end(signal.SIGTERM) == 130
            assert time.monotonic() - began < PATIENCE_S / 2
        finally:
            process.close()
    waiting = rows(store, "SELECT count(*) FROM deliveries WHERE state = 'waiting'")
    assert waiting[0][0] >= 3


def test_check_opens_targets_and_sends_nothing(streamclf, tmp_path, tone_model, scene, hook):
    path = config(tmp_path / "box.toml", tone_model, scene, hook.port)
    result = streamclf("serve", "--check", "--config", path)
    assert result.code == 0, result.err
    path.write_text(path.read_text() + '[[targets]]\nname = "b"\nwebhook-env = "NOT_SET_HERE"\n')
    result = streamclf("serve", "--check", "--config", path)
    assert result.code == 2
    said = "error: target b: webhook-env NOT_SET_HERE: this environment variable is not set"
    assert said in result.err
    assert hook.requests == []
