"""A model file heard on clips that it does not come from, and on noise."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from tiny_sets import write
from toys import TONES, toy_card, write_loudness_meter, write_tone_detector

from streamclf.core.card import Thresholds
from train.audio.noise import LOUDNESS
from train.audio.tones import KINDS, make_tone
from train.cross_dataset import main

pytestmark = pytest.mark.train


@pytest.fixture
def bells(tmp_path):
    """Three kinds of clips of 4 s, of which a tone detector knows two by other names."""
    folder = tmp_path / "bells"
    for name, frequency in (("ding", TONES["high"]), ("dong", TONES["low"]), ("bell", 1700.0)):
        for take in "ab":
            write(folder / name / f"{take}.wav", seconds=4.0, frequency=frequency, rate=8000)
    return folder


@pytest.fixture
def model(tmp_path):
    return str(write_tone_detector(tmp_path / "tones.onnx", toy_card(version="3")))


def test_clips_of_shared_classes_are_named_and_found(bells, model, capsys):
    arguments = [model, "--data", str(bells), "--same", "ding=high", "dong=low"]
    assert main([*arguments, "--levels", "0", "-20", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["version"], result["clips"]) == ("tones", "3", 4)
    # At full level 2/3 of the score is the tone's; 20 dB lower "quiet" has nearly all of it.
    assert result["levels"]["0"] == {"named": 1.0, "found": 1.0, "false": 0.0}
    assert result["levels"]["-20"] == {"named": 0.0, "found": 0.0, "false": 1.0}
    assert main([*arguments, "--levels", "0"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "tones 3, 4 clips of folder:"
    assert said[1].startswith("   0 dB: 100.0% named (51.0% to 100.0%), 100.0% found as events, ")


def test_a_wrong_name_is_a_false_event_not_a_found_one(bells, model, capsys):
    arguments = [model, "--data", str(bells), "--same", "ding=low", "dong=low", "--levels", "0"]
    assert main([*arguments, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["levels"]["0"]
    assert row == {"named": 0.5, "found": 0.5, "false": 0.5}


def test_events_in_noise_are_counted_by_what_they_are_called(tmp_path, capsys):
    path = write_tone_detector(tmp_path / "tones.onnx", toy_card())
    assert main([str(path), "--noises", "6", "--seed", "1", "--json"]) == 0
    noise = json.loads(capsys.readouterr().out)["noise"]
    # To a detector of tones noise is "quiet", which is a class of its own.
    assert noise["noises"] == 6
    assert 3 <= noise["with_events"] <= 6
    assert noise["labels"]["quiet"] == noise["with_events"]
    path = write_tone_detector(path, toy_card(thresholds=Thresholds(on=1.0, off=1.0)))
    assert main([str(path), "--noises", "2"]) == 0
    said = capsys.readouterr().out
    assert said == "0 of 2 made noises of 20 s have events: nothing\n"


def test_events_in_tones_are_counted_by_kind(tmp_path, capsys):
    path = write_tone_detector(tmp_path / "tones.onnx", toy_card())
    assert main([str(path), "--tones", "5", "--json"]) == 0
    tones = json.loads(capsys.readouterr().out)["tones"]
    assert list(tones) == ["steady", "sweep", "steps"]
    for found in tones.values():
        # A detector of three tones of its own takes most others for "quiet", a class as well.
        assert (found["tones"], found["seconds"]) == (5, 20)
        assert found["with_events"] <= sum(found["labels"].values())
        assert set(found["labels"]) <= {"quiet", *TONES}
    assert any(found["with_events"] for found in tones.values())
    assert main([str(path), "--tones", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(" of 1 ")[2].partition(" of 20 s")[0] for line in said] == [
        "made tones (steady)", "made tones (sweep)", "made tones (steps)",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_made_tones_are_what_they_are_called(kind):
    random = np.random.default_rng(2)
    for _ in range(6):
        tone = make_tone(random, 64000, 16000, kind)
        assert np.sqrt(np.mean(tone**2)) == pytest.approx(LOUDNESS, rel=1e-3)
        frames = np.abs(np.fft.rfft(tone.reshape(-1, 1600) * np.hanning(1600)))
        peaks = frames.argmax(axis=1)
        if kind == "steady":
            assert np.ptp(peaks) <= 1
        else:
            assert len(set(peaks.tolist())) > 2
        # Next to nothing lies where only a mirror image could.
        assert frames[:, -30:].max() < 0.05 * frames.max()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to hear: give --data and --same, --noises N, --tones N, or all"),
        (["--data", "BELLS"], "--data and --same belong together"),
        (["--same", "a=b"], "--data and --same belong together"),
        (["--noises", "-1"], "--noises is -1, must be 0 or more"),
        (["--tones", "-1"], "--tones is -1, must be 0 or more"),
        (["--noises", "1", "--levels", "3"], "--levels: 3 dB, must be between -90 and 0"),
        (
            ["--data", "BELLS", "--same", "gong=low"],
            "folder has no 'gong', it has bell, ding, dong",
        ),
        (["--data", "BELLS", "--same", "ding=up"], "the model has no 'up', it has quiet, low"),
        (["--same", "ding"], "'ding' must be THEIRS=OURS, as in dog_bark=dog"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(bells, model, capsys, arguments, said):
    given = [str(bells) if word == "BELLS" else word for word in arguments]
    try:
        code = main([model, *given])
    except SystemExit as exit_:  # argparse's own
        code = exit_.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_regression_has_no_names_to_compare(tmp_path, capsys):
    path = write_loudness_meter(tmp_path / "meter.onnx")
    assert main([str(path), "--noises", "1"]) == 2
    assert "gives a value, not names" in capsys.readouterr().err
