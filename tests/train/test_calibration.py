from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from test_export import RECIPE, make_held_out, make_run

import export.__main__ as export_main
from export.calibration import main as calibration_main
from export.card.temperature import (
    BOTH,
    RUNNING,
    WHOLE,
    calibration_error,
    clip_averages,
    fit_temperature,
    running_averages,
    take_clips,
    tempered_after,
)
from export.card.thresholds import choose_thresholds, find_unknown_threshold
from export.errors import ExportError
from streamclf.model.model_file import Model
from train.nets.inference import WindowLogits, softmax
from train.run_folder.run import RunFolder

pytestmark = pytest.mark.train


def make_disagreeing(n_clips=600, n_windows=8, n_classes=4, seed=1):
    """Sharp windows of which one in four names another class: a clip is right nearly always."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, n_classes, n_clips)
    named = targets.repeat(n_windows)
    wrong = random.random(len(named)) < 0.25
    named = np.where(wrong, random.integers(0, n_classes, len(named)), named)
    logits = 6.0 * np.eye(n_classes)[named]
    return WindowLogits(
        logits.astype(np.float32), np.arange(n_clips).repeat(n_windows), targets.astype(np.int64)
    )


def test_temperature_after_averaging_calibrates_windows_that_disagree():
    heard = make_disagreeing()
    before, _ = calibration_error(heard, clip_averages, clip_averages)
    tempered = tempered_after(clip_averages)
    after, bins = calibration_error(heard, tempered, tempered)
    assert after < 0.05 < before
    assert sum(row["clips"] for row in bins) == 600


def test_averages_of_clips_shorter_than_a_window_stay_weighed():
    heard = make_disagreeing(20, n_windows=1)
    weight = np.linspace(0.2, 1, 20, dtype=np.float32)
    weighed = replace(heard, weight=weight)
    for average in (RUNNING, WHOLE, BOTH):
        scores = np.stack([clip[0] for clip in average(weighed, 0.6)])
        plain = np.stack([clip[0] for clip in average(heard, 0.6)])
        np.testing.assert_allclose(scores, plain * weight[:, None], rtol=1e-5)
    wanted = np.arange(20) % 2 == 0
    np.testing.assert_array_equal(take_clips(weighed, wanted).weight, weight[::2])


def test_a_temperature_is_fitted_to_three_seconds_and_to_whole_clips_alike():
    heard = make_disagreeing(200, n_windows=12)
    alone = [fit_temperature(heard, averages) for averages in (RUNNING, WHOLE)]
    assert min(alone) < fit_temperature(heard) < max(alone)
    (clip, *_), (running, *_), (whole, *_) = (way(heard, 0.7) for way in (BOTH, RUNNING, WHOLE))
    np.testing.assert_array_equal(clip, np.vstack([running, np.tile(whole, (12, 1))]))


def test_tempered_after_is_the_temperature_of_a_window_alone():
    heard = make_disagreeing(5, n_windows=1)
    (before, after) = (way(heard, 0.7) for way in (clip_averages, tempered_after(clip_averages)))
    np.testing.assert_allclose(before, after, atol=1e-9)
    np.testing.assert_allclose(before[0][0], softmax(heard.logits[0], 0.7), atol=1e-9)


def test_a_fit_averages_its_clips_once():
    heard, other = make_held_out(60), make_held_out(60, sharpness=3.0)
    averaged = []

    def average(clips, temperature):
        averaged.append(clips)
        return clip_averages(clips, temperature)

    tempered = tempered_after(average)
    temperatures = [fit_temperature(clips, tempered) for clips in (heard, other, heard)]
    assert list(map(id, averaged)) == [id(heard), id(other), id(heard)]
    assert temperatures[0] == temperatures[2] == fit_temperature(heard, WHOLE) != temperatures[1]


def test_calibration_error_is_of_clips_not_fitted_to(monkeypatch):
    seen = []

    def fit(heard, averages):
        seen.append(set(np.unique(heard.logits[:, 0])))
        return fit_temperature(heard, averages)

    monkeypatch.setattr("export.card.temperature.fit_temperature", fit)
    heard = make_disagreeing(50, n_windows=2)
    marked = np.arange(50, dtype=np.float32).repeat(2) / 1000
    heard = WindowLogits(heard.logits + marked[:, None], heard.clip, heard.targets)
    calibration_error(heard, running_averages, running_averages)
    assert len(seen) == 5
    everything = set(np.unique(heard.logits[:, 0]))
    left_out = [everything - part for part in seen]
    assert set.union(*left_out) == everything
    assert sum(map(len, left_out)) == len(everything)


def test_take_clips_numbers_them_anew():
    heard = make_disagreeing(4, n_windows=2)
    taken = take_clips(heard, np.array([False, True, False, True]))
    assert taken.clip.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(taken.logits, heard.logits[[2, 3, 6, 7]])
    assert taken.targets.tolist() == heard.targets[[1, 3]].tolist()


def make_uneven(n_each, seed=1):
    """Class 0 is always right, class 1 is also named, less surely, for half of class 2's clips."""
    random = np.random.default_rng(seed)
    targets = np.arange(3).repeat(n_each)
    named = np.where((targets == 2) & (random.random(len(targets)) < 0.5), 1, targets)
    sureness = random.uniform(1, np.where(named == targets, 5, 3))
    logits = sureness[:, None] * np.eye(3)[named]
    return WindowLogits(logits.astype(np.float32), np.arange(len(targets)), targets)


