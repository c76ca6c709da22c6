"""A model of AudioSet's labels on sets that have other names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import toys

from export.restate import restate
from streamclf.core.card import Thresholds
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from train import named_sounds
from train.audio import alarm_patterns
from train.audio.alarm_patterns import BEFORE_S, PATTERNS, make_alarms
from train.audio.soundscapes import Scene, TrueEvent
from train.datasets import audioset
from train.datasets.made_sounds import tone
from train.evaluation.event_metrics import Event
from train.evaluation.meanings import translate_events, translate_scores

pytestmark = pytest.mark.train

LABELS = ["Silence", "Dog", "Rain", "Smoke detector, smoke alarm"]
MEANS = {"dog": ("Dog", "Bark"), "rain": ("Rain",)}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Names tones of 300, 600 and 520 Hz by AudioSet's labels."""
    monkeypatch.setattr(toys, "TONES", {"Dog": 300.0, "Rain": 600.0, "alarm": 520.0})
    limits = Thresholds(on=0.5, off=0.4, max_gap=0.5, never=["Silence"])
    card = toys.toy_card(
        labels=LABELS, task="multi-label", activation="sigmoid", thresholds=limits,
        precisions={"0.9": Thresholds(on=0.99, off=0.4, never=["Silence"])},
    )  # fmt: skip
    return toys.write_tone_detector(tmp_path / "named.onnx", card)


@pytest.fixture
def classifier(model: Path) -> Classifier:
    return Classifier(Model(model, provider="cpu"))


def test_events_of_labels_that_mean_the_same_are_one() -> None:
    events = [
        Event("a", "Bark", 1.0, 2.0), Event("a", "Dog", 2.5, 4.0), Event("a", "Dog", 8.0, 9.0),
        Event("b", "Dog", 2.0, 3.0), Event("a", "Rain", 1.0, 9.0), Event("a", "Speech", 0.0, 9.0),
    ]  # fmt: skip
    named, others = translate_events(events, MEANS)
    assert named == [
        Event("a", "dog", 1.0, 4.0), Event("a", "rain", 1.0, 9.0), Event("a", "dog", 8.0, 9.0),
        Event("b", "dog", 2.0, 3.0),
    ]  # fmt: skip
    assert others == {"Speech": 1}


