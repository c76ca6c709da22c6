# ruff: noqa: E402
"""Spectra and masks: what front ends hear, made once or anew."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import make_clips

from train.audio.augment import (
    fit_length,
    mask_bands,
    mask_spectrum,
)
from train.cough import CoughSystem
from train.melcnn import MelCnnSystem
from train.nets.log_mel import LogMel, mel_filters

pytestmark = pytest.mark.train


@pytest.mark.parametrize("axis", [1, 2])
def test_mask_fills_whole_bands_with_the_mean(axis):
    features = torch.from_numpy(np.random.default_rng(1).normal(size=(20, 8, 12)))
    masked = mask_bands(features.clone(), np.random.default_rng(2), axis=axis, widest=3, n_masks=1)
    changed = masked != features
    lines = changed.any(dim=3 - axis)
    assert torch.equal(changed.all(dim=3 - axis), lines)
    assert set(lines.sum(dim=1).tolist()) == {0, 1, 2, 3}
    means = features.mean(dim=(1, 2), keepdim=True).expand_as(features)
    assert torch.equal(masked[changed], means[changed])


def test_log_mel_is_the_mel_spectrum_of_each_frame():
    front_end = LogMel(16000, 640, 320, 64)
    waveform = np.random.default_rng(1).uniform(-0.5, 0.5, 2000)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(640) / 640)
    filters = mel_filters(16000, 640, 64, 50, 8000)
    expected = []
    for start in range(0, 2000 - 640 + 1, 320):
        spectrum = np.fft.rfft(waveform[start : start + 640] * window) * 2 / window.sum()
        expected.append(np.log(1 + filters @ np.abs(spectrum) ** 2 * 1e8))
    given = front_end(torch.from_numpy(waveform).float()[None])[0].numpy()
    assert front_end.n_frames(2000) == given.shape[1] == 5
    np.testing.assert_allclose(given, np.stack(expected, axis=1), atol=1e-3)


def test_log_mel_of_silence_is_nought():
    assert not LogMel(16000, 640, 320, 64)(torch.zeros(1, 640)).any()


def test_mel_filters_reach_every_mel_and_no_further():
    filters = mel_filters(16000, 640, 64, 50, 8000)
    assert (filters.max(axis=1) > 0.3).all()
    assert not filters[:, :2].any()
    assert filters.min() == 0
    assert filters.max() <= 1


def test_mask_is_the_same_for_all_channels():
    features = torch.from_numpy(np.random.default_rng(1).normal(size=(9, 2, 8, 12)))
    for axis in (1, 2):
        masked = mask_bands(
            features.clone(), np.random.default_rng(2), axis=axis, widest=4, n_masks=2
        )
        changed = masked != features
        assert torch.equal(changed[:, 0], changed[:, 1])
        assert changed.any()
        means = features.mean(dim=(1, 2, 3), keepdim=True).expand_as(features)
        assert torch.equal(masked[changed], means[changed])


def test_masks_along_both_axes_are_filled_with_one_mean():
    features = torch.from_numpy(np.random.default_rng(1).normal(size=(9, 2, 8, 12)))
    masked = mask_spectrum(features.clone(), np.random.default_rng(2), mels=(3, 1), frames=(4, 1))
    # The same chance, along one axis after the other.
    random = np.random.default_rng(2)
    rows = mask_bands(features.clone(), random, axis=1, widest=3, n_masks=1) != features
    columns = mask_bands(features.clone(), random, axis=2, widest=4, n_masks=1) != features
    assert rows.any()
    assert columns.any()
    means = features.mean(dim=(1, 2, 3), keepdim=True).expand_as(features)
    torch.testing.assert_close(masked, torch.where(rows | columns, means, features))


@pytest.mark.parametrize("pad", [0, 256, 512])
def test_power_by_fft_is_the_graphs(pad):
    front_end = LogMel(44100, 1024, 512, 64, f_min=0.0, pad=pad)
    waveform = torch.rand(2, 5000, generator=torch.Generator().manual_seed(1)) - 0.5
    power = front_end.power(waveform)
    assert power.shape[2] == front_end.n_frames(5000)
    torch.testing.assert_close(front_end.power_by_fft(waveform), power, atol=1e-8, rtol=1e-4)


def test_shifted_spectra_are_cut_as_if_the_clips_were_fitted_and_rolled(monkeypatch):
    clips, indices = make_clips(MelCnnSystem), np.array([2, 0, 3, 2, 1])
    network = MelCnnSystem().build(2)
    spectra = MelCnnSystem().training_data(network, clips, torch.device("cpu")).sounds
    random = np.random.default_rng(1)
    places, shifts = random.uniform(0, 1, 5), random.integers(0, 344, 5)
    lengths, held = spectra.lengths[indices], spectra.take(indices)
    expected = fit_length(held, lengths, torch.from_numpy(places), 344, torch.from_numpy(shifts))
    given = spectra.shifted(indices, places, shifts)
    assert given.abs().max() > 1
    assert torch.equal(given, expected)
    monkeypatch.setattr("train.audio.sound_store.free_memory", lambda: 0)
    made = MelCnnSystem().training_data(network, clips, torch.device("cpu")).sounds
    torch.testing.assert_close(made.shifted(indices, places, shifts), given)


@pytest.mark.parametrize("system", [CoughSystem, MelCnnSystem])
def test_spectra_made_once_are_what_the_front_end_hears(system, monkeypatch):
    clips = make_clips(system)
    network = system().build(2)
    training_data = system().training_data(network, clips, torch.device("cpu"))
    indices = np.array([2, 0, 3, 2])
    held = training_data.sounds.take(indices)
    monkeypatch.setattr("train.audio.sound_store.free_memory", lambda: 0)
    made = system().training_data(network, clips, torch.device("cpu")).sounds.take(indices)
    torch.testing.assert_close(made, held)

    front_end, hop_length = network.front_end, network.front_end.hop_length
    longest = torch.from_numpy(clips.waveform(1))
    power = front_end.power(longest[..., 10 * hop_length :].reshape(system.n_channels, -1))
    whole = training_data.sounds.take(np.array([1])).view(system.n_channels, *held.shape[-2:])
    # But for the mirrored outermost frames, a cut at a frame sees what a window there would.
    inner = training_data.sounds.scale(power)[..., 1:-2]
    torch.testing.assert_close(whole[..., 11 : 11 + inner.shape[-1]], inner, atol=1e-3, rtol=1e-3)
    assert training_data.sounds.lengths.tolist() == [front_end.n_frames(n) for n in clips.lengths]
    assert not whole[..., int(training_data.sounds.lengths[1]) + 2 :].any()
    assert not held[1][..., int(training_data.sounds.lengths[0]) + 2 :].any()
