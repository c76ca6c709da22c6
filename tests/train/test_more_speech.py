"""Stretches of speech: what is chosen for them, and how they sound."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from streamclf.core.errors import UsageError
from train import pocket
from train.datasets import open_clips
from train.pocket_parts import more_speech
from train.pocket_parts.more_speech import choose_speech, make_stretches

pytestmark = pytest.mark.train

NAMES = ("Bark", "Music", "Speech")
SCORES = {
    "games/bark": (0.9, 0, 0.4),
    "games/talk": (0.1, 0.2, 0.3),
    "games/tune": (0, 0.6, 0.5),
    "games/hush": (0, 0.1, 0.2),
    "klettres-data/a": (0, 0, 0.9),
    "covid19-cough+dataset/1": (0, 0, 0.9),
    "asterisk-core-sounds-ru-g722/hello": (0, 0, 0.9),
    "asterisk-core-sounds-it-g722/hello": (0, 0, 0.9),
}


@pytest.fixture
def sounds(make_esc):
    """A take of each of the sources, of 0.2 s, and one of which nobody has heard anything."""
    clips = open_clips(make_esc(folds=3, per_class=1, seconds=0.2), 16000)
    named = zip([*SCORES, "games/new"], clips.clips, strict=False)
    return replace(clips, clips=tuple(replace(clip, source=source) for source, clip in named))


@pytest.fixture
def asked(tmp_path):
    np.savez(tmp_path / "heard.npz", source=[*SCORES], scores=np.array([*SCORES.values()]))
    lines = [f'{k},/m/{k},"{name}"\n' for k, name in enumerate(NAMES)]
    (tmp_path / "labels.csv").write_text("index,mid,display_name\n" + "".join(lines))
    return tmp_path / "heard.npz", tmp_path / "labels.csv", ["dog", "speech", "music"]


def test_sounds_of_which_the_teacher_says_speech_first_are_chosen(sounds, asked):
    """But none of a package that judges, whose recordings have folds, or in which one coughs."""
    assert [clip.source for clip in choose_speech(sounds, *asked).clips] == ["games/talk"]
    barks = sounds.take([0])
    with pytest.raises(UsageError, match="names none of the 1 sounds as speech; take the file"):
        choose_speech(barks, *asked)


@pytest.fixture
def noisy(sounds):
    """A set of loud noise alone."""
    samples = np.random.default_rng(1).integers(-30_000, 30_000, len(sounds.samples))
    return replace(sounds, samples=samples.astype(np.int16))


def stretch(sets, condition, monkeypatch, level_db=0.0, n=1):
    monkeypatch.setattr(more_speech, "CONDITIONS", (condition,))
    monkeypatch.setattr(more_speech, "LEVEL_DB", (level_db, level_db))
    return make_stretches(sets, n, 80_000, np.random.default_rng(3))


def test_stretches_hold_sounds_and_pauses_at_any_level(noisy, monkeypatch):
    made = stretch([noisy], "plain", monkeypatch, n=4)
    assert made.shape == (4, 80_000)
    assert made.dtype == np.float32
    for one in np.abs(made):
        frames = one.reshape(-1, 160).max(axis=1)
        assert 0.1 < (frames > 0.5).mean() < 0.9  # sounds of 0.2 s, pauses of 0.1 to 2 s
        assert 0 < frames.min() < 0.01
    quieter = stretch([noisy], "plain", monkeypatch, level_db=-40.0, n=4)
    np.testing.assert_allclose(quieter, made / 100, atol=1e-6)


def test_a_telephone_has_no_treble_and_a_microphone_clips(noisy, monkeypatch):
    treble = {}
    for condition in ("plain", "telephone"):
        power = np.abs(np.fft.rfft(stretch([noisy], condition, monkeypatch)[0])) ** 2
        treble[condition] = power[len(power) * 5 // 8 :].sum() / power.sum()
    assert treble["telephone"] < 1e-3 < 0.2 < treble["plain"]
    clipped = np.abs(stretch([noisy], "clipped", monkeypatch)[0])
    assert (clipped == clipped.max()).sum() > 1000
    pauses = np.abs(stretch([noisy], "noise", monkeypatch)[0]).reshape(-1, 160).max(axis=1)
    assert np.quantile(pauses, 0.05) > 0.003  # the noise is heard between the sounds


def test_each_stretch_is_of_one_package(noisy, monkeypatch):
    """Beside recordings that are silent: none of them sounds between those that are not."""
    silent = replace(noisy, samples=np.zeros_like(noisy.samples))
    peaks = np.abs(stretch([noisy, silent], "plain", monkeypatch, n=20)).max(axis=1)
    assert {bool(peak > 0.5) for peak in peaks} == {True, False}


def test_speech_of_other_folds_is_not_learned(sounds, asked, monkeypatch):
    """A run that holds a fold out hears none of the recordings that judge it."""
    recordings = [replace(c, target=k % 2, fold=1 + k // 4) for k, c in enumerate(sounds.clips)]
    recordings = replace(sounds, labels=("speech", "music"), clips=tuple(recordings))
    monkeypatch.setattr(pocket, "open_prepared", lambda _: sounds)
    monkeypatch.setattr(pocket, "open_clips", lambda *_, **__: recordings)
    heard, label_names, labels = asked
    options = Namespace(more_speech="S", speech_music="M", heard=heard, audioset=label_names)
    clips = replace(sounds.of_folds([1]), labels=(*labels,))
    options.start = "old.onnx"
    with pytest.raises(UsageError, match=r"--more-speech needs streamed layers, old\.onnx"):
        pocket.Pocket(pocket.Pocket.default_recipe())._choose_speech(options, clips)
    system = pocket.Pocket(replace(pocket.Pocket.default_recipe(), layers="teacher"))
    about = system._choose_speech(options, clips)
    assert (about["sounds"], about["recordings"]) == (1, 2)
    free, own = system.more_speech.sets
    assert [clip.source for clip in free.clips] == ["games/talk"]
    assert {(clip.fold, clip.target) for clip in own.clips} == {(1, 0)}
    assert system.more_speech.target == 1
