"""Thresholds by what a teacher says, and how far a network agrees with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from distilling import TONES, distil_once, learned, make_clips, small, sounds, teacher
from test_layer_probe import labels
from torch import nn

from export.__main__ import main as export
from streamclf.model.model_file import Model
from train import agreement as command
from train.datasets.audioset import ESC50_MEANS, read_label_names
from train.distillation.common_scale import (
    MEDIAN_SCORE,
    RARE_SCORE,
    RARELY,
    CommonScale,
    find_scale,
)
from train.distillation.unmixed import make_pieces
from train.distillation.wide import make_wide, read_pupil
from train.evaluation import agreement
from train.evaluation.agreement import (
    GRID,
    OFF_RATIO,
    Agreement,
    choose_thresholds,
    describe_labels,
    find_floors,
    hear_of_clips,
    hear_of_pieces,
    judge_thresholds,
    peaks_of,
)
from train.run_folder.run import CONFIG, RunFolder

__all__ = ["distil_once", "labels", "learned", "small", "sounds", "teacher"]

pytestmark = pytest.mark.train


def make_agreement(**columns: list[tuple[float, float, int]]) -> tuple[Agreement, list[str]]:
    """Labels with so many stretches each of a peak and what the teacher says of them."""
    pairs = [[(p, t) for p, t, n in rows for _ in range(n)] for rows in columns.values()]
    peaks = np.zeros((sum(map(len, pairs)), len(pairs)))
    said, at = np.zeros_like(peaks), 0
    for k, own in enumerate(pairs):
        peaks[at : at + len(own), k], said[at : at + len(own), k] = zip(*own, strict=True)
        at += len(own)
    return Agreement(peaks, said, np.full(len(peaks), 0.5)), list(columns)


def test_peak_is_the_highest_average_over_three_seconds() -> None:
    scores = np.zeros((1, 9, 2))
    scores[0, 0, 0] = 0.6  # the first window is averaged with none before it
    scores[0, 4:7, 1] = 0.8
    np.testing.assert_allclose(peaks_of(scores), [[0.6, 0.4]])


def test_labels_that_differ_by_a_factor_and_a_summand_get_the_same_scores() -> None:
    random = np.random.default_rng(1)
    quiet = random.normal(0, 1, 4000)
    denied = np.ones((4400, 2), bool)
    denied[4000:] = False  # what the teacher says is not measured by
    logits = np.concatenate([quiet, np.full(400, 7.0)])
    logits = np.stack([logits, 0.2 * logits - 9], axis=1)
    scale = find_scale(logits, denied)
    scores = scale.scores(logits)
    np.testing.assert_allclose(scores[:, 0], scores[:, 1], atol=1e-5)
    assert np.median(scores[:4000]) == pytest.approx(MEDIAN_SCORE, abs=1e-3)
    assert np.quantile(scores[:4000], RARELY) == pytest.approx(RARE_SCORE, abs=1e-3)
    assert scores[-1, 0] > 0.9


def test_scale_becomes_part_of_the_last_layer() -> None:
    torch.manual_seed(1)
    head = nn.Sequential(nn.Linear(4, 6), nn.Hardswish(), nn.Linear(6, 3))
    inputs, scale = torch.randn(5, 4), CommonScale(np.array([1, 0.5, 3]), np.array([0.1, -2, 1]))
    with torch.inference_mode():
        expected = scale.scores(head(inputs).numpy())
    scale.fold(head)
    with torch.inference_mode():
        np.testing.assert_allclose(torch.sigmoid(head(inputs)), expected, atol=1e-6)


def test_threshold_of_a_label_is_above_what_the_teacher_denies() -> None:
    heard, names = make_agreement(
        easy=[(0.3, 0.9, 200), (0.25, 0.0, 10)], hard=[(0.7, 0.9, 100), (0.55, 0.0, 100)],
        rare=[(0.5, 0.9, 1)],
    )  # fmt: skip
    chosen = choose_thresholds(heard, names, [], 0.9)
    assert chosen.of("easy").on < 0.3
    assert 0.55 < chosen.of("hard").on <= 0.7
    assert chosen.of("rare").on == pytest.approx(chosen.on, abs=0.03)
    assert chosen.of("hard").off == pytest.approx(chosen.of("hard").on * OFF_RATIO, abs=1e-3)
    on = [choose_thresholds(heard, names, [], p).of("hard").on for p in (0.6, 0.8, 0.95)]
    assert on == sorted(on)


def test_label_that_is_never_reported_decides_nothing() -> None:
    columns = {"dog": [(0.6, 0.9, 100), (0.3, 0.0, 100)], "Silence": [(0.9, 0.0, 900)]}
    heard, names = make_agreement(**columns)
    alone = choose_thresholds(Agreement(heard.peaks[:, :1], heard.said[:, :1], heard.first),
                              names[:1], [])  # fmt: skip
    chosen = choose_thresholds(heard, names, ["Silence"])
    assert (chosen.on, chosen.classes, chosen.never) == (alone.on, alone.classes, ["Silence"])


def test_what_the_teacher_neither_says_nor_denies_decides_nothing() -> None:
    sure, names = make_agreement(dog=[(0.6, 0.9, 50), (0.4, 0.0, 50)])
    unsure, _ = make_agreement(dog=[(0.6, 0.9, 50), (0.4, 0.0, 50), (0.9, 0.25, 500)])
    assert choose_thresholds(sure, names, []) == choose_thresholds(unsure, names, [])


def test_clips_of_a_labelled_set_count_and_speak_for_rare_labels() -> None:
    rows = [(0.6, 0.9, 30), (0.4, 0.0, 30)]
    heard, names = make_agreement(dog=rows, cat=rows, rare=[(0.6, 0.9, 1)], noisy=[(0.3, 0.0, 90)])
    # Clips of dogs say dog at 0.2 and cat at 0.7; those of cats say cat at 0.8; dog means none.
    peaks = np.array([[0.2, 0.7, 0.9, 0.9]] * 300 + [[0.05, 0.8, 0.9, 0.9]] * 300)
    clips = hear_of_clips(peaks, np.array([0] * 300 + [1] * 300), [[0], [1]])
    before = choose_thresholds(heard, names, [], 0.7)
    after = choose_thresholds(heard, names, [], 0.7, clips)
    assert after.of("dog").on < before.of("dog").on
    assert 0.7 < after.of("cat").on <= 0.8 < before.of("cat").on + 0.5
    # One that no clip means follows what holds for those, but its own wrong events count.
    only_clips = choose_thresholds(clips, names, [], 0.7)
    assert after.of("rare").on == pytest.approx(only_clips.on, abs=0.02)
    assert after.of("noisy").on > 0.3


def test_clips_outweigh_mixtures_where_they_decide() -> None:
    rows = [(0.5, 0.9, 20), (0.25, 0.0, 60)]
    heard, names = make_agreement(cough=rows, hiss=rows)
    clips = hear_of_clips(
        np.array([[0.22, 0.0]] * 30 + [[0.1, 0.0]] * 30), np.array([0] * 30 + [1] * 30), [[0], []]
    )
    assert choose_thresholds(heard, names, [], 0.6).of("cough").on > 0.25
    chosen = choose_thresholds(heard, names, [], 0.6, clips)
    assert 0.1 < chosen.of("cough").on <= 0.22  # 60 wrong events of mixtures count 1.8
    assert chosen.of("hiss").on > 0.25  # no clip decides of this: all of them count
    stricter = choose_thresholds(heard, names, [], 0.6, clips, 0.97)
    assert stricter.of("cough").on > 0.22
    assert stricter.of("hiss") == chosen.of("hiss")


def test_floor_is_what_a_label_seldom_reaches_where_it_does_not_sound() -> None:
    # Two hours: a label may begin once where it does not sound.
    n, length_s = 720, 10.0
    heard, _ = make_agreement(
        sneeze=[(0.6, 0.0, 1), (0.45, 0.1, 1), (0.3, 0.1, 1), (0.1, 0.0, n - 3)],
        speech=[(0.9, 0.9, n)], quiet=[(0.05, 0.0, n)], loud=[(0.99, 0.0, n)],
    )  # fmt: skip
    own = Agreement(
        np.stack([heard.peaks[k * n : (k + 1) * n, k] for k in range(4)], axis=1),
        np.stack([heard.said[k * n : (k + 1) * n, k] for k in range(4)], axis=1),
        heard.first[:n],
    )
    floors = find_floors(own, length_s)
    np.testing.assert_allclose(floors, [0.46, GRID[0], GRID[0], GRID[-1]])
    # In four hours it may begin twice.
    np.testing.assert_allclose(find_floors(own, 2 * length_s)[0], 0.31)


def test_no_threshold_lies_below_its_floor() -> None:
    rows = [(0.5, 0.9, 60), (0.3, 0.0, 60)]
    heard, names = make_agreement(cough=rows, sneeze=rows, hum=rows)
    chosen = choose_thresholds(heard, names, ["hum"], 0.6, floors=np.array([0.08, 0.47, 0.9]))
    assert chosen.of("cough").on == choose_thresholds(heard, names, ["hum"], 0.6).of("cough").on
    assert chosen.of("sneeze").on == 0.47
    assert chosen.of("sneeze").off == pytest.approx(0.47 * OFF_RATIO, abs=1e-3)
    assert "hum" not in chosen.classes


def test_averages_go_on_from_one_stretch_to_the_next() -> None:
    scores = np.zeros((40, 1))
    scores[14:17] = 0.6  # windows of 1 s: the middles of the last two lie in the second stretch
    heard = hear_of_pieces(
        [scores, scores[:16]], [np.array([[0.9], [0.2]]), np.zeros((2, 1))],
        hop_s=0.5, window_s=1.0, stretch_s=8.0,
    )  # fmt: skip
    np.testing.assert_allclose(heard.peaks[:, 0], [0.1, 0.3, 0.1, 0.2], atol=1e-6)
    np.testing.assert_allclose(heard.said[:, 0], [0.9, 0.2, 0, 0])


def test_pieces_hold_the_recordings_of_one_kind_one_behind_the_other() -> None:
    tones = [("a/speech", 300.0, 25.0), ("a/dog", 500.0, 3.0), ("a/song", 700.0, 9.5)]
    words = [("a/word", 900.0, 2.0), ("b/word", 900.0, 2.0), ("instruments/c", 500.0, 2.0)] * 10
    clips = make_clips(*tones, *words)
    labels = ["Dog", "Music", "Speech"]
    said = {"a/speech": [0.0, 0.1, 0.9], "a/dog": [0.9, 0.0, 0.3], "a/song": [0.3, 0.8, 0.5],
            "a/word": [0.1, 0.0, 0.5], "b/word": [0.0, 0.2, 0.6],
            "instruments/c": [0.0, 0.9, 0.0]}  # fmt: skip
    scores = np.array([said[clip.source] for clip in clips.clips])
    pieces = list(make_pieces(clips, scores, labels))
    assert [piece.kind for piece in pieces] == ["Speech", "Speech", "Music"]
    loud = [np.abs(piece.waveform) > 0.1 for piece in pieces]
    # Ten seconds of the longest, two of each word, and a song that leaves room.
    seconds = sum(map(np.count_nonzero, loud[:2])) / 16000
    assert 0.8 * 50 < seconds < 50
    assert loud[2][: 9 * 16000].mean() > 0.8
    assert not loud[2][10 * 16000 :].any()
    np.testing.assert_allclose(pieces[2].said, [said["a/song"]] + [[0, 0, 0]] * 5, atol=1e-6)
    speech = np.concatenate([piece.said for piece in pieces[:2]]).astype(float)
    assert set(np.round(speech[:, 2], 1)) <= {0.0, 0.5, 0.6, 0.9}
    later = np.flatnonzero(speech[:, 1] > 0.15)  # of the other package
    assert speech[: later[0], 2].max() > 0.8
    assert set(np.round(speech[later[0] + 1 :, 2], 1)) <= {0.0, 0.6}
    assert 1 <= np.count_nonzero(speech[:, 2] > 0.8) <= 2  # its stretches alone
    again = next(make_pieces(clips, scores, labels))
    np.testing.assert_array_equal(again.waveform, pieces[0].waveform)


def test_judged_thresholds_count_events_that_the_teacher_denies() -> None:
    heard, names = make_agreement(dog=[(0.6, 0.9, 6), (0.6, 0.0, 2), (0.2, 0.9, 2), (0.6, 0.2, 5)])
    chosen = agreement.Thresholds(on=0.5, off=0.3)
    assert judge_thresholds(heard, names, chosen, 240.0) == {
        "precision": 0.75, "recall": 0.75, "denied_per_hour": 2.0, "stretches": 15,
    }  # fmt: skip


def test_worst_labels_come_first_and_rare_ones_not_at_all() -> None:
    heard, names = make_agreement(
        good=[(0.9, 0.9, 9), (0.1, 0.0, 9)], bad=[(0.1, 0.9, 9), (0.9, 0.0, 9)],
        rare=[(0.9, 0.9, 7)],
    )  # fmt: skip
    described = describe_labels(heard, names)
    assert list(described["worst"]) == ["bad", "good"]
    assert described["worst"]["good"] == 1.0
    assert described["labels"] == 2
    assert described["first"] == 0.5


def test_export_takes_thresholds_and_figures_from_the_run(
    learned, teacher, labels, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(agreement, "FEWEST", 1)
    arguments = ["--cache", str(tmp_path / "cache"), "--teacher", str(teacher)]
    named = ["--labels", str(labels)]
    assert command.main([str(learned), *arguments, *named, "--shards", "2", "--judged", "1"]) == 0
    said = capsys.readouterr().out
    assert "sounds learned from: 8 mixtures" in said
    assert "held-out sounds: 4 mixtures" in said
    kept = json.loads((learned / "agreement.json").read_text())
    output = tmp_path / "wide.onnx"
    run = RunFolder.open(learned)
    run.write_json(CONFIG, run.read_json(CONFIG) | {"plan": [4, 2]})
    assert export([str(learned), *named, "--version", "3", "-o", str(output)]) == 0
    model = Model(output, provider="cpu")
    card = model.card
    assert card.version == "3"
    waveform = 0.1 * np.random.default_rng(1).standard_normal((1, 24000)).astype(np.float32)
    (logits,) = model.session.run(None, {"waveform": waveform})
    with torch.inference_mode():
        raw = make_wide(read_pupil(run))(torch.from_numpy(waveform)).numpy()
    scale = CommonScale(np.array(kept["factors"]), np.array(kept["summands"]))
    given = torch.sigmoid(torch.from_numpy(logits))
    np.testing.assert_allclose(given, scale.scores(raw), atol=1e-3)
    assert card.thresholds.on == kept["thresholds"]["on"]
    assert set(card.precisions) == {"0.4", "0.5", "0.6", "0.7", "0.8", "0.9"}
    assert card.accuracy["held_out"] == kept["held_out"]
    assert "not tuned" not in card.description
    assert card.description.endswith("(begun with --passes 4)")
    # One of other labels is refused.
    kept["thresholds"]["never"] = ["Sound of nothing"]
    (learned / "agreement.json").write_text(json.dumps(kept))
    assert export([str(learned), *named, "--overwrite", "-o", str(output)]) != 0
    assert "make it anew with train.agreement" in capsys.readouterr().err


def write_heard(path: Path, labels: Path, kind: str) -> list[str]:
    """What a teacher heard in the tones, a kind in all of them; options that name it."""
    names = read_label_names(labels)
    scores = np.zeros((len(TONES), len(names)), np.float16)
    scores[:, names.index(kind)] = 0.9
    np.savez(path, source=np.array([source for source, *_ in TONES]), scores=scores)
    return ["--weights", str(path)]


def test_clips_of_known_classes_adjust_the_scale_and_their_naming_is_cross_validated(
    learned, teacher, labels, sounds, tmp_path, make_esc, capsys
) -> None:
    arguments = ["--cache", str(tmp_path / "cache"), "--teacher", str(teacher)]
    arguments += ["--labels", str(labels), "--shards", "1", "--judged", "1"]
    assert command.main([str(learned), *arguments]) == 0
    before = json.loads((learned / "agreement.json").read_text())
    assert "names_cross_validated" not in before
    named = ["--named", str(make_esc(folds=3, per_class=1)), "--folds", "1,2", "--scenes", "2"]
    named += ["--sounds", str(sounds), *write_heard(tmp_path / "heard.npz", labels, "Speech")]
    assert command.main([str(learned), *arguments, *named, "--cross-validate", "1,2,3"]) == 0
    said = capsys.readouterr().out
    after = json.loads((learned / "agreement.json").read_text())
    assert set(after["names_cross_validated"]["folds"]) == {"1", "2", "3"}
    assert "of the named clips, each fold's by a scale from the others" in said
    assert "unmixed" not in before
    assert after["unmixed"] == {"hours": {"Speech": 0.02, "Music": 0.0}, "false_an_hour": 0.5}
    meant = {label for own in ESC50_MEANS.values() for label in own}
    for k, label in enumerate(read_label_names(labels)):
        if label not in meant:
            assert after["summands"][k] == before["summands"][k]
    assert after["summands"] != before["summands"]
    output = tmp_path / "wide.onnx"
    assert export([str(learned), "--labels", str(labels), "-o", str(output)]) == 0
    card = Model(output, provider="cpu").card
    assert card.training_data.endswith(
        "folds 1, 2) decided on two numbers, scale and offset, of "
        f"{after['named']['labels']} labels and on thresholds; no layer was trained on them."
    )
    kept = card.accuracy["names_cross_validated"]
    assert kept["named"] == after["names_cross_validated"]["named"]
    assert "adjusted by the other folds' clips" in kept["protocol"]
    # One fold has no others.
    assert command.main([str(learned), *arguments, *named, "--cross-validate", "2"]) == 0
    assert "names_cross_validated" not in json.loads((learned / "agreement.json").read_text())
    capsys.readouterr()
    assert command.main([str(learned), *arguments, *named, "--cross-validate", "2,9"]) != 0
    assert "has no fold 9" in capsys.readouterr().err


def test_sounds_without_speech_and_music_are_told_in_a_line(
    learned, teacher, labels, sounds, tmp_path, capsys
) -> None:
    arguments = ["--cache", str(tmp_path / "cache"), "--teacher", str(teacher)]
    arguments += ["--labels", str(labels), "--shards", "1", "--judged", "1"]
    more = ["--sounds", str(sounds), *write_heard(tmp_path / "heard.npz", labels, "Crow")]
    assert command.main([str(learned), *arguments, *more]) != 0
    assert "the teacher hears neither speech nor music in them" in capsys.readouterr().err
    more = ["--sounds", str(sounds), "--weights", str(labels)]
    assert command.main([str(learned), *arguments, *more]) != 0
    assert "python -m train.hear_sources makes such a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sounds", "."], "--sounds and --weights belong together"),
        (["--named", "."], "--named alone would make sneezes of syllables"),
        (["--shards", "0"], "--shards is 0, must be 1 or more"),
        (["--scenes", "-1"], "--scenes is -1, must be 0 or more"),
        (["--cache", "elsewhere"], "holds nothing that the teacher heard"),
    ],
)
def test_agreement_of_nothing_is_told_in_a_line(
    learned, teacher, labels, tmp_path, capsys, more, said
) -> None:
    arguments = ["--cache", str(tmp_path / "cache"), "--teacher", str(teacher)]
    assert command.main([str(learned), *arguments, "--labels", str(labels), *more]) != 0
    message = capsys.readouterr().err
    assert said in message
    assert len(message.strip().splitlines()) == 1