def test_score_of_a_class_is_the_highest_of_its_labels() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.9]], np.float32)
    given = translate_scores(scores, ["Dog", "Bark", "Rain"], MEANS | {"cat": ("Meow",)})
    np.testing.assert_allclose(given, [[0.7, 0.2, 0.0], [0.5, 0.9, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("kind", PATTERNS)
def test_alarm_has_its_pulses_and_level_after_a_pause_of_noise(kind: str) -> None:
    rate = 16000
    (piece,) = make_alarms(np.random.default_rng(1), kind, 20.0, 1, rate)
    begin = round(BEFORE_S * rate)
    power = piece.waveform[: len(piece.waveform) // 160 * 160].reshape(-1, 160)
    power = (power**2).mean(axis=1)
    loud = power > 20 * np.mean(piece.waveform[:begin] ** 2)
    assert not loud[: begin // 160].any()
    one_s, sounding = rate // 160, loud[begin // 160 :]
    expected = {"T4": 0.1}.get(kind, 0.5)
    n_pulses = int((np.diff(sounding.astype(int)) == 1).sum() + sounding[0])
    assert n_pulses == {"T4": 16}.get(kind, 15)
    assert sounding.sum() / one_s == pytest.approx(n_pulses * expected, rel=0.2)
    pulse = power[begin // 160 :][sounding].mean() / np.mean(piece.waveform[:begin] ** 2)
    assert 10 * np.log10(pulse) == pytest.approx(20, abs=1.5)


def test_no_label_is_silent_twice_and_what_means_a_class_is_an_event() -> None:
    silent = [label for labels in audioset.NO_EVENTS.values() for label in labels]
    assert len(silent) == len(set(silent))
    for means in (audioset.ESC50_MEANS, audioset.URBANSOUND8K_MEANS):
        assert not set(silent) & {label for labels in means.values() for label in labels}
    assert audioset.no_events(["Dog", "Noise", "Silence"]) == ["Noise", "Silence"]


@pytest.mark.data
def test_silent_labels_are_audiosets(data_dir: Path) -> None:
    names = audioset.read_label_names(data_dir / "teachers" / "audioset_class_labels_indices.csv")
    silent = {label for labels in audioset.NO_EVENTS.values() for label in labels}
    means = audioset.URBANSOUND8K_MEANS.values()
    assert silent | {label for labels in means for label in labels} <= set(names)
    assert set(named_sounds.LIKE_ALARMS) <= set(names)
    assert len(audioset.no_events(names)) == len(silent)


def test_clips_are_named_by_what_the_labels_mean(
    model: Path, make_esc, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(named_sounds, "ALARMS_SNR_DB", (-20.0, 20.0))
    data = make_esc(folds=2, per_class=1)
    figures = tmp_path / "figures.json"
    code = named_sounds.main(
        [str(model), "--data", str(data), "--folds", "1,2", "--scenes", "1", "--scene-fold", "2",
         "--alarms", "1", "-o", str(figures)]
    )  # fmt: skip
    assert code == 0
    assert "66.7% of 6 clips named (folds 1: 66.7%, 2: 66.7%)" in capsys.readouterr().out
    given = json.loads(figures.read_text())
    names = given["accuracy"]["names"]
    assert names["classes"] == {"dog": 1.0, "rain": 1.0, "water_drops": 0.0}
    restate(model, given)
    card = Model(model, provider="cpu").card
    assert card.accuracy["names"]["named"] == pytest.approx(2 / 3, abs=1e-4)
    assert set(card.accuracy) >= {"soundscapes", "alarms"}


def test_scenes_are_judged_at_each_precision(classifier: Classifier) -> None:
    rate = toys.RATE
    waveform = np.concatenate(
        [toys.silence(5), toys.tone(300, 5, level=0.6), toys.silence(4),
         toys.tone(520, 4, level=0.6), toys.silence(4)]
    )  # fmt: skip
    events = (TrueEvent("dog", 5 * rate, 10 * rate),)
    scene = Scene("scene", waveform, rate, 30.0, events)
    judged = named_sounds.judge_scenes(classifier, [scene], audioset.ESC50_MEANS)
    assert (judged["event_f1"], judged["event_precision"], judged["event_recall"]) == (1, 1, 1)
    assert judged["other_labels"] == {"Smoke detector, smoke alarm": 1}
    assert judged["psds1"] == 1
    # The card has thresholds for 0.9 alone, which nothing here reaches.
    assert judged["sureness"] == {
        "maybe": {"events": 2, "right": 1},
        "likely": {"events": 0, "right": 0},
        "sure": {"events": 0, "right": 0},
    }
    assert judged["precisions"]["0.9"]["event_recall"] == 0


def test_alarms_are_found_when_they_are_loud_enough(classifier: Classifier, monkeypatch) -> None:
    steady = {"steady": lambda random: tone(random, 1.0, 520.0, shape="sine")}
    monkeypatch.setattr(alarm_patterns, "PATTERNS", steady)
    monkeypatch.setattr(named_sounds, "PATTERNS", steady)
    monkeypatch.setattr(alarm_patterns, "LEVEL_DB", (-30.0, -30.0))
    judged = named_sounds.judge_alarms(classifier, 1)
    found = {"-10": 0.0, "0": 0.0, "10": 0.0, "20": 1.0}
    assert judged["smoke_alarm"] == judged["any_alarm"] == {"steady": found}
    assert judged["before"] == 0


def test_model_of_other_labels_is_refused_in_a_line(tone_model, tmp_path, capsys) -> None:
    assert named_sounds.main([str(tone_model), "--data", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "has not AudioSet's labels" in message
    assert len(message.strip().splitlines()) == 1
