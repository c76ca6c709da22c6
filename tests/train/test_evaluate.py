# ruff: noqa: E402
"""``python -m train.evaluate`` and ``python -m train.compare``, after a training of seconds."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import export.__main__ as export_main
from train import compare, evaluate
from train.cli.network_command import main as train
from train.evaluation.clip_accuracy import evaluate_network
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


@pytest.fixture
def trained(make_esc, tmp_path):
    data, save = make_esc(per_class=1), tmp_path / "run"
    arguments = ["--data", str(data), "--save", str(save), "--epochs", "1", "--accelerator", "cpu"]
    assert train("pocket", arguments) == 0
    return data, save


def test_evaluate_writes_tables_and_pictures_and_keeps_the_minutes(trained, capsys):
    _, run = trained
    before = json.loads((run / "result.json").read_text())
    assert evaluate.main([str(run)]) == 0
    after = json.loads((run / "result.json").read_text())
    assert after == before
    assert {"confusion.csv", "confusion.png", "reliability.png"} <= {p.name for p in run.iterdir()}
    with (run / "confusion.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["is / named as", "dog", "rain", "water_drops"]
    assert sum(int(n) for row in rows[1:] for n in row[1:]) == 3
    assert set(after["classes"]) == {"dog", "rain", "water_drops"}
    assert len(after["single_windows_interval_95"]) == len(after["interval_95"]) == 2
    assert "of 3 clips of fold 3" in capsys.readouterr().out


def test_evaluate_of_another_fold_leaves_the_runs_result_alone(trained, capsys):
    _, run = trained
    before = (run / "result.json").read_bytes()
    assert evaluate.main([str(run), "--fold", "1"]) == 0
    assert "was trained on" in capsys.readouterr().err
    assert (run / "result.json").read_bytes() == before
    assert json.loads((run / "evaluated-fold-1" / "result.json").read_text())["fold"] == "1"


def test_evaluate_fails_in_one_line(trained, make_esc, tmp_path, capsys):
    _, run = trained
    assert evaluate.main([str(tmp_path)]) == 1
    assert evaluate.main([str(run), "--fold", "9"]) == 2
    other = make_esc(folder="other", per_class=1)
    for path in (other / "audio").iterdir():
        if path.stem.endswith("-1"):
            path.unlink()
    assert evaluate.main([str(run), "--data", str(other)]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 3
    assert "no run folder" in errors[0]
    assert "fold 9 is not there, the data has 1, 2, 3" in errors[1]
    assert "has 2 labels (dog, water_drops, ...), the run 3" in errors[2]


def test_judge_of_a_regression_is_beside_the_median(make_esc):
    from dataclasses import replace

    from train.datasets import open_clips

    clips = open_clips(make_esc(folds=1, per_class=4), 16000)
    valued = tuple(replace(clip, target=k / 11) for k, clip in enumerate(clips.clips))
    clips = replace(clips, clips=valued, labels=("value",), task="regression")

    class Half(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.value = torch.nn.Parameter(torch.full((1,), 0.5))

        def forward(self, waveform):
            return self.value.expand(len(waveform), 1)

    class Stand:
        task, window_samples, fill = "regression", 16000, "mirror"

        def crops(self, waveform):
            return [waveform[:16000]]

    result, heard = evaluate_network(Stand(), Half(), clips)
    expected = np.abs(clips.targets - 0.5).mean()
    assert result["mean_absolute_error"] == pytest.approx(expected, abs=1e-4)
    assert result["median_baseline"] == result["mean_absolute_error"]
    assert result["spearman"] is None
    assert result["area_under_curve"] == 0.5
    assert result["positives"] == 3
    assert heard.is_regression


def test_cross_validation_holds_each_fold_out_once(make_esc, tmp_path, capsys):
    data, root = make_esc(per_class=1), tmp_path / "cv"
    arguments = ["--data", str(data), "--save", str(root), "--accelerator", "cpu"]
    arguments += ["--epochs", "1", "--folds", "all"]
    assert train("pocket", arguments) == 0
    result = json.loads((root / "result.json").read_text())
    own = [json.loads((root / f"fold-{k}" / "result.json").read_text()) for k in (1, 2, 3)]
    folds = [json.loads((root / f"fold-{k}" / "config.json").read_text())["data"] for k in (1, 2)]
    assert [(data["folds"], data["test_fold"]) for data in folds] == [([2, 3], 1), ([1, 3], 2)]
    values = [row["averaged_windows"] for row in own]
    assert result["averaged_windows"] == pytest.approx(np.mean(values), abs=1e-4)
    assert result["averaged_windows_spread"] == pytest.approx(np.std(values, ddof=1), abs=1e-4)
    assert result["clips"] == 9
    assert "over 3 folds" in capsys.readouterr().out
    # Going on does what is missing, and nothing twice.
    kept = (root / "fold-1" / "weights.safetensors").stat().st_mtime_ns
    shutil.rmtree(root / "fold-2")
    resume = [*arguments[:-4], "--resume"]
    assert train("pocket", resume) == 0
    assert (root / "fold-1" / "weights.safetensors").stat().st_mtime_ns == kept
    again = json.loads((root / "fold-2" / "result.json").read_text())
    assert again["averaged_windows"] == own[1]["averaged_windows"]
    assert evaluate.main([str(root)]) == 0
    assert json.loads((root / "result.json").read_text())["clips"] == 9
    assert compare.main([str(root), "--json"]) == 0
    assert export_main.main([str(root), "-o", str(tmp_path / "x.onnx")]) == 1
    assert "name one of its folds" in capsys.readouterr().err


def test_compare_keeps_the_others_where_a_run_has_not_ended(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "MEASURED_S", 0.01)
    _, run = trained
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "weights.safetensors").unlink()
    capsys.readouterr()
    assert compare.main([str(unfinished), str(run), "--json"]) == 1
    printed = capsys.readouterr()
    assert [row["run"] for row in json.loads(printed.out)] == [str(run)]
    assert "training has not ended; --resume --save" in printed.err


def test_compare_measures_the_model_file_where_there_is_one(trained, monkeypatch, capsys):
    monkeypatch.setattr(compare, "MEASURED_S", 0.01)
    _, run = trained
    capsys.readouterr()
    assert compare.main([str(run), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["network"], row["measured_with"], row["megabytes"]) == ("pocket", "torch", None)
    assert row["clips"] == 3
    assert row["multiply_adds"] > 2e7
    assert export_main.main([str(run), "-o", str(run / "model.onnx")]) == 0
    capsys.readouterr()
    assert compare.main([str(run), "--csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["measured_with"] == "ONNX Runtime"
    assert float(row["megabytes"]) > 1
    assert float(row["x_real_time"]) > 0
    assert compare.main([str(run), str(run)]) == 0
    assert capsys.readouterr().out.count("ONNX Runtime") == 2
    assert compare.main([str(run / "nowhere")]) == 1
    assert "no run folder" in capsys.readouterr().err


def test_runs_without_a_result_are_read(trained):
    _, path = trained
    (path / "result.json").unlink()
    assert compare.describe_run(path)["accuracy"] is None
    assert RunFolder(path).read_held_out() is not None
