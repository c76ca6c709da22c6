"""Sounds taught from examples: what is learned, what the past says, and what is refused."""

from __future__ import annotations

import json
import shlex
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import soundfile

from streamclf.cli import teach
from streamclf.cli.info_screen import _taught_sounds
from streamclf.core.card import Taught, Threshold
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, bundled_models
from streamclf.store.database import connect, transaction
from streamclf.store.features.feature_file import append_records, pack_record
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.features.layout import FeatureHeader, file_name
from streamclf.store.reviews import review_event
from streamclf.teach.backtest import PastEvent, Replay
from streamclf.teach.common_sounds import read_common_sounds
from streamclf.teach.fit import Background
from streamclf.teach.kept_moments import KeptMoment, parse_moment
from streamclf.teach.lesson import Lesson
from streamclf.teach.past import Past, PastStream
from streamclf.teach.taught_graph import Head
from streamclf.teach.teaching import Sound, tell_duration

RATE = 16_000
RINGS_S = (20.0, 45.0)


def ring(seconds: float = 2.4, pitch: float = 1.0) -> np.ndarray:
    """A telephone's ring: two tones that take turns."""
    time = np.arange(round(seconds * RATE)) / RATE
    high = np.sin(2 * np.pi * 1900 * pitch * time) * (np.sin(2 * np.pi * 6 * time) > 0)
    low = np.sin(2 * np.pi * 1300 * pitch * time) * (np.sin(2 * np.pi * 6 * time) <= 0)
    return (0.2 * (high + low)).astype(np.float32)


