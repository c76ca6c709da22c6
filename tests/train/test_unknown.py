from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from train.base.errors import UsageError
from train.datasets import open_clips
from train.nets.inference import WindowLogits
from train.run_folder.fold_split import leave_out
from train.run_folder.run import RunFolder
from train.unknown import SCORES, main, make_noises, measure_familiarity

pytestmark = pytest.mark.train


def test_sure_windows_are_more_known_than_even_ones():
    logits = np.array([[9.0, 0, 0]] * 8 + [[1.0, 1, 1]] * 8, dtype=np.float32)
    known = measure_familiarity(WindowLogits(logits, np.arange(2).repeat(8), np.array([0, 0])))
    for name in SCORES:
        sure, even = known.scores[name]
        assert sure > even, name


def test_known_is_what_three_seconds_say():
    # Six windows make an average; one sure window of eight is not enough.
    logits = np.zeros((8, 3), dtype=np.float32)
    logits[4, 0] = 50.0
    known = measure_familiarity(WindowLogits(logits, np.zeros(8, dtype=int), np.array([0])))
    assert known.scores["highest"][0] == pytest.approx((1 + 5 / 3) / 6)
    assert known.scores["logit"][0] == pytest.approx(50 / 6)


def test_made_noises_have_many_levels():
    noises = make_noises(20, 8000)
    levels = [np.abs(noises.waveform(k)).max() for k in range(20)]
    assert len(noises.clips) == 20
    assert max(levels) > 50 * min(levels)
    assert noises.lengths.tolist() == [40000] * 20


def test_leave_out_numbers_the_rest_anew(make_esc):
    clips = open_clips(make_esc(), 16000)
    rest = leave_out(clips, ["rain"])
    assert rest.labels == ("dog", "water_drops")
    assert len(rest.clips) == 12
    for clip in rest.clips:
        assert rest.labels[clip.target] == ("dog" if clip.filename.endswith("-0.wav") else
                                            "water_drops")  # fmt: skip
    with pytest.raises(UsageError, match="has no class 'cow'"):
        leave_out(clips, ["cow"])
    with pytest.raises(UsageError, match="leaves 1 of 3"):
        leave_out(clips, ["dog", "rain"])


@pytest.fixture
def run(make_esc, train_once, narrow_pocket):
    """A run trained without one of three classes."""
    more = ("--epochs", "1", "--leave-out", "rain", "--accelerator", "cpu")
    return train_once("without-rain", make_esc(), "pocket", *more)


def test_command_measures_left_out_classes_and_noise(run, make_esc, capsys):
    capsys.readouterr()
    assert RunFolder.open(run).read_json("config.json")["labels"] == ["dog", "water_drops"]
    other = make_esc(folder="other")
    arguments = [str(run), "--noises", "5", "--unknown", str(other), "--classes", "rain"]
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["known"] == 4
    assert set(said["scores"]) == set(SCORES)
    clips = {"noise": 5, "tones": 5, "left out": 2, "other data": 6}
    for row in said["scores"].values():
        assert {kind: row[kind]["clips"] for kind in clips} == clips
        assert all(0 <= row[kind]["area_under_curve"] <= 1 for kind in clips)
    assert main([str(run), "--noises", "5"]) == 0
    assert "AUROC, left out (2)" in capsys.readouterr().out


def test_command_fails_in_one_line(run, tmp_path, capsys):
    esc = str(tmp_path / "esc")
    for more, said in (
        (["--noises", "0"], "--noises is 0"),
        (["--classes", "rain"], "--classes are those of the data"),
        (["--unknown", esc, "--classes", "dog"], "trained on 'dog'"),
        (["--unknown", esc, "--classes", "cow"], "has no 'cow'"),
    ):
        capsys.readouterr()
        assert main([str(run), *more]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: ")
        assert said in last
