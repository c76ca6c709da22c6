"""Held-out clips heard again when they are quiet."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from export.__main__ import main as export
from streamclf.model.model_file import Model
from train.datasets import open_clips
from train.levels import change_level, main
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


def test_clips_are_scaled_and_rounded_where_they_lie(make_esc):
    clips = open_clips(make_esc(folds=2), 16000)
    second = clips.of_folds([2])
    quiet = change_level(second, -20.0)
    assert quiet.targets.tolist() == second.targets.tolist()
    for index in range(len(second.clips)):
        before, after = second.waveform(index), quiet.waveform(index)
        np.testing.assert_allclose(after, before / 10, atol=0.5001 / 32768)
        np.testing.assert_array_equal(after * 32768, np.rint(after * 32768))
    assert change_level(second, 0.0).samples.tolist() == np.concatenate(
        [np.rint(second.waveform(k) * 32768) for k in range(len(second.clips))]
    ).tolist()  # fmt: skip


@pytest.fixture
def run(make_esc, train_once):
    """A run that knows its tones, and where its data lies."""
    more = ("--start", "pocket", "--last-layer", "--threads", "1")
    return train_once("last-layer", make_esc(folds=2, per_class=3), "pocket", *more)


def test_levels_are_measured_and_told_by_the_card(run, capsys):
    assert main([str(run), "--levels", "0", "-20", "-90"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" dB")[0].strip() for line in lines] == ["0", "-20", "-90"]
    assert "100.0% of 9 clips (" in lines[0]
    result = RunFolder(run).read_json("levels.json")
    assert (
        result["averaged_windows"]["0"]
        == RunFolder(run).read_json("result.json")["averaged_windows"]
    )
    # Three steps of 16 bits are left of a tone: silence in three classes.
    assert result["averaged_windows"]["-90"] < 1
    assert main([str(run), "--levels", "-10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 9


def test_the_card_says_how_quiet_sounds_may_be(run, tmp_path, monkeypatch):
    monkeypatch.setattr("export.card.run_card.MIN_CLIPS", 1)
    assert main([str(run), "--levels", "0", "-40"]) == 0
    assert export([str(run), "-o", str(tmp_path / "quiet.onnx")]) == 0
    card = Model(tmp_path / "quiet.onnx", provider="cpu").card
    assert card.accuracy["levels"] == RunFolder(run).read_json("levels.json")


def test_what_cannot_be_measured_is_said(run, tmp_path, capsys):
    assert main([str(run), "--levels", "3"]) == 2
    assert main([str(run), "--levels", "-91"]) == 2
    (run / "held_out.safetensors").unlink()
    assert main([str(run)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "--levels: 3 dB, must be between -90 and 0" in said[-3]
    assert "-91 dB" in said[-2]
    assert "held no clips of classes out" in said[-1]
