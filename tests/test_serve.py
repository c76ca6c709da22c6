"""`streamclf serve`: several sources in one process, apart in trouble and together at the end."""

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import toys
from live_runs import PATIENCE_S
from serving import BLOCK, Serving, rows, runs_of

from streamclf.core.errors import StreamError, UsageError
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model import providers
from streamclf.model.options import ModelOptions
from streamclf.runs.serve.alive import AliveTogether
from streamclf.runs.serve.options import ServedOptions
from streamclf.runs.serve.plan import ServePlan, StreamPlan, WritingOptions
from streamclf.runs.systemd_notifier import SystemdNotifier
from streamclf.sinks.clips.clip_file import Clip, encode_clip, write_clip
from streamclf.sinks.options import OutputOptions
from streamclf.sources.options import SourceOptions

RATE = toys.RATE
SECOND = RATE


@pytest.fixture
def store(tmp_path):
    return tmp_path / "box.db"


@pytest.fixture
def plan_of(tone_model, store):
    """Make a plan: a keyword for each stream, with what differs from the usual."""

    def make(writing=None, **streams):
        plans = []
        for name, changes in streams.items():
            usual = {
                "served": ServedOptions(name=name), "source": SourceOptions(device=name),
                "model": ModelOptions(str(tone_model), provider="cpu"), "settings": Settings(),
                "thresholds": ThresholdOptions(), "outputs": OutputOptions(),
            }  # fmt: skip
            plans.append(StreamPlan(**{**usual, **changes}))
        return ServePlan(tuple(plans), writing or WritingOptions(store))

    return make


@pytest.fixture
def serve():
    """Start servers, and end those that a failed test leaves."""
    started = []

    def start(plan, **options):
        started.append(Serving(plan, **options))
        return started[-1]

    yield start
    for serving in started:
        if serving.code is None:
            serving.end()


def settled(serving, *names):
    """The sources of streams, once each of them is heard."""
    return [serving.source(name) for name in names]


def test_each_source_is_remembered_under_its_name_and_sums_add_up(serve, plan_of, store):
    serving = serve(plan_of(yard={}, hall={}))
    yard, hall = settled(serving, "yard", "hall")
    yard.feed(toys.tone(1000, 6))
    hall.feed(toys.silence(4))
    yard.end()
    hall.end()
    assert serving.join() == 0  # all have ended by themselves
    assert runs_of(store) == {
        "yard": [(0, 6 * SECOND, 6 * SECOND, 0)], "hall": [(0, 4 * SECOND, 4 * SECOND, 0)],
    }  # fmt: skip
    events = "SELECT name, label, state FROM events JOIN sources ON sources.id = source_id"
    assert sorted(rows(store, events)) == [
        ("hall", "quiet", "ended"), ("yard", "middle", "ended"),
    ]  # fmt: skip
    assert rows(store, "SELECT DISTINCT state FROM runs") == [("ended",)]
    assert any(
        line.startswith("info: yard: heard 6.0 s") and line.endswith("1 event: 1 middle")
        for line in serving.words.told
    )


def test_every_line_of_a_stream_begins_with_its_name(serve, plan_of):
    serving = serve(plan_of(a={"settings": Settings(hop_s=2.0)}, hall={}))
    a, hall = settled(serving, "a", "hall")
    a.feed(np.full(12_000, np.nan, np.float32))
    a.feed(toys.silence(4))
    a.fail(StreamError("a bad cable"))
    serving.words.until("a bad cable")
    hall.feed(toys.silence(2))
    hall.end()
    serving.source("a", 1).end()
    serving.join()
    told = [line.partition(": ")[2] for line in serving.words.told]
    general = [line for line in told if not line.startswith(("a: ", "hall: "))]
    assert len(general) == 1, general
    assert general[0].startswith("serving 2 sources with 1 model; ")
    assert any(line.startswith("a: --hop 2 s is longer than the window") for line in told)