def test_classes_have_thresholds_of_their_own():
    thresholds, figures = choose_thresholds(make_uneven(200), 1.0, 0.9, ["a", "b", "c"])
    assert thresholds.of("a").on < thresholds.on < thresholds.of("b").on
    assert thresholds.of("b").off < thresholds.of("b").on
    assert 0 < figures["cross_fitted"]["precision"] <= 1


def test_class_that_is_never_right_often_enough_has_no_lower_threshold():
    heard = make_uneven(100)
    hopeless = WindowLogits(
        heard.logits, heard.clip, np.where(heard.targets == 1, 0, heard.targets)
    )
    thresholds, _ = choose_thresholds(hopeless, 1.0, 0.7, ["a", "b", "c"])
    assert thresholds.of("b").on >= thresholds.on


def test_threshold_of_unknown_sounds_keeps_most_known_clips():
    heard = make_uneven(400)
    threshold = find_unknown_threshold(heard, 1.0)
    highest = softmax(heard.logits.astype(np.float64)).max(axis=1)
    assert (highest >= threshold).mean() == pytest.approx(0.95, abs=0.005)
    # However sure it was of these, what is as sure as this is known.
    sure = WindowLogits(100 * heard.logits, heard.clip, heard.targets)
    assert find_unknown_threshold(sure, 1.0) == 0.9


def test_no_event_is_less_sure_than_what_counts_as_unknown():
    heard = make_uneven(200)
    thresholds, figures = choose_thresholds(heard, 1.0, 0.5, ["a", "b", "c"], lowest=0.8)
    assert all(thresholds.of(label).on >= 0.8 for label in "abc")
    free, more = choose_thresholds(heard, 1.0, 0.5, ["a", "b", "c"])
    assert min(free.of(label).on for label in "abc") < 0.8
    assert figures["recall"] < more["recall"]
    assert figures["cross_fitted"]["recall"] < more["cross_fitted"]["recall"]


def test_class_of_few_clips_stays_near_the_common_threshold():
    spread = []
    for n_each in (2, 200):
        thresholds, _ = choose_thresholds(make_uneven(n_each), 1.0, 0.9, ["a", "b", "c"])
        spread.append(max(abs(thresholds.of(label).on - thresholds.on) for label in "abc"))
    assert spread[0] < spread[1]


