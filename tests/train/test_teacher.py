# ruff: noqa: E402
from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.base.errors import DatasetError, UsageError
from train.datasets import open_clips
from train.pocket import Pocket
from train.pocket_parts.teacher import soft_labels

pytestmark = pytest.mark.train


@pytest.fixture
def clips(make_esc):
    return open_clips(make_esc(folds=2, per_class=4, seconds=0.1), 16000)


@pytest.fixture
def features(clips, tmp_path) -> Path:
    random = np.random.default_rng(1)
    centres = random.normal(size=(3, 5))
    names = [Path(clip.filename).stem for clip in clips.clips][::-1]
    targets = clips.targets[::-1]
    embedding = centres[targets][:, None] + random.normal(0, 0.3, (len(names), 4, 5))
    path = tmp_path / "teacher.npz"
    np.savez(path, clip=names, window_embedding=embedding.astype(np.float16))
    return path


def test_soft_labels_are_probabilities_that_know_the_classes(clips, features):
    labels, about = soft_labels(features, clips)
    assert labels.shape == (24, 4, 3)
    torch.testing.assert_close(labels.sum(dim=2), torch.ones(24, 4))
    assert about["out_of_fold_accuracy"] > 0.9
    assert about["file"] == "teacher.npz"


def test_soft_labels_of_a_fold_do_not_depend_on_its_own_labels(clips, features):
    labels, _ = soft_labels(features, clips)
    changed = tuple(
        replace(clip, target=(clip.target + 1) % 3) if clip.fold == 1 else clip
        for clip in clips.clips
    )
    others, _ = soft_labels(features, replace(clips, clips=changed))
    first = np.array([clip.fold == 1 for clip in clips.clips])
    torch.testing.assert_close(labels[first], others[first])
    assert (labels[~first] - others[~first]).abs().max() > 0.1


def test_soft_labels_name_the_clip_they_lack(clips, features):
    longer = replace(clips, clips=(*clips.clips, replace(clips.clips[0], filename="new-1.wav")))
    with pytest.raises(DatasetError, match=r"no features of 1 of \d+ clips, as new-1"):
        soft_labels(features, longer)


def test_soft_labels_need_two_folds(clips, features):
    with pytest.raises(UsageError, match="all of fold 1"):
        soft_labels(features, clips.of_folds([1]))


def test_soft_labels_refuse_pickles_and_other_files(clips, tmp_path):
    np.savez(tmp_path / "evil.npz", clip=np.array([{}], dtype=object), window_embedding=[1])
    with pytest.raises(DatasetError, match="no usable teacher features"):
        soft_labels(tmp_path / "evil.npz", clips)
    (tmp_path / "text.npz").write_text("no array")
    with pytest.raises(DatasetError, match="no usable teacher features"):
        soft_labels(tmp_path / "text.npz", clips)


def test_a_run_tells_how_much_of_each_label_is_the_teachers(clips, features):
    system = Pocket(replace(Pocket.default_recipe(), teacher_share=0.3))
    options = Namespace(
        start=None, last_layer=False, through_noise=None, teacher=features, speech_music=None,
        cache=None, strangers=None, more_speech=None,
    )  # fmt: skip
    assert system.configure(options, clips)["teacher"]["share"] == 0.3