def test_a_source_that_fails_comes_back_and_disturbs_no_other(serve, plan_of, store):
    serving = serve(plan_of(gate={}, yard={}))
    gate, yard = settled(serving, "gate", "yard")
    gate.feed(toys.silence(2))
    gate.fail(StreamError("the camera was switched off"))
    assert "gate: the camera was switched off; it is tried again" in serving.words.until("camera")
    yard.feed(toys.silence(3))
    yard.drain()
    again = serving.source("gate", 1)
    yard.feed(toys.silence(3))
    again.feed(toys.silence(2))
    again.end()
    yard.end()
    assert serving.join() == 0
    found = runs_of(store)
    assert found["yard"] == [(0, 6 * SECOND, 6 * SECOND, 0)]
    ((first, elapsed, heard, missing),) = found["gate"]
    assert (first, heard) == (0, 4 * SECOND)
    assert elapsed == heard + missing
    assert rows(store, "SELECT cause FROM gaps") == ([("source lost",)] if missing else [])


def test_a_source_that_is_never_there_is_a_gap_from_start_to_end(serve, plan_of, store):
    serving = serve(plan_of(gate={}, yard={}))
    (yard,) = settled(serving, "yard")
    for attempt in range(2):
        serving.source("gate", attempt).fail(StreamError("no such camera"))
    yard.feed(toys.silence(2))
    yard.drain()
    serving.server.stop()
    serving.join()
    ((first, elapsed, heard, missing),) = runs_of(store)["gate"]
    assert (first, heard) == (0, 0)
    assert elapsed == missing > 0
    ((cause, begun_us),) = rows(store, "SELECT cause, begun_us FROM gaps")
    assert cause == "source lost"
    assert begun_us is not None


def test_a_mistake_in_one_stream_ends_no_other_and_loses_no_audio(
    serve, plan_of, store, monkeypatch
):
    serving = serve(plan_of(yard={}, hall={}))
    yard, hall = settled(serving, "yard", "hall")
    stream = serving.server.streams["yard"]
    broken = iter([ValueError("broken")])

    def write(result, write=stream._memory.write):
        for error in broken:
            raise error
        write(result)

    monkeypatch.setattr(stream._memory, "write", write)
    yard.feed(toys.silence(4))
    told = serving.words.until("broken")
    assert told == (
        "error: yard: a mistake in streamclf itself: ValueError: broken; listening begins anew"
    )
    hall.feed(toys.silence(4))
    hall.drain()
    yard.feed(toys.silence(4))
    yard.end()
    hall.end()
    assert serving.join() == 0
    found = runs_of(store)
    assert found["hall"] == [(0, 4 * SECOND, 4 * SECOND, 0)]
    assert sum(heard for *_, heard, _ in found["yard"]) == 8 * SECOND
    (first, second) = found["yard"]
    assert second[0] == first[0] + first[1]  # the second run begins at the very next sample


def test_a_source_that_is_not_to_be_tried_again_fails_alone(serve, plan_of):
    once = {"source": SourceOptions(device="gate", reconnect=False)}
    serving = serve(plan_of(gate=once, yard={}))
    gate, yard = settled(serving, "gate", "yard")
    gate.fail(StreamError("gone for good"))
    assert serving.words.until("gone for good") == "error: gate: gone for good"
    yard.feed(toys.silence(2))
    yard.drain()
    assert "1 ended (gate)" in serving.server.describe()
    yard.end()
    assert serving.join() == 1
    assert len(serving.sources["gate"]) == 1


def count_sessions(monkeypatch):
    opened = []
    real = providers._open_with

    def count(path, provider, n_threads, live, content=None, settings=None):
        opened.append((Path(path).name, content is None))
        return real(path, provider, n_threads, live, content, settings)

    monkeypatch.setattr(providers, "_open_with", count)
    return opened


def test_streams_share_a_session_for_each_model(serve, plan_of, picky, tmp_path, monkeypatch):
    opened = count_sessions(monkeypatch)
    other = {"model": ModelOptions(str(picky), provider="cpu")}
    threads = {"model": ModelOptions(str(picky), provider="cpu", n_threads=2)}
    link = tmp_path / "link.onnx"
    link.symlink_to(picky)
    linked = {"model": ModelOptions(str(link), provider="cpu")}
    serving = serve(plan_of(a={}, b={}, c=other, d=other, e=threads, f=linked))
    sources = settled(serving, *"abcdef")
    whole = [name for name, is_whole in opened if is_whole]
    assert sorted(whole) == ["picky.onnx", "picky.onnx", "tones.onnx"]
    streams = serving.server.streams
    models = {name: id(stream.hearing.classifier) for name, stream in streams.items()}
    assert models["a"] == models["b"]
    assert models["c"] == models["d"] == models["f"]
    assert len({models[name] for name in "ace"}) == 3
    for source in sources:
        source.feed(toys.silence(2))
        source.end()
    assert serving.join() == 0