def write(path: Path, waveform: np.ndarray) -> Path:
    soundfile.write(path, waveform.astype(np.float32), RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three examples of a ring, one of something else, and a minute with rings in noise."""
    folder = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(1)
    for number, level in enumerate((1.0, 0.3, 0.1)):
        write(folder / f"ring{number}.wav", level * ring(2.0 + 0.3 * number))
    write(folder / "hiss.wav", random.normal(0, 0.05, 3 * RATE))
    minute = random.normal(0, 0.003, 60 * RATE)
    for begin in RINGS_S:
        sound = 0.5 * ring(2.6)
        minute[round(begin * RATE) :][: sound.size] += sound
    click = random.normal(0, 0.2, RATE // 4)
    minute[5 * RATE :][: click.size] += click
    write(folder / "minute.wav", minute)
    return folder


def rings(sounds: Path) -> list[str]:
    return [str(path) for path in sorted(sounds.glob("ring*.wav"))]


def test_what_the_past_tells_is_what_is_heard_with_the_model(streamclf, sounds, tmp_path):
    kept, mine = tmp_path / "kept", tmp_path / "mine.onnx"
    minute = sounds / "minute.wav"
    assert streamclf("file", minute, "--features", kept).code == 0
    done = streamclf(
        "teach", "my phone", *rings(sounds), "--features", kept, "-o", mine, "--format", "jsonl"
    )
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["examples"] == ["ring0.wav", "ring1.wav", "ring2.wav"]
    assert told["scenes_found"] >= told["scenes"] * 0.5
    begins = [event["onset"] for event in told["past"]]
    assert begins == pytest.approx(RINGS_S, abs=0.8)
    heard = streamclf("file", minute, "--model", mine, "--only", "my phone", "--format", "jsonl")
    events = [json.loads(line) for line in heard.out.splitlines()]
    events = [event for event in events if event.get("label") == "my phone"]
    ends = [(event["onset"], event["offset"]) for event in events if "offset" in event]
    past = [(event["onset"], event["offset"]) for event in told["past"]]
    # The past is kept in 8 bits, which may move an end by a hop.
    np.testing.assert_allclose(sorted(set(ends)), past, atol=0.51)
    again = streamclf(
        "backtest", "-m", mine, "--only", "my phone", "--features", kept, "-f", "jsonl"
    )
    judged = [json.loads(line) for line in again.out.splitlines()]
    np.testing.assert_allclose(
        [(each["onset"], each["offset"]) for each in judged], past, atol=0.51
    )
    assert [each["moment"] for each in judged] == [each["moment"] for each in told["past"]]


def test_moments_of_the_past_are_examples(streamclf, sounds, tmp_path):
    """A moment that no event told, and that has no clip, teaches by its features."""
    kept, mine = tmp_path / "kept", tmp_path / "mine.onnx"
    minute = sounds / "minute.wav"
    pocket = "--features", kept, "-m", "pocket"
    assert streamclf("file", minute, *pocket).code == 0
    teaching = "teach", "my phone", rings(sounds)[0], *pocket, "-o", mine, "-f", "jsonl"
    done = streamclf(*teaching, f"{minute}@20.0s+2.6s", "--not", f"{minute}@5.0s+0.3s")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["examples"] == ["ring0.wav", f"{minute}@20.0s+2.6s"]
    assert told["against"][0] == f"{minute}@5.0s+0.3s"
    assert [event["onset"] for event in told["past"]] == pytest.approx(RINGS_S, abs=0.8)
    assert Model(mine).card.taught["my phone"].examples == told["examples"]
    moment = told["past"][1]["moment"]
    done = streamclf(*teaching, "--overwrite", "--not", moment)
    assert done.code == 0, done.err
    assert json.loads(done.out)["against"][0] == moment
    done = streamclf(*teaching, "--overwrite", "--not", f"{minute}@500.0s+1.0s")
    assert done.code == 2
    assert "no features of that moment are kept by this model" in done.err


def test_samples_that_are_no_audio_are_not_called_silence_alone(streamclf, tmp_path):
    path = tmp_path / "huge.wav"
    soundfile.write(path, (ring(1.0) * 1e30).astype(np.float32), RATE, subtype="FLOAT")
    done = streamclf("teach", "x", path, "-o", tmp_path / "x.onnx")
    assert done.code == 2
    assert "is silent but for samples that are no audio (NaN, Inf or above 2^32)" in done.err


@pytest.mark.parametrize("moment", [
    KeptMoment("a@b c", 1_764_000_000_250_000, 0.0, 2.5), KeptMoment("/x/y.wav", None, 12.5, 0.1),
])  # fmt: skip
def test_a_moment_is_found_by_its_name(moment):
    assert parse_moment(moment.name) == moment
    assert moment.meets(parse_moment(moment.name))
    assert not moment.meets(replace(moment, source="other"))
    later_us = None if moment.onset_us is None else moment.onset_us + 1_300_000
    assert not moment.meets(replace(moment, onset_us=later_us, onset_s=14.0))
    for wrong in (
        "",
        "a@b",
        "dog-5@3f",
        "a@2026-13-40T00:00:00.000Z+1.0s",
        "a@1.0s+",
        "@1.0s+1.0s",
    ):
        assert parse_moment(wrong) is None


def test_a_model_is_taught_again_and_forgets(streamclf, sounds, tmp_path):
    mine = tmp_path / "mine.onnx"
    names = rings(sounds)
    copy = shutil.copy(names[1], tmp_path / "copy.wav")
    first = streamclf("teach", "my phone", *names, names[0], copy, "-m", "pocket", "-o", mine)
    assert first.code == 0, first.err
    assert first.err.splitlines() == [
        "streamclf: ring0.wav: is there twice: it counts once",
        "streamclf: copy.wav: is the same audio as ring1.wav: it counts once",
    ]
    assert "my phone: learned from 3 examples" in first.out
    assert f"streamclf listen --model {mine}" in first.out
    second = streamclf("teach", "hiss", sounds / "hiss.wav", "--not", names[0], "-m", mine)
    assert second.code == 0, second.err
    assert "3 examples or more" in second.out
    base, taught = Model("pocket"), Model(mine)
    assert taught.card.labels == [*base.card.labels, "my phone", "hiss"]
    assert taught.card.taught["hiss"].examples == ["hiss.wav"]
    random = np.random.default_rng(3)
    windows = random.normal(0, 0.05, (2, base.card.window_samples)).astype(np.float32)
    before = Classifier(base).score(windows)
    np.testing.assert_array_equal(Classifier(taught).score(windows)[:, :-2], before)
    told = streamclf("info", mine).out.replace("\n  ", " ")
    assert "Taught: my phone (from 3 examples on 2" in told
    assert "; hiss (from 1 example on 2" in told
    forgotten = streamclf("teach", "My Phone", "--forget", "-m", mine)
    assert forgotten.out == f"my phone: forgotten. {mine} names 53 sounds.\n"
    assert streamclf("teach", "hiss", "--forget", "-m", mine).code == 0
    left = Model(mine)
    assert msgspec.to_builtins(left.card) == msgspec.to_builtins(base.card)
    np.testing.assert_array_equal(Classifier(left).score(windows), before)


def test_reviews_teach_a_sound_and_correct_a_label(streamclf, sounds, tmp_path):
    store, mine = tmp_path / "heard.db", tmp_path / "mine.onnx"
    recording = write(tmp_path / "loud.wav", np.concatenate([ring(3.0), np.zeros(RATE * 4)]))
    heard = streamclf(
        "file", recording, "--store", store, "--clips", tmp_path / "clips", "--threshold", "0.05"
    )
    assert heard.code == 0, heard.err
    with closing(connect(store)) as connection, transaction(connection):
        row, label = connection.execute(
            "SELECT events.id, events.label FROM events JOIN clips ON event_id = events.id"
        ).fetchone()
        review_event(connection, row, "wrong", "my phone", 1)
    done = streamclf("teach", "my phone", "--store", store, "-o", mine)
    assert done.code == 0, done.err
    assert "learned from 1 example" in done.out
    done = streamclf("teach", label, "--store", store, "-m", mine, "--format", "jsonl")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["silences"] == [label]
    card = Model(mine).card
    assert card.broader[told["label"]] == [label]
    again = streamclf("file", recording, "--model", mine, "--threshold", "0.05", "--only", label)
    assert f",{label}," not in again.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["my phone", "RING", "--at-most", "-1"], "must be 0 to 10000 events a week"),
        (["dog", "RING"], "has a sound of that name, Dog: reviews"),
        (["Not dog", "RING"], "is the name of what is taken for Dog wrongly: teach Dog, which"),
        (["my phone", "RING", "--not", "RING"], "is said to be the sound, and not to be it"),
        (["my phone", "nowhere.wav"], "is neither a recording nor an event"),
        (["my phone", "SILENCE"], "is silent"),
        (["my phone", "--forget"], "was not taught any sound"),
        (["my phone", "RING", "-o", "THERE"], "is there already"),
        (["my phone", "RING", "-o", "mine.txt"], "must end in .onnx"),
        (["  ", "RING"], "NAME is empty"),
        (["--", "-.-", "RING"], "has no letter and no digit"),
        (["Unknown", "RING"], "is what --unknown tells"),
        (["silence", "RING"], "such as 'my silence'"),
        (["a" * 500, "RING"], "has 500 characters: name the sound in 80 at most"),
        (["my phone", "RING", "-o", "nowhere/mine.onnx"], "there is no folder nowhere: make it"),
        (["my phone", "CLICK"], "is 5 ms long: an example holds a sound of 20 ms or more"),
        (["my phone", "HALF"], "holds 0.50 s: copy it anew, or leave it out"),
        (["my phone", "--forget", "-o", "THERE"], "name by --model the file that was"),
        (["my phone"], "there are no examples"),
    ],
)
def test_what_cannot_be_taught_is_told(streamclf, sounds, tmp_path, arguments, said):
    there = tmp_path / "there.onnx"
    there.write_bytes(b"somebody's")
    silence = write(tmp_path / "silence.wav", np.zeros(RATE))
    click = write(tmp_path / "click.wav", ring(0.005))
    half = write(tmp_path / "half.wav", ring(1.0))
    half.write_bytes(half.read_bytes()[: 44 + RATE])
    store = tmp_path / "heard.db"
    connect(store, create=True).close()
    paths = {"RING": rings(sounds)[0], "THERE": str(there), "SILENCE": str(silence)}
    paths |= {"CLICK": str(click), "HALF": str(half)}
    named = [paths.get(each, each) for each in arguments]
    done = streamclf("teach", "--store", store, *named)
    assert done.code in (1, 2)
    assert said in done.err
    assert done.err.count("\n") == 1
    assert there.read_bytes() == b"somebody's"


def test_a_model_without_features_is_not_taught(streamclf, sounds, tone_model):
    done = streamclf("teach", "my phone", *rings(sounds), "-m", tone_model)
    assert done.code == 1
    assert "names no features" in done.err


def test_common_sounds_come_with_each_bundled_model():
    for path in bundled_models().values():
        model = Model(path)
        model.give_features()
        common = read_common_sounds(model.features.digest)
        assert common.shape[1] == model.features.size
        assert len(common) > 500


def test_what_is_named_by_not_is_told_apart():
    random = np.random.default_rng(1)
    others = random.normal(0, 1, (400, 16)).astype(np.float32)
    place = np.zeros(16, np.float32)
    place[:2] = 4.0
    alike = np.zeros(16, np.float32)
    alike[:3] = 4.0, 2.0, 4.0
    examples = [place + random.normal(0, 0.3, (4, 16)).astype(np.float32) for _ in range(3)]
    confused = alike + random.normal(0, 0.3, (4, 16)).astype(np.float32)

    def margin(background: Background) -> float:
        weights, _ = background.fit(examples)
        spread = float((others @ weights).std())
        return float((place - alike) @ weights) / spread

    assert margin(Background(others, confused)) > margin(Background(others)) + 0.5


def test_a_replay_around_high_windows_finds_what_a_replay_of_everything_finds(monkeypatch):
    random = np.random.default_rng(2)
    logits = random.normal(-5, 1.5, 4000).astype(np.float32)
    for begin in (0, 700, 705, 1500, 3990):
        logits[begin : begin + 6] = 3.0
    n = logits.size
    stream = PastStream(
        "kitchen", RATE, np.arange(n) * 500_000, np.arange(n) * 8000,
        np.full(n, 24_000, np.uint32), logits, 0.5,
    )  # fmt: skip
    replay, threshold = Replay(Model("pocket").card), Threshold(0.4, 0.1)
    found = list(replay.events(stream, threshold))
    monkeypatch.setattr("streamclf.teach.backtest.AROUND_S", 1e6)
    assert list(replay.events(stream, threshold)) == found
    assert len(found) >= 4
    first = found[0]
    assert first.onset_us == round(first.onset_s * 1e6)


@pytest.mark.parametrize("hop_s", [0.25, 0.4, 0.48, 0.5, 1.0, 2.0])
def test_a_sound_in_the_past_is_one_event_of_its_time_whatever_the_hop_was(tmp_path, hop_s):
    header = FeatureHeader(
        source="kitchen", model="m", version="1", digest="0123456789abcdef", size=1, scale=1.0,
        sample_rate=RATE, window=24_000, every_s=0.5,
    )  # fmt: skip
    kept: dict[int, bytes] = {}
    for number in range(round(120 / hop_s)):
        position = round(number * hop_s * RATE)
        sounds = 40 <= position / RATE < 50
        record = pack_record(position * 1_000_000 // RATE, position, 24_000, np.int8([8 * sounds]))
        kept.setdefault(position // (RATE // 2), record)
    path = tmp_path / "kitchen" / file_name("1970-01-01", header.digest)
    append_records(path, header, b"".join(kept.values()))
    past = Past(FeatureStore(tmp_path), header.digest)
    assert past.seconds == pytest.approx(120, abs=2)
    (stream,) = past.score(Head(np.full(1, 8, np.float32), -4.0))
    (event,) = Replay(Model("pocket").card).events(stream, Threshold(0.4, 0.1))
    assert event.onset_s == pytest.approx(40, abs=1.5 + hop_s)
    assert event.offset_s == pytest.approx(50, abs=1.5 + hop_s)
    assert event.onset_us == round(event.onset_s * 1e6)


@pytest.mark.parametrize(("again", "n_events"), [(False, 1), (True, 2)])
def test_a_sound_over_midnight_is_one_event_unless_hearing_began_anew(tmp_path, again, n_events):
    header = FeatureHeader(
        source="kitchen", model="m", version="1", digest="0123456789abcdef", size=1, scale=1.0,
        sample_rate=RATE, window=24_000, every_s=0.5,
    )  # fmt: skip
    days = {"1970-01-01": [], "1970-01-02": []}
    for number in range(240):
        day = "1970-01-01" if number < 130 else "1970-01-02"
        position = 8000 * (number + (2000 if again and number >= 130 else 0))
        time_us = 86_400_000_000 + 500_000 * (number - 130)
        sounds = 100 <= number < 160
        days[day].append(pack_record(time_us, position, 24_000, np.int8([8 * sounds])))
    for day, records in days.items():
        path = tmp_path / "kitchen" / file_name(day, header.digest)
        append_records(path, header, b"".join(records))
    streams = [*Past(FeatureStore(tmp_path), header.digest).score(Head(np.full(1, 8.0), -4.0))]
    replay = Replay(Model("pocket").card)
    events = [each for stream in streams for each in replay.events(stream, Threshold(0.4, 0.1))]
    assert len(events) == n_events
    assert events[0].onset_us == pytest.approx(86_400_000_000 - 15_000_000, abs=2_000_000)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "1 second"), (37, "37 seconds"), (120, "2 minutes"), (3600, "60 minutes"),
        (7 * 3600, "7 hours"), (14 * 86_400, "14 days"),
    ],
)  # fmt: skip
def test_how_long_a_past_is_reads_well(seconds, told):
    assert tell_duration(seconds) == told


def test_a_pause_in_the_past_ends_an_event(tmp_path):
    header = FeatureHeader(
        source="kitchen", model="m", version="1", digest="0123456789abcdef", size=1, scale=1.0,
        sample_rate=RATE, window=24_000, every_s=0.5,
    )  # fmt: skip
    positions = [8000 * number for number in (*range(20), *range(60, 80))]
    records = [pack_record(each * 125 // 2, each, 24_000, np.int8([8])) for each in positions]
    path = tmp_path / "kitchen" / file_name("1970-01-01", header.digest)
    append_records(path, header, b"".join(records))
    past = Past(FeatureStore(tmp_path), header.digest)
    assert past.seconds == 20.0
    (stream,) = past.score(Head(np.full(1, 8, np.float32), -4.0))
    assert len([*Replay(Model("pocket").card).events(stream, Threshold(0.4, 0.1))]) == 2


def answer(label: str, n_past: int) -> str:
    """What is told of a sound that was taught before, with events in a day of the past."""
    event = PastEvent("hall", 1.0, 2.0, None, 0.9)
    lesson = Lesson(
        Head(np.ones(1, np.float32), 0.0), Threshold(0.4, 0.1), 3, 4, [event] * n_past, 86_400.0,
        [(label, 3), ("dog", 1)],
    )  # fmt: skip
    taught = Taught(["a.wav"], [], "2026-11-26")
    told = teach._Answer(Sound(label), taught, lesson, [], Path("my bells.onnx"), 1.0, 3.0)
    past = SimpleNamespace(seconds=86_400.0)
    return "\n".join(told.lines(Model("pocket").card, past))


@pytest.mark.parametrize("label", ['q"uote', "$(reboot)", "it's", "-x", "my phone"])
def test_what_is_to_be_typed_works_in_a_shell(label):
    *_, listening, undo = answer(label, 1).splitlines()
    command = [*shlex.split(undo.removeprefix("Undo it:"))]
    assert command[:4] == ["streamclf", "teach", "--forget", "--model"]
    assert command[4] == "./my bells.onnx"
    assert command[5:] == (["--", label] if label.startswith("-") else [label])
    assert shlex.split(listening)[-1] == "./my bells.onnx"


def test_names_of_taught_sounds_in_a_list_are_told_apart():
    card = Model("pocket").card
    origin = Taught(["a.wav"], [], "2026-11-26")
    odd = ["a; b", "-x", "my phone", 'the "old" bell', "é"]
    labels = [*card.labels, *odd]
    taught = msgspec.structs.replace(card, labels=labels, taught=dict.fromkeys(odd, origin))
    told = [each.removesuffix(" (from 1 example on 2026-11-26)") for each in _taught_sounds(taught)]
    assert told == ['"a; b"', '"-x"', "my phone", "\"the 'old' bell\"", "é"]


def test_a_sound_taught_anew_is_not_told_as_taken_for_itself():
    assert "has taken the examples for dog (1), and goes on doing so" in answer("my phone", 1)


def test_more_events_than_wanted_are_told_with_a_way_out_that_helps():
    alone = answer("my phone", 1)
    assert "Was it something else? Teach again with --not hall@1.0s+1.0s, or with a lower" in alone
    assert "One example is enough for a sound that hardly varies" in alone
    assert "it finds 3 of 4 (made of the one example)." in alone
    assert "If it did sound then, teach it from more examples" in answer("my phone", 0)
    told = answer("my phone", 30)
    assert "teach again with their names: --not hall@1.0s+1.0s ...\n" in told.lower()
    assert "That is more than 3 a week (--at-most)" in told
    assert "lower --at-most" not in told


def test_a_folder_and_a_misspelt_recording_are_told_where_there_is_no_store(
    streamclf, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    mine = tmp_path / "mine.onnx"
    done = streamclf("teach", "my phone", tmp_path, "-o", mine)
    assert f"{tmp_path}: is a folder: name the recordings in it" in done.err
    done = streamclf("teach", "my phone", "nowhere.wav", "-o", mine)
    assert "nowhere.wav: is neither a recording nor an event of the store" in done.err