def make_final(tmp_path):
    """A run trained on every fold, without held-out clips, and its configuration."""
    run = RunFolder(make_run(tmp_path / "final"))
    run.remove("held_out.safetensors")
    run.remove("result.json")
    config = run.read_json("config.json")
    config["data"] |= {"folds": [1, 2, 3], "test_fold": 0}
    run.write_json("config.json", config)
    return run


def test_final_run_takes_its_figures_from_another(tmp_path):
    final, other = make_final(tmp_path), make_run(tmp_path / "held-3")
    alone, _ = export_main.export(final.path, tmp_path / "alone.onnx")
    assert (alone.temperature, alone.accuracy) == (1.0, {})
    output = tmp_path / "final.onnx"
    arguments = [str(final.path), "-o", str(output), "--calibrated-by", str(other)]
    assert export_main.main(arguments) == 0
    card = Model(output).card
    own, _ = export_main.export(other, tmp_path / "other.onnx")
    assert (card.temperature, card.thresholds) == (own.temperature, own.thresholds)
    said = card.accuracy.pop("cross_validated")
    assert "held-3, 3 epochs on folds 1, 2, held out fold 3" in said
    assert card.accuracy == own.accuracy
    assert "folds 1, 2, 3" in card.training_data


def test_final_run_takes_its_figures_from_a_cross_validation(tmp_path):
    final = make_final(tmp_path)
    root = RunFolder(tmp_path / "cv")
    root.path.mkdir()
    root.write_json("config.json", {"network": "pocket", "cross_validation": [2, 3]})
    for fold in (2, 3):
        run = RunFolder(make_run(root.path / f"fold-{fold}"))
        config = run.read_json("config.json")
        config["data"]["test_fold"] = fold
        run.write_json("config.json", config)
        run.write_held_out(make_held_out(60, seed=fold))
    card, _ = export_main.export(final.path, tmp_path / "a.onnx", calibrated_by=[root.path])
    assert (card.accuracy["clips"], card.accuracy["fold"]) == (120, [2, 3])
    parts = [make_held_out(60, seed=fold).clip_accuracy() for fold in (2, 3)]
    assert card.accuracy["averaged_windows"] == pytest.approx(np.mean(parts), abs=1e-3)
    with pytest.raises(ExportError, match="two of the runs held fold 3 out"):
        export_main.export(
            final.path, tmp_path / "b.onnx", calibrated_by=[root.path, root.path / "fold-3"]
        )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ["a", "b", "c"]}, "labels is not that of"),
        ({"recipe": RECIPE | {"teacher_share": 0.7}}, "teacher_share is 0.7, that of"),
        ({"network": "melcnn"}, "network is not that of"),
    ],
)
def test_run_of_another_recipe_cannot_stand_for_it(tmp_path, changes, said):
    final, other = make_final(tmp_path), make_run(tmp_path / "other", **changes)
    with pytest.raises(ExportError, match=said):
        export_main.export(final.path, tmp_path / "a.onnx", calibrated_by=[other])
    assert not (tmp_path / "a.onnx").exists()


def test_run_that_held_nothing_out_cannot_stand_for_another(tmp_path):
    final = make_final(tmp_path)
    with pytest.raises(ExportError, match="held no fold out"):
        export_main.export(final.path, tmp_path / "a.onnx", calibrated_by=[final.path])


def test_calibration_command_measures_and_draws(tmp_path, capsys):
    run = make_run(tmp_path / "run", n_clips=100)
    assert calibration_main([str(run), "--json"]) == 0
    (rows,) = json.loads(capsys.readouterr().out).values()
    names = ["none", "temperature of windows", "temperature of averages over 3 s"]
    names.append("temperature of both averages")
    assert [row["calibration"] for row in rows] == names
    assert (run / "calibration.png").stat().st_size > 1000
    assert calibration_main([str(run)]) == 0
    assert "temperature of both averages" in capsys.readouterr().out


def test_calibration_command_fails_in_one_line(tmp_path, capsys):
    small = make_run(tmp_path / "small", n_clips=10)
    assert calibration_main([str(small)]) == 1
    assert calibration_main([str(tmp_path)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "a calibration needs 50" in said[0]