def test_streams_over_one_model_do_not_hear_each_other(serve, plan_of, split, picky, tmp_path):
    """Overlapping windows share work; what is shared belongs to one stream."""
    random = np.random.default_rng(3)
    sounds = {name: random.uniform(-1, 1, 6 * RATE).astype(np.float32) for name in "abc"}
    model = {"model": ModelOptions(str(picky), provider="cpu")}
    plans = {
        name: {**model, "outputs": OutputOptions(scores=tmp_path / f"{name}.csv")} for name in "abc"
    }
    serving = serve(plan_of(**plans))
    sources = settled(serving, *"abc")
    for start in range(0, 6 * RATE, BLOCK):
        for name, source in zip("abc", sources, strict=True):
            source.feed(sounds[name][start : start + BLOCK])
    for source in sources:
        source.end()
    assert serving.join() == 0
    for name, sound in sounds.items():
        table = [line.split(",") for line in (tmp_path / f"{name}.csv").read_text().splitlines()]
        labels = split.card.labels
        columns = [table[0].index(label) for label in labels]
        onset = table[0].index("onset")
        assert len(table) > 5
        for row in table[1:]:
            begin = round(float(row[onset]) * RATE)
            window = sound[begin : begin + split.card.window_samples]
            wanted = split.score(window[np.newaxis])[0]
            np.testing.assert_allclose([float(row[c]) for c in columns], wanted, atol=1e-3)


def test_a_model_that_cannot_be_opened_ends_it_before_anything_is_heard(plan_of, store):
    from streamclf.core.errors import ModelError
    from streamclf.runs.serve.server import Server

    opened = []
    plan = plan_of(a={}, b={"model": ModelOptions("none.onnx")})
    with pytest.raises(ModelError, match=r"^--model none\.onnx: no such model file"):
        Server(plan, lambda: plan, open_plan=opened.append).run()
    assert opened == []
    assert not store.exists()


def test_only_one_microphone_is_recorded_by_the_process_itself(plan_of, monkeypatch):
    """A second one found again would end the stream of the first."""
    from streamclf.runs.serve import server

    opened = []
    monkeypatch.setattr(
        server, "open_source",
        lambda source, channel, **options: opened.append((source.device or source.source, options)),
    )  # fmt: skip
    sim = {"source": SourceOptions("sim:x.wav")}
    plan = plan_of(a={}, sim=sim, b={}, c={})
    made = server.Server(plan, lambda: plan)
    for stream in (*plan.streams, plan.streams[0], plan.streams[2]):
        made._open_source(stream)
    assert opened == [
        ("a", {"beside_others": False}), ("sim:x.wav", {}), ("b", {"beside_others": True}),
        ("c", {"beside_others": True}), ("a", {"beside_others": False}),
        ("b", {"beside_others": True}),
    ]  # fmt: skip


# ---------------------------------------------------------------- SIGHUP


def test_reading_the_settings_anew_changes_only_what_differs(serve, plan_of, store, tone_model):
    serving = serve(plan_of(same={}, tuned={}, gone={}, other={}))
    names = ("same", "tuned", "gone", "other")
    same, tuned, gone, other = sources = settled(serving, *names)
    for source in sources:
        source.feed(toys.silence(4))
        source.drain()
    quick = {"settings": Settings(hop_s=0.25), "thresholds": ThresholdOptions(threshold=0.9)}
    elsewhere = {"source": SourceOptions(device="another")}
    told = serving.reload(plan_of(same={}, tuned=quick, other=elsewhere, new={}))
    assert told.endswith("tuned changes, other begins anew, new begins, gone ends")
    assert gone.closed.wait(PATIENCE_S)
    assert other.closed.wait(PATIENCE_S)
    new, other_again = serving.source("new"), serving.source("other", 1)
    for source in (same, tuned, new, other_again):
        source.feed(toys.silence(4))
        source.end()
    assert serving.join() == 0
    whole = (0, 8 * SECOND, 8 * SECOND, 0)
    found = runs_of(store)
    assert found["same"] == found["tuned"] == [whole]
    assert found["gone"] == [(0, 4 * SECOND, 4 * SECOND, 0)]
    assert found["new"] == [(0, 4 * SECOND, 4 * SECOND, 0)]
    assert found["other"] == 2 * [(0, 4 * SECOND, 4 * SECOND, 0)]
    assert len(serving.sources["same"]) == len(serving.sources["tuned"]) == 1


