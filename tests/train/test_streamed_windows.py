# ruff: noqa: E402
"""What streamed layers hear in the windows of clips: whole clips once, by fold, kept in a cache."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.audio.tones import KINDS, make_tone
from train.datasets import open_clips
from train.loop.batch_norm import recompute_statistics
from train.pocket import Pocket
from train.pocket_parts import streamed_windows
from train.pocket_parts.more_speech import WEIGHT, MoreSpeech
from train.pocket_parts.streamed_windows import (
    CHANGED,
    MIXED,
    NOISE_PER_CLIP,
    NOISY,
    QUIETER,
    TONES_PER_CLIP,
    UNCHANGED,
    fit_streamed_layer,
    hear_fold,
    hear_strangers,
    hear_stretches,
)

pytestmark = pytest.mark.train

ALONE_PER_CLIP = NOISE_PER_CLIP + TONES_PER_CLIP


@pytest.fixture
def clips(make_esc):
    return open_clips(make_esc(folds=2, per_class=2, seconds=3.0), 16000)


@pytest.fixture
def system() -> Pocket:
    return Pocket(replace(Pocket.default_recipe(), layers="teacher"))


@pytest.fixture
def network(system):
    """New weights, with statistics of what is heard: without them next to nothing comes out."""
    torch.manual_seed(3)
    network = system.build(3)
    noise = np.random.default_rng(1).normal(0, 0.1, (4, 24000)).astype(np.float32)
    with torch.no_grad():
        spectra = network.front_end.compress(
            network.front_end.power_by_fft(torch.from_numpy(noise))
        )
    recompute_statistics(network.body, [spectra])
    return network.eval()


@pytest.fixture
def data(system, network, clips):
    return system.training_data(network, clips, torch.device("cpu"))


def test_windows_of_a_clip_are_heard_as_if_each_were_alone(system, network, data, clips):
    first = np.arange(3)
    heard = hear_fold(network.body, data, first, system.recipe)
    assert heard.features.shape == (5, 3, 4, 384)
    for number in range(4):
        start = 8000 * number
        alone = np.stack([clips.waveform(k)[start : start + 24000] for k in first])
        with torch.no_grad():
            own = network.body.pooled(network.front_end(torch.from_numpy(alone)))
        torch.testing.assert_close(
            heard.features[UNCHANGED, :, number].float(), own, rtol=1e-2, atol=2e-3
        )
        assert own.std() > 0.05
    assert heard.audible[UNCHANGED].all()
    assert len(heard.noise) == ALONE_PER_CLIP * 3


def test_tones_of_each_kind_are_heard_with_the_noise(system, network, data, monkeypatch):
    made = []

    def make(random, n_samples, sample_rate, kind):
        made.append((kind, make_tone(random, n_samples, sample_rate, kind)))
        return made[-1][1]

    monkeypatch.setattr(streamed_windows, "make_tone", make)
    monkeypatch.setattr(streamed_windows, "NOISE_DB", (-20.0, -20.0))
    heard = hear_fold(network.body, data, np.arange(3), system.recipe)
    assert [kind for kind, _ in made] == [KINDS[row % 3] for row in range(TONES_PER_CLIP * 3)]
    with torch.no_grad():
        own = network.body.pooled(
            network.front_end(torch.from_numpy(np.stack([x for _, x in made])))
        )
    torch.testing.assert_close(heard.noise[-len(made) :].float(), own, rtol=1e-2, atol=2e-3)


def test_strangers_are_heard_where_something_sounds(system, network, data, clips, monkeypatch):
    monkeypatch.setattr(streamed_windows, "STRANGER_DB", (-6.0, -6.0))
    samples = np.zeros(16000 * 8, np.int16)
    samples[16000 * 5 : 16000 * 6] = np.random.default_rng(2).integers(-900, 900, 16000)
    one = replace(clips.clips[0], offset=0, n_samples=len(samples))
    heard = hear_strangers(network.body, data, replace(clips, samples=samples, clips=(one,)))
    # A clip of 3 s has four windows; the part of 3 s from second 3 on holds the sound in its last.
    loudest = samples[16000 * 4 : 16000 * 7].astype(np.float32)
    loudest *= 10 ** (-6 / 20) / np.abs(loudest).max()
    own = []
    for start in range(0, 16000 * 3 // 2 + 1, 8000):
        with torch.no_grad():
            window = torch.from_numpy(loudest[start : start + 24000])[None]
            own.append(network.body.pooled(network.front_end(window)))
    assert len(heard) <= len(own)
    best = torch.cdist(heard.float(), torch.cat(own)).amin(dim=1)
    assert best.max() < 0.1 < torch.cat(own).std(dim=0).norm()


def test_stretches_of_speech_are_learned_where_something_is_heard(
    network, data, clips, monkeypatch
):
    stretches = np.zeros((2, 16000 * 3), np.float32)
    stretches[1, 16000 * 2 :] = np.random.default_rng(2).normal(0, 0.1, 16000)
    stretches[0] = stretches[1, ::-1]

    def make(sets, n, n_samples, _random):
        assert (sets, n) == ((clips,), 2)
        assert 0 <= stretches.shape[1] - n_samples < 160  # what no whole frame is left for
        return stretches[:, :n_samples]

    monkeypatch.setattr(streamed_windows, "make_stretches", make)
    monkeypatch.setattr(streamed_windows, "N_STRETCHES", 2)
    # Of four windows of 1.5 s, one stretch sounds in the first two, the other in the last two.
    heard = hear_stretches(network.body, data, (clips,))
    assert len(heard) == 4
    with torch.no_grad():
        own = network.body.pooled(network.front_end(torch.from_numpy(stretches[1:, 24000:])))
    torch.testing.assert_close(heard[3:].float(), own, rtol=1e-2, atol=2e-3)
    fitted = []
    monkeypatch.setattr(streamed_windows, "fit_between_optima", lambda *found: fitted.append(found))
    folds = np.array([clip.fold for clip in clips.clips])
    for speech in (None, MoreSpeech(1, (clips,))):
        recipe = replace(Pocket.default_recipe(), layers="teacher")
        fit_streamed_layer(network.body, data, folds, recipe, more_speech=speech)
    before, after = (rows.all() for _, rows, _ in fitted)
    torch.testing.assert_close(after[0][len(before[0]) :], heard.float())
    torch.testing.assert_close(after[1][len(before[1]) :], torch.tensor([[0, WEIGHT, 0]] * 4))


def test_conditions_differ_and_only_the_last_holds_two_clips(system, network, data):
    heard = hear_fold(network.body, data, np.arange(4), system.recipe)
    for condition in (QUIETER, NOISY, CHANGED, MIXED):
        change = (heard.features[condition] - heard.features[UNCHANGED]).float().abs().max()
        assert change > 0.02
        assert (heard.shares[condition] == 1).all() == (condition != MIXED)
        alone = heard.others[condition].equal(torch.arange(4))
        assert alone or condition == MIXED
    assert ((heard.shares[MIXED] >= 0.5) & (heard.shares[MIXED] <= 1)).all()


def test_what_was_heard_of_a_fold_is_kept_for_other_runs(
    system, network, data, clips, tmp_path, monkeypatch
):
    folds = np.array([clip.fold for clip in clips.clips])
    fit_streamed_layer(network.body, data, folds, system.recipe, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    fitted = network.body.output.weight.detach().clone()

    def refuse(*_):
        raise AssertionError("heard again")

    with monkeypatch.context() as patch:
        patch.setattr(streamed_windows, "_hear", refuse)
        fit_streamed_layer(network.body, data, folds, system.recipe, tmp_path)
        torch.testing.assert_close(network.body.output.weight, fitted)
        # A run that lacks a fold hears the other one as that run did.
        kept = clips.of_folds([2])
        own = system.training_data(network, kept, torch.device("cpu"))
        fit_streamed_layer(network.body, own, np.full(len(kept.clips), 2), system.recipe, tmp_path)
        # Other layers hear anew.
        with torch.no_grad():
            network.body.layers[0][0].weight.mul_(2)
        with pytest.raises(AssertionError, match="heard again"):
            fit_streamed_layer(network.body, data, folds, system.recipe, tmp_path)


def test_labels_follow_the_mixture_and_noise_has_all_alike(
    system, network, data, clips, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        streamed_windows, "fit_between_optima", lambda layer, *rows: seen.extend(rows)
    )
    folds = np.ones(len(data.labels), int)
    few = clips.take([0, 1])
    strange = len(hear_strangers(network.body, data, few))
    fit_streamed_layer(network.body, data, folds, system.recipe, strangers=few)
    (_, labels, averages), (_, more_labels, more_averages) = (rows.all() for rows in seen)
    n_clips, n_windows = len(folds), 4
    n_noise = ALONE_PER_CLIP * n_clips + strange
    assert strange > 0
    torch.testing.assert_close(labels[-n_noise:], torch.full((n_noise, 3), 1 / 3))
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(len(labels)))
    mixed = (labels[:-n_noise].amax(dim=1) < 1).sum()
    assert 0 < mixed <= n_clips * n_windows
    # Averages are over windows as they are, quieter or over noise, of one clip each.
    assert len(averages.targets) == n_clips
    assert len(more_averages.targets) <= 2 * n_clips
    assert (more_labels.amax(dim=1) == 1).all()
    assert labels[averages.rows].argmax(dim=1).equal(averages.targets[averages.of])
