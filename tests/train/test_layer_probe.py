"""Counting sounds by what a teacher hears, and judging layers before they are done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from distilling import TONES, distil_once, learned, small, sounds, teacher

from train import hear_sources, probe
from train.datasets.audioset import ESC50_MEANS
from train.distillation.pupil import Pupil
from train.hear_sources import MOST, weigh

__all__ = ["distil_once", "learned", "small", "sounds", "teacher"]

pytestmark = pytest.mark.train


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A table of 527 labels, those that mean ESC-50's classes among them."""
    names = list(dict.fromkeys(each for means in ESC50_MEANS.values() for each in means))
    names += ["Speech", "Music"]
    names += [f"Sound {k}" for k in range(527 - len(names))]
    rows = [f'{k},/m/{k},"{name}"' for k, name in enumerate(names)]
    path = tmp_path / "labels.csv"
    path.write_text("index,mid,display_name\n" + "\n".join(rows) + "\n")
    return path


def test_sources_of_a_common_label_are_drawn_less_often_but_more_in_all() -> None:
    labels = np.array([0] * 400 + [1] * 100 + [2])
    weights = weigh(labels)
    assert weights.mean() == pytest.approx(1)
    assert weights[0] == pytest.approx(weights[400] / 2)
    in_all = [weights[labels == label].sum() for label in (0, 1)]
    assert in_all[0] == pytest.approx(2 * in_all[1])
    # A single source of its label is drawn more often, but not without end.
    assert 0.9 * MOST < weights[-1] < MOST * 1.1


def test_each_source_is_heard_once_and_written_with_its_weight(
    sounds, teacher, labels, tmp_path, capsys
):
    def hear(*more: str, sets: int = 1) -> dict[str, np.ndarray]:
        target = tmp_path / "weights.npz"
        arguments = [*[str(sounds)] * sets, "--teacher", str(teacher), "--labels", str(labels)]
        assert hear_sources.main([*arguments, "-o", str(target), *more]) == 0
        with np.load(target) as file:
            return dict(file)

    heard = hear()
    assert heard["source"].tolist() == [source for source, *_ in TONES]
    assert heard["scores"].shape == (len(TONES), 527)
    counts = Counter(heard["label"].tolist())
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line[:6].strip().isdigit()]) == 527  # those of none, too
    assert lines[-2].startswith("12 sources")
    assert len(counts) <= len(TONES)
    # What was heard before is taken from there.
    known = tmp_path / "known.npz"
    scores = np.zeros((1, 527), np.float16)
    scores[0, 5] = 1
    np.savez(known, source=np.array([TONES[2][0]]), scores=scores)
    again = hear("--known", str(known))
    assert again["label"][2] == 5
    np.testing.assert_array_equal(np.delete(again["label"], 2), np.delete(heard["label"], 2))
    # Several sets are weighed together.
    np.savez(known, source=heard["source"], scores=heard["scores"])
    both = hear("--known", str(known), sets=2)
    assert both["source"].tolist() == [*heard["source"].tolist()] * 2
    assert both["weight"].mean() == pytest.approx(1)


def test_table_of_sources_tells_what_comes_first_and_what_is_heard_beside_it() -> None:
    scores = np.zeros((6, 4))
    scores[:, 0] = 0.9  # animals, all of them
    scores[:5, 1] = 0.4  # dogs, five of them
    scores[4, 1] = 0.95  # one of which is surely one
    scores[5, 0], scores[5, 2] = 0.05, 0.02  # nothing clear
    *table, all_first, all_heard = hear_sources.describe(
        ["Animal", "Dog", "Cat", "Blender"], scores
    ).splitlines()
    assert [row.split() for row in table[1:]] == [
        ["4", "5", "Animal"], ["1", "5", "Dog"], ["0", "0", "Cat"], ["0", "0", "Blender"],
    ]  # fmt: skip
    assert all_first.startswith(
        "6 sources, 5 of them clear; 2 of 4 labels come first in one or more, 0 in 5"
    )
    assert all_heard == "heard with 0.3 or more: 2 labels in one or more, 2 in 5 or more"


def test_checkpoint_is_judged_by_its_averaged_weights(
    learned, teacher, labels, tmp_path, make_esc, capsys
) -> None:
    pupil, step = probe.read_pupil(learned)
    assert step == 8
    kept = probe.RunFolder.open(learned).read_tensors("pupil.safetensors")[0]
    for name, value in pupil.state_dict().items():
        torch.testing.assert_close(value, kept[name])
    data = make_esc(folds=2, per_class=1)
    arguments = ["--data", str(data), "--folds", "1", "--test-fold", "2"]
    assert probe.main([str(learned), *arguments]) == 0
    assert "held-out" not in capsys.readouterr().out
    more = ["--cache", str(tmp_path / "cache"), "--teacher", str(teacher), "--labels", str(labels)]
    assert probe.main([str(learned), *arguments, *more]) == 0
    said = capsys.readouterr().out
    result = probe.RunFolder.open(learned).read_json("result.json")
    assert f"explains {result['explained_variance']:.1%}" in said
    assert f"{result['agreement']:.1%} of windows" in said
    assert "step 8: logistic regression names" in said
    assert "by AudioSet's names, without training" in said


def test_probe_hears_every_half_second(make_esc, monkeypatch) -> None:
    clips = probe.open_clips(make_esc(folds=1, per_class=1), 16000)
    pupil = Pupil().eval()
    features, logits = probe.hear(pupil, clips)
    n_windows = 1 + (clips.clips[0].n_samples - 24000) // 8000
    assert features.shape == (len(clips.clips), n_windows, 2 * sum(pupil.body.level_channels))
    assert logits.shape == (len(clips.clips), n_windows, 527)