def test_a_changed_hop_and_threshold_hold_from_the_next_audio_on(serve, plan_of, tmp_path):
    lines = tmp_path / "tuned.jsonl"
    outputs = {"outputs": OutputOptions(files=(lines,))}
    serving = serve(plan_of(tuned={**outputs, "thresholds": ThresholdOptions(threshold=0.99)}))
    (tuned,) = settled(serving, "tuned")
    tuned.feed(toys.tone(1000, 6))
    tuned.drain()
    windows = serving.server.streams["tuned"].counts.windows
    serving.reload(plan_of(tuned={**outputs, "settings": Settings(hop_s=0.25)}))
    tuned.feed(toys.tone(1000, 6))
    tuned.drain()
    more = serving.server.streams["tuned"].counts.windows - windows
    tuned.end()
    assert serving.join() == 0
    assert (windows, more) == (10, 23)  # starts at 0, 0.5 .. 4.5, then 5, 5.25 .. 10.5
    begins = [json.loads(line) for line in lines.read_text().splitlines() if '"begin"' in line]
    assert [line["label"] for line in begins] == ["middle"]
    assert begins[0]["known"] >= 6.0  # nothing was found while the threshold was out of reach


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": Settings(average_kind="exponential")},
        {"settings": Settings(begin="eager")},
        {"thresholds": ThresholdOptions(only="low")},
        {"thresholds": ThresholdOptions(min_duration_s=1.0)},
        {"thresholds": ThresholdOptions(max_gap_s=2.0)},
        {"served": ServedOptions(name="yard", calibration_db=90.0)},
        {"outputs": OutputOptions(files=(Path("more.jsonl"),))},
        {"model": "picky"},
    ],
    ids=str,
)
def test_another_model_rule_or_output_takes_over_at_a_sample_and_loses_none(
    serve, plan_of, store, picky, changes, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if changes.get("model") == "picky":
        changes = {"model": ModelOptions(str(picky), provider="cpu")}
    serving = serve(plan_of(yard={}))
    (yard,) = settled(serving, "yard")
    yard.feed(toys.silence(3))
    yard.drain()
    changed = plan_of(yard=changes)
    assert serving.reload(changed).endswith("yard changes")
    assert serving.server.model_options == (changed.streams[0].model,)  # which the page teaches
    yard.feed(toys.silence(5))
    yard.end()
    assert serving.join() == 0
    first, second = runs_of(store)["yard"]
    assert second[0] == first[0] + first[1]
    assert first[2] + second[2] == 8 * SECOND
    assert first[3] == second[3] == 0
    assert len(serving.sources["yard"]) == 1  # it was never closed


def test_the_same_settings_change_nothing(serve, plan_of, store):
    serving = serve(plan_of(yard={}))
    (yard,) = settled(serving, "yard")
    before = serving.server.streams["yard"].hearing
    yard.feed(toys.silence(2))
    assert serving.reload(plan_of(yard={})).endswith("nothing changes")
    assert serving.server.streams["yard"].hearing is before
    yard.end()
    assert serving.join() == 0


def test_a_model_file_that_was_replaced_is_another_model(serve, plan_of, tmp_path, tone_model):
    own = tmp_path / "own.onnx"
    own.write_bytes(tone_model.read_bytes())
    plan = plan_of(yard={"model": ModelOptions(str(own), provider="cpu")})
    serving = serve(plan)
    (yard,) = settled(serving, "yard")
    before = serving.server.streams["yard"].hearing.classifier
    toys.write_tone_detector(own, toys.toy_card(name="better"))
    assert serving.reload(plan).endswith("yard changes")
    yard.feed(toys.silence(2))
    assert "listening with better" in serving.words.until("listening with better")
    yard.end()
    assert serving.join() == 0
    assert serving.server.streams["yard"].hearing.classifier is not before
    assert serving.server.models.n_open == 1  # the old one is not kept


def test_settings_with_a_mistake_leave_all_as_it_was(serve, plan_of, store, tmp_path):
    taken = tmp_path / "taken.jsonl"
    taken.write_text("precious\n")
    serving = serve(plan_of(yard={}, hall={}))
    yard, hall = settled(serving, "yard", "hall")
    for wrong, part in [
        (UsageError("box.toml:3: hop is fast"), "box.toml:3: hop is fast"),
        (TypeError("no number"), "a mistake in streamclf itself: TypeError: no number"),
        (plan_of(yard={"thresholds": ThresholdOptions(only="dgo")}), "--only dgo: is no label"),
        (plan_of(yard={"model": ModelOptions("none.onnx")}), "--model none.onnx: no such model"),
        (plan_of(new={}, yard={"outputs": OutputOptions(files=(taken,))}), "exists already"),
        (plan_of(yard={"served": ServedOptions(name="hall")}, hall={}), "2 sources have this name"),
    ]:
        told = serving.reload(wrong, refused=True)
        assert told.startswith("error: ")
        assert part in told
    yard.feed(toys.silence(3))
    hall.feed(toys.silence(3))
    yard.end()
    hall.end()
    assert serving.join() == 0
    assert runs_of(store) == {name: [(0, 3 * SECOND, 3 * SECOND, 0)] for name in ("yard", "hall")}
    assert taken.read_text() == "precious\n"
    assert "new" not in serving.sources


def test_what_can_only_change_at_a_start_is_said(serve, plan_of, tmp_path):
    serving = serve(plan_of(yard={}))
    (yard,) = settled(serving, "yard")
    other = tmp_path / "other.db"
    outputs = OutputOptions(store=other, format="csv", overwrite=True)
    elsewhere = plan_of(WritingOptions(other), yard={"outputs": outputs})
    assert serving.reload(elsewhere).endswith("nothing changes")
    assert any("change at the next start alone" in line for line in serving.words.told)
    yard.end()
    assert serving.join() == 0
    assert not (tmp_path / "other.db").exists()


# ---------------------------------------------------------------- outputs


def test_sources_share_a_file_and_each_line_says_whose_it_is(serve, plan_of, tmp_path):
    shared, own = tmp_path / "all.jsonl", tmp_path / "own.csv"
    both = OutputOptions(files=(shared,))
    serving = serve(plan_of(yard={"outputs": OutputOptions(files=(shared, own))},
                            hall={"outputs": both}))  # fmt: skip
    for source in settled(serving, "yard", "hall"):
        source.feed(toys.tone(1000, 4))
        source.end()
    assert serving.join() == 0
    lines = [json.loads(line) for line in shared.read_text().splitlines()]
    kinds = sorted((line["source"], line["type"]) for line in lines)
    assert kinds == [("hall", "begin"), ("hall", "event"), ("yard", "begin"), ("yard", "event")]
    header, row = own.read_text().splitlines()
    assert header.startswith("type,source,label")
    assert row.startswith("event,yard,middle")


def test_clips_of_all_sources_are_noted_and_looked_after(serve, plan_of, store, tmp_path):
    folder = tmp_path / "clips"
    worse, best = (folder / f"owl/Mic/20200101_000000_000_{score}.flac" for score in (80, 90))
    for old in (worse, best):
        write_clip(old, encode_clip(Clip(old, toys.tone(1000, 2), RATE, "owl", "")))
        os.utime(old, (1e9, 1e9))
    kept = {"outputs": OutputOptions(clips=folder, clips_days=7, clips_min=1)}
    serving = serve(plan_of(yard=kept, hall=kept))
    for source in settled(serving, "yard", "hall"):
        source.feed(np.concatenate([toys.tone(1000, 4), toys.silence(6), toys.tone(440, 4)]))
        source.drain()
    assert "1 old one stays: 1 best of their label" in serving.words.until("clips: 1 deleted (")
    other = {"outputs": OutputOptions(clips=folder, clips_days=7, clips_min=1, updates=True)}
    serving.reload(plan_of(yard=other, hall=kept))  # other sinks for the yard
    for name in ("yard", "hall"):
        source = serving.source(name)
        source.feed(np.concatenate([toys.silence(6), toys.tone(1000, 4)]))
        source.end()
    assert serving.join() == 0
    files = {str(path) for path in folder.rglob("*.flac")}
    assert str(worse) not in files
    noted = rows(
        store,
        "SELECT sources.name, clips.folder || '/' || clips.path FROM clips "
        "JOIN events ON events.id = event_id JOIN sources ON sources.id = source_id",
    )
    assert {path for _, path in noted} == files - {str(best)} < files
    assert all(f"/{name} " in path for name, path in noted)
    assert {name for name, _ in noted} == {"yard", "hall"}


def test_plans_that_do_not_go_together_are_refused(plan_of, tmp_path):
    txt = OutputOptions(files=(tmp_path / "a.txt",))
    clips = tmp_path / "clips"
    limits = [OutputOptions(clips=clips, clips_limit=limit) for limit in ("1GB", "2GB")]
    days = [OutputOptions(clips=clips, clips_days=days) for days in (2.0, None)]
    for plan, part in [
        (plan_of(a={"outputs": txt}, b={"outputs": txt}), "Audacity labels do not say which"),
        (plan_of(a={"outputs": limits[0]}, b={"outputs": limits[1]}), "--clips-limit 2GB: another"),
        (
            plan_of(a={"outputs": days[0]}, b={"outputs": days[1]}),
            "--clips-days none: another source limits the same folder, "
            f"{clips}, by 2: give both one limit",
        ),
        (plan_of(a={"outputs": OutputOptions(files=(Path("{stem}.csv"),))}), "there is none"),
        (plan_of(a={"source": SourceOptions("-")}), "--source -: standard input"),
        (plan_of(a={"source": SourceOptions("sim:x.wav?fire=3")}), "no fault is called 'fire'"),
        (plan_of(a={"source": SourceOptions("sim:x.wav", speed=-1)}), "--speed -1"),
        (plan_of(a={"source": SourceOptions("x")}), "--source x: must be"),
        (plan_of(a={"served": ServedOptions(name="  ")}), "--name: is empty"),
    ]:
        with pytest.raises(UsageError, match=r".") as caught:
            plan.check()
        assert part in str(caught.value)
    plan_of(a={"outputs": limits[0]}, b={"outputs": limits[0]}).check()
    plan_of(a={"outputs": txt}, b={}).check()


def test_a_name_is_an_identity_without_a_password(plan_of):
    def named(name=None, **source):
        plan = plan_of(x={"source": SourceOptions(**source), "served": ServedOptions(name=name)})
        return plan.streams[0].name

    assert named("rtsp://me:secret@host/cam", device="1") == "rtsp://me:***@host/cam"
    assert named("two\nlines", device="1") == "two\\nlines"
    assert named(source="rtsp://me:secret@host/cam") == "rtsp://me:***@host/cam"
    assert named(device="USB") == "USB"
    assert named() == "microphone"


# ---------------------------------------------------------------- watchdog


def test_a_sign_of_life_needs_every_member():
    signs = []
    together = AliveTogether(lambda: signs.append("ping"))
    together.note("stranger")
    assert signs == []
    for name in "abc":
        together.join(name)
    for _ in range(5):
        together.note("a")
        together.note("b")
    assert signs == []  # c hangs
    together.note("c")
    assert signs == ["ping"]
    together.note("a")
    together.note("b")
    together.leave("c")
    assert signs == ["ping", "ping"]
    together.leave("a")
    together.leave("b")
    assert signs == ["ping", "ping"]


class Pings(SystemdNotifier):
    """What systemd would be told."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def alive(self):
        self.n += 1


def test_one_hung_source_stops_the_pings_of_all(serve, plan_of):
    pings = Pings()
    serving = serve(plan_of(yard={}, hall={}, gate={}), service=pings)
    yard, hall, gate = sources = settled(serving, "yard", "hall", "gate")
    for source in sources:
        source.feed(toys.silence(1))
        source.drain()
    goes_on = threading.Event()
    gate.do(lambda: goes_on.wait(PATIENCE_S))
    gate.feed(toys.silence(1))
    yard.feed(toys.silence(1))
    yard.drain()
    before = pings.n
    assert before > 0
    for source in (yard, hall):
        source.feed(toys.silence(5))
        source.drain()
    assert pings.n <= before + 1  # a round that gate had begun may have been completed
    stuck = pings.n
    goes_on.set()
    gate.drain()
    for source in sources:
        source.feed(toys.silence(1))
        source.drain()
    assert pings.n > stuck
    for source in sources:
        source.end()
    assert serving.join() == 0


def test_a_source_that_is_waited_for_counts_as_alive(serve, plan_of):
    pings = Pings()
    serving = serve(plan_of(yard={}, hall={}), service=pings)
    yard, hall = settled(serving, "yard", "hall")
    hall.fail(StreamError("gone"))
    serving.words.until("gone")
    yard.feed(toys.silence(1))
    yard.drain()
    serving.source("hall", 1)
    before = pings.n
    assert before >= 1
    assert "1 lost (hall)" in serving.server.describe()
    assert serving.end() == 0


def test_a_calibration_is_stated_in_the_store(serve, plan_of, store):
    serving = serve(plan_of(a={"served": ServedOptions(name="a", calibration_db=93.5)}, b={}))
    a, b = settled(serving, "a", "b")
    for source in (a, b):
        source.feed(toys.silence(2))
        source.drain()
    again = plan_of(a={}, b={"served": ServedOptions(name="b", calibration_db=80.0)})
    assert serving.reload(again).endswith("a changes, b changes")
    for source in (a, b):
        source.feed(toys.silence(2))
        source.end()
    assert serving.join() == 0
    found = dict(rows(store, "SELECT name, calibration_db FROM sources"))
    assert found == {"a": 93.5, "b": 80.0}


def test_the_status_sums_up(serve, plan_of):
    serving = serve(plan_of(yard={}, hall={}))
    for source in settled(serving, "yard", "hall"):
        source.feed(toys.silence(3))
        source.drain()
    assert serving.server.describe() == "2 sources: 2 heard; 8 windows: 0 events, no gaps"
    assert serving.end() == 0


def test_a_stream_that_hangs_at_the_end_is_left_behind(serve, plan_of, monkeypatch):
    from streamclf.runs.serve import server

    monkeypatch.setattr(server, "END_S", 0.0)
    goes_on = threading.Event()
    serving = serve(plan_of(yard={}))
    (yard,) = settled(serving, "yard")
    yard.feed(toys.silence(1))
    yard.drain()
    yard.do(lambda: goes_on.wait(PATIENCE_S))
    try:
        assert serving.end() == 0
        assert any("yard: does not end within" in line for line in serving.words.told)
    finally:
        goes_on.set()
        serving.server.streams["yard"].join(PATIENCE_S)


def test_privacy_begins_with_the_reload_before_all_else_and_ends_after_it(serve, plan_of):
    """Nobody listens to a source from the moment on in which its settings say so."""
    private = {"outputs": OutputOptions(privacy="speech")}
    serving = serve(plan_of(yard={}, hall=private))
    settled(serving, "yard", "hall")
    server, seen = serving.server, []
    assert (server.may_be_heard("yard"), server.may_be_heard("hall")) == (True, False)
    assert not server.may_be_heard("cellar")
    prepare = server._prepare_changes

    def watch(plan):
        seen.append((server.may_be_heard("yard"), server.may_be_heard("hall")))
        return prepare(plan)

    server._prepare_changes = watch
    serving.reload(plan_of(yard=private, hall={}))
    until_true(lambda: server.may_be_heard("hall"))
    assert seen == [(False, False)]
    assert not server.may_be_heard("yard")
    # Settings with a mistake change nothing.
    wrong = plan_of(yard={"model": ModelOptions("none.onnx")}, hall=private)
    serving.reload(wrong, refused=True)
    assert seen[1:] == [(False, False)]
    assert (server.may_be_heard("yard"), server.may_be_heard("hall")) == (False, True)


def until_true(condition):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
