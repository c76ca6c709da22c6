"""Sounds that resemble none of the labels: which are chosen, and what is said of a wrong file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from streamclf.core.errors import UsageError
from train.base.errors import DatasetError
from train.datasets import open_clips
from train.pocket_parts.strangers import choose_strangers

pytestmark = pytest.mark.train

NAMES = ("Bark", "Gunshot, gunfire", "Speech")
SCORES = {"bark": (0.9, 0, 0), "gun": (0, 0.8, 0.01), "talk": (0, 0.3, 0.6), "hush": (0, 0.1, 0)}


@pytest.fixture
def sounds(make_esc):
    """Two takes of each of the sources."""
    clips = open_clips(make_esc(folds=2, per_class=2, seconds=0.2), 16000)
    named = [replace(clip, source=f"{[*SCORES][k % 4]}") for k, clip in enumerate(clips.clips[:8])]
    return replace(clips, clips=tuple(named))


@pytest.fixture
def label_names(tmp_path):
    path = tmp_path / "labels.csv"
    lines = [f'{k},/m/{k},"{name}"\n' for k, name in enumerate(NAMES)]
    path.write_text("index,mid,display_name\n" + "".join(lines))
    return path


@pytest.fixture
def heard(tmp_path):
    path = tmp_path / "heard.npz"
    scores = np.array([*SCORES.values()], np.float16)
    np.savez(path, source=[*SCORES], scores=scores)
    return path


def test_one_take_of_what_is_clear_and_resembles_no_label_is_chosen(sounds, heard, label_names):
    chosen = choose_strangers(sounds, heard, label_names, ["dog", "speech"])
    assert [clip.source for clip in chosen.clips] == ["gun"]
    without_speech = choose_strangers(sounds, heard, label_names, ["dog"])
    assert [clip.source for clip in without_speech.clips] == ["gun", "talk"]


def test_what_is_no_use_is_told_with_a_way_out(sounds, heard, label_names, tmp_path):
    with pytest.raises(UsageError, match=r"'doorbell' is called in AudioSet .* leave --strangers"):
        choose_strangers(sounds, heard, label_names, ["dog", "doorbell"])
    others = replace(sounds, clips=tuple(replace(c, source="other") for c in sounds.clips))
    with pytest.raises(UsageError, match="names none of the 1 sources"):
        choose_strangers(others, heard, label_names, ["dog"])
    with pytest.raises(DatasetError, match=r"train\.hear_sources makes such a file"):
        choose_strangers(sounds, tmp_path / "none.npz", label_names, ["dog"])
