"""The past judged again: by other thresholds, by a taught model, and by rules."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import soundfile
from judged import (
    BEGUN_US,
    DIGEST,
    LABELS,
    RATE,
    WINDOW,
    ask_backtest,
    keep,
    make_box,
)

from streamclf.core.card import Card, Features, Taught, Threshold, Thresholds
from streamclf.core.errors import UsageError
from streamclf.core.records import Gap, Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.model.model_file import find_model
from streamclf.pipeline.engine import Engine
from streamclf.store.features.feature_store import FeatureFile, FeatureStore
from streamclf.store.features.layout import (
    scores_of,
)
from streamclf.teach.backtest import CardScorer
from streamclf.teach.judged_past import JudgedPast
from streamclf.teach.past import Past
from streamclf.teach.search.example import Example
from streamclf.teach.search.search import search
from streamclf.teach.taught_graph import Head, read_graph

PAST = "In the past (60 minutes) pocket"


def card_of(labels=LABELS, taught=(), **changes):
    """A card of a model whose labels sound together."""
    return Card(
        name="made", labels=[*labels, *taught], task="multi-label", activation="sigmoid",
        sample_rate=RATE, window_samples=WINDOW, thresholds=Thresholds(on=0.5, off=0.3),
        features=Features("kept", 4, 0.1), taught={each: Taught(["a.wav"]) for each in taught},
        **changes,
    )  # fmt: skip


def rough_scores(n_windows):
    """Scores of sounds that come and go, most of them faint."""
    random = np.random.default_rng(5)
    scores = random.random((n_windows, len(LABELS)), np.float32) ** 6 * 0.3
    for begin in range(50, n_windows - 60, 190):
        label = random.integers(len(LABELS))
        scores[begin : begin + random.integers(3, 50), label] = random.uniform(0.3, 1.0)
    return scores


@pytest.mark.parametrize("kinds", [(), ("Bark", "Yip")])
@pytest.mark.parametrize("before_midnight", [None, 238, 242, 250, 330, 915])
def test_what_is_judged_again_is_what_was_heard(tmp_path, before_midnight, kinds):
    """Judged stretch by stretch from the highest scores: the same events as from all scores.

    So it is where midnight, and with it the begin of a file, comes shortly before a sound (at 240),
    while it sounds, while nothing does, and in a gap; and where a dog only barks, and barks are
    told as dogs.
    """
    missing = {*range(900, 930), 2000}
    scores = rough_scores(4000 if before_midnight is None else 1000)
    labels = [*LABELS[: len(LABELS) - len(kinds)], *kinds]
    if kinds:
        labels[0] = "Dog"
        scores[:, -1], scores[:, :-1] = scores.max(axis=1), 0
    begun_us = BEGUN_US
    if before_midnight is not None:
        begun_us += 12 * 3_600_000_000 - 500_000 * before_midnight
    keep(tmp_path, scores, labels, missing=missing, begun_us=begun_us)
    settings = Settings(
        thresholds=Thresholds(on=0.4, off=0.25, classes={"sound 3": Threshold(0.8, 0.5)})
    )
    card = card_of(labels, broader={kind: ["Dog"] for kind in kinds})

    def items():
        expected = 0
        for number, row in enumerate(scores):
            if number in missing:
                continue
            position = number * RATE // 2
            if position - expected > RATE - 1:
                yield Gap(expected, position - expected, RATE, "source")
            yield Scores(position, WINDOW, row)
            expected = position

    live = [
        (event.label, event.onset / RATE, event.offset / RATE, pytest.approx(event.score, abs=1e-3))
        for event in Engine(CardScorer(card), settings).judge(items())
        if isinstance(event, SoundEvent)
    ]
    judged = JudgedPast(card, settings, {})
    past = Past(FeatureStore(tmp_path), DIGEST)
    found = [(e.label, e.onset_s, e.offset_s, e.score) for e in judged.events(past)]
    assert len(live) > len(scores) / 400
    assert not kinds or {label for label, *_ in live} == {"Dog"}
    assert sorted(live, key=lambda each: each[:3]) == sorted(found)
    assert judged.n_windows == len(scores) - len(missing & {*range(len(scores))})


def test_a_damaged_record_has_no_score_of_a_label_that_there_is_not(tmp_path):
    scores = rough_scores(600)
    keep(tmp_path, scores)
    (path,) = tmp_path.glob("*/*")
    card, found = card_of(), []
    for labels in (b"", b"\xff" * 4):
        file = FeatureFile.open(path)
        begin = path.stat().st_size - 500 * file.records.itemsize
        begin += file.records.dtype.fields["labels"][1]
        content = bytearray(path.read_bytes())
        content[begin : begin + len(labels)] = labels
        path.write_bytes(content)
        judged = JudgedPast(card, Settings(), {}).events(Past(FeatureStore(tmp_path), DIGEST))
        found.append([(each.label, each.onset_s) for each in judged])
    assert found[0] == found[1]
    assert found[0]


def test_a_time_that_no_calendar_knows_is_none(tmp_path):
    keep(tmp_path, rough_scores(600), begun_us=2**62)
    card = card_of()
    events = [*JudgedPast(card, Settings(), {}).events(Past(FeatureStore(tmp_path), DIGEST))]
    assert events
    assert {event.onset_us for event in events} == {None}
    example = Example(np.ones((1, 4), np.float32), DIGEST, "made 1")
    (moment, *_) = search(FeatureStore(tmp_path), example, 3)
    assert moment.time is None


def test_a_sound_taught_since_is_computed_from_the_features(tmp_path):
    values = np.zeros((600, 4), np.int8)
    values[300:308, 1] = 40  # of length 1 a feature of 1
    keep(tmp_path, np.full((600, len(LABELS)), 0.01, np.float32), values=values)
    head = Head(np.float32([0, 8, 0, 0]), -4.0)
    past = Past(FeatureStore(tmp_path), DIGEST)
    (event,) = JudgedPast(card_of(taught=["bell"]), Settings(), {"bell": head}).events(past)
    assert (event.label, event.source) == ("bell", "yard")
    assert event.onset_s == pytest.approx(150, abs=1.5)
    assert event.onset_us == BEGUN_US + round(event.onset_s * 1e6)
    with pytest.raises(UsageError, match="has no scores of bell, and they cannot be computed"):
        list(JudgedPast(card_of([*LABELS, "bell"]), Settings(), {}).events(past))


def test_scores_lie_beside_features_of_the_same_network_with_other_labels(tmp_path):
    """A model that was taught on the same day has a file of its own; both can be searched."""
    rows = np.full((3, len(LABELS)), 0.1, np.float32)
    keep(tmp_path, rows)
    keep(tmp_path, np.full((3, 21), 0.1, np.float32), [*LABELS, "bell"])
    files = [*FeatureStore(tmp_path).files(digest=DIGEST)]
    assert [len(file.records) for file in files] == [3, 3]
    assert {len(file.header.labels) for file in files} == {20, 21}
    assert not any(file.header.recording for file in files)
    assert scores_of(["x" * 60] * 1000) == 0


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    return make_box(tmp_path_factory.mktemp("box"))


def test_a_lower_threshold_tells_more(streamclf, box):
    assert ask_backtest(streamclf, box).startswith(
        "In the past (60 minutes) pocket would have told nothing."
    )
    lines = ask_backtest(streamclf, box, "--threshold", "0.2").splitlines()
    assert lines[0] == f"{PAST} would have told:"
    assert lines[1].split() == ["dog", "3", "then:", "1"]
    assert [line.split()[0] for line in lines[3:]] == ["Wed"] * 3
    out = ask_backtest(streamclf, box, "--threshold", "0.2", "--format", "jsonl")
    events = [json.loads(line) for line in out.splitlines()]
    assert [round(event["onset"], -1) for event in events] == [500, 1500, 2500]
    assert [event.get("event", "")[:3] for event in events] == ["", "dog", ""]
    assert {event["label"] for event in events} == {"dog"}


def test_a_long_answer_tells_how_far_it_is(streamclf, box, monkeypatch):
    monkeypatch.setattr("streamclf.cli.backtest.TELL_EVERY_S", 0)
    asked = "--since", "2026-11-25", "--store", box / "s.db", "--model", "pocket"
    done = streamclf("backtest", *asked, "--only", "dog", "--threshold", "0.2")
    assert done.err.splitlines() == [
        f"streamclf: has come to 60 minutes of 60 minutes: {events}"
        for events in ("0 events", "0 events", "1 event", "2 events", "3 events")
    ]


def test_a_model_whose_card_lies_beside_it_is_judged(streamclf, box, tmp_path):
    model = read_graph(find_model("pocket"))
    (card,) = (each.value for each in model.metadata_props if each.key == "streamclf")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "their.onnx")
    arguments = "--threshold", "0.2", "--model", tmp_path / "their.onnx"
    refused = streamclf("backtest", *arguments, "--store", box / "s.db")
    assert "its card names no features" in refused.err
    (tmp_path / "their.json").write_text(card, encoding="utf-8")
    assert ask_backtest(streamclf, box, *arguments) == ask_backtest(
        streamclf, box, "--threshold", "0.2"
    )


def test_rules_are_tried_on_what_would_have_been(streamclf, box, monkeypatch):
    monkeypatch.chdir(box)
    settings = box / "box.toml"
    settings.write_text(
        'store = "s.db"\n[[sources]]\nname = "yard"\nurl = "sim:x.wav"\n'
        '[[rules]]\nname = "dogs"\nlabels = ["dog"]\ncooldown = "20m"\n',
        encoding="utf-8",
    )
    out = ask_backtest(streamclf, box, "--threshold", "0.2", "--rules", "--config", settings)
    assert out.startswith("dogs: would have told 2 times since 2026-11-25")  # 17 minutes apart
    out = ask_backtest(streamclf, box, "--threshold", "0.4", "--rules", "--config", settings)
    assert out.startswith("dogs: would have told nothing")


@pytest.mark.parametrize("command", [
    ["backtest"], ["search", "--like", "bell.wav"], ["teach", "my bell", "bell.wav"],
])  # fmt: skip
def test_a_folder_of_features_that_is_none_is_told(streamclf, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    soundfile.write("bell.wav", np.sin(np.arange(RATE) * 0.3) * 0.5, RATE)
    (tmp_path / "empty").mkdir()
    done = streamclf(*command, "--features", "empty")
    assert (done.code, done.out) == (2, "")
    assert "empty: no features are kept yet" in done.err
    for folder, why in [("none", "there is no such folder"), ("bell.wav", "is a file")]:
        done = streamclf(*command, "--features", folder)
        assert (done.code, done.out) == (2, "")
        assert f"--features {folder}: {why}: name the folder" in done.err


def test_features_by_themselves_are_asked_by_source_and_time(streamclf, tmp_path, monkeypatch):
    """As a store is: by the end of a path; of a time without any there is nothing."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("bell.wav", np.sin(np.arange(3 * RATE) * 0.3) * 0.5, RATE)
    assert streamclf("file", "bell.wav", "--features", "kept").code == 0
    commands = ["backtest"], ["search", "--like", "bell.wav"], ["teach", "my bell", "bell.wav"]
    for command in commands[:2]:
        done = streamclf(*command, "--features", "kept", "--source", "bell.wav", "-f", "jsonl")
        assert done.code == 0
    for command in commands:
        done = streamclf(*command, "--features", "kept", "--source", "bel", "-f", "jsonl")
        assert (done.code, done.out) == (2, "")
        assert "--source bel: kept has no source of this name; it has" in done.err
        done = streamclf(*command, "--features", "kept", "--since", "2099-02-22")
        assert (done.code, done.out) == (2, "")
        assert "has not come yet" in done.err


@pytest.mark.parametrize(("arguments", "said"), [
    (["--features", "empty"], "empty: no features are kept yet"),
    (["--features", "empty", "--until", "2 days ago", "--since", "1 hour ago"], "exchange them"),
    (["--features", "empty", "--since", "2099-02-22"], "has not come yet"),
    (["--features", "empty", "--source", "yard"], "empty has no source of this name; it is empty"),
    (["--features", "empty", "--model", "./a.onnx"], "is a recording, not a model"),
    (["--config", "x.toml"], "--config: names the rules: add --rules"),
    (["--rules", "--features", "x"], "--rules: are about live sources"),
    (["--threshold", "2"], "--threshold 2.0: must lie between 0 and 1"),
])  # fmt: skip
def test_wrong_usage_is_one_line(streamclf, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.onnx").write_bytes(b"RIFF")
    done = streamclf("backtest", *arguments)
    assert done.code in (1, 2)
    assert said in done.err
    assert done.err.count("\n") == 1
