# ruff: noqa: E402
"""Cutting, changing and mixing batches, against the formulas on small cases."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import make_clips

from train.augment import (
    crop_scaled,
    cut,
    draw_gains,
    fit_length,
    mask_bands,
    mask_spectrum,
)
from train.cough import CoughSystem
from train.digits import DigitsSystem
from train.features import LogMel, mel_filters
from train.hearing import ten_crops
from train.melcnn import MelCnnSystem
from train.mixing import (
    a_weighted_level,
    a_weighting,
    draw_other_class,
    mix_between_classes,
    mix_labels,
    mixup,
)
from train.sounds import Sounds

pytestmark = pytest.mark.train


def test_a_weighting_is_the_standards():
    # IEC 61672, table of the exact curve.
    given = a_weighting(np.array([100.0, 1000.0, 10000.0, 0.0]))
    np.testing.assert_allclose(given, [-19.1, 0.0, -2.5, -80.0], atol=0.1)


def test_a_weighted_level_is_that_of_the_loudest_frame():
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 1000 * time)
    bass = torch.sin(2 * torch.pi * 100 * time)
    late = torch.where(time > 0.5, tone, 0.0)
    levels = a_weighted_level(torch.stack([tone, 0.1 * tone, bass, late, 0 * tone]), 16000)
    # A sine of amplitude 1 under a Hann window: its bins hold 3/8 of n_fft^2 / 4 altogether.
    assert levels[0].item() == pytest.approx(10 * np.log10(0.375 * 2048**2 / 4), abs=0.1)
    assert (levels[0] - levels[1]).item() == pytest.approx(20, abs=0.01)
    assert (levels[0] - levels[2]).item() == pytest.approx(19.1, abs=0.3)
    assert levels[3].item() == pytest.approx(levels[0].item(), abs=0.1)
    assert levels[4].item() == -80


def test_between_class_mix_follows_the_formula():
    # The same sound at a tenth of the level: 20 dB apart, so G1 - G2 = 20.
    time = torch.arange(4096) / 16000
    first = torch.sin(2 * torch.pi * 1000 * time)[None]
    second = 0.1 * first
    ratio = 0.25
    weight = 1 / (1 + 10 * (1 - ratio) / ratio)
    expected = (weight * first + (1 - weight) * second) / np.sqrt(weight**2 + (1 - weight) ** 2)
    mixed = mix_between_classes(first, second, torch.tensor([ratio]), 16000)
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=0)


def test_between_class_mix_of_equal_levels_keeps_the_ratio():
    noise = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (1, 4096))).float()
    mixed = mix_between_classes(noise, -noise, torch.tensor([0.5]), 16000)
    torch.testing.assert_close(mixed, torch.zeros_like(noise), atol=1e-6, rtol=0)


def test_mix_labels_keeps_the_ratio():
    first, second = torch.eye(3)[[0, 1]], torch.eye(3)[[2, 2]]
    given = mix_labels(first, second, torch.tensor([0.25, 1.0]))
    torch.testing.assert_close(given, torch.tensor([[0.25, 0, 0.75], [0, 1.0, 0]]))


def test_mixup_keeps_the_larger_share_and_labels_by_it():
    inputs = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 2, 3))).float()
    labels = torch.eye(5)
    mixed, mixed_labels = mixup(inputs, labels, np.random.default_rng(2), 0.7)
    ratios = np.random.default_rng(2).beta(0.7, 0.7, 5)
    for index, drawn in enumerate(ratios):
        share = max(drawn, 1 - drawn)
        expected = share * inputs[index] + (1 - share) * inputs[index - 1]
        torch.testing.assert_close(mixed[index], expected)
        expected = share * labels[index] + (1 - share) * labels[index - 1]
        torch.testing.assert_close(mixed_labels[index], expected)


def test_other_class_is_another_class_and_any_of_them():
    targets = np.array([2, 0, 1, 0, 2, 2, 0])
    random = np.random.default_rng(1)
    chosen = np.repeat(np.arange(7), 300)
    others = draw_other_class(targets, chosen, random)
    assert (targets[others] != targets[chosen]).all()
    for index in range(7):
        reached = set(others[chosen == index])
        assert reached == set(np.flatnonzero(targets != targets[index]))


def test_cut_takes_each_stretch_where_asked():
    sounds = torch.arange(24.0).reshape(2, 2, 6)
    given = cut(sounds, np.array([1, 0, 1]), np.array([0, 3, 2]), 3)
    for row, (sound, start) in zip(given, [(1, 0), (0, 3), (1, 2)], strict=True):
        torch.testing.assert_close(row, sounds[sound, :, start : start + 3])


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.25])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.999999])
def test_crop_scaled_is_scale_then_pad_then_crop(scale, place):
    sound = np.random.default_rng(1).normal(size=50)
    begin, end, length = 7, 43, 16
    inner = sound[begin:end]
    positions = np.arange(int(len(inner) / scale)) * scale
    scaled = np.interp(positions, np.arange(len(inner)), inner)
    padded = np.pad(scaled, length // 2)
    start = int(place * (len(padded) - length + 1))
    given = crop_scaled(
        torch.from_numpy(sound)[None],
        torch.tensor([begin]),
        torch.tensor([end]),
        torch.tensor([place], dtype=torch.float64),
        torch.tensor([scale], dtype=torch.float64),
        length,
    )
    np.testing.assert_allclose(given[0].numpy(), padded[start : start + length], atol=1e-6)


@pytest.mark.parametrize(("begin", "scale"), [(0, 0.5), (3, 0.5), (2, 1.3)])
def test_crop_of_a_single_sample_is_that_sample_alone(begin, scale):
    sound = torch.tensor([[5.0, 6.0, 7.0, 8.0]])
    ends, scales = torch.tensor([begin + 1]), torch.tensor([scale])
    crop = crop_scaled(sound, torch.tensor([begin]), ends, torch.zeros(1), scales, 3, pad=0)
    n_scaled = int(1 / scale)
    assert crop.tolist() == [[sound[0, begin]] * n_scaled + [0] * (3 - n_scaled)]


def test_gains_stay_in_their_range():
    gains = 20 * np.log10(draw_gains(np.random.default_rng(1), 1000, -6, 6))
    assert -6 <= gains.min() < -5.5
    assert 5.5 < gains.max() <= 6


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


@pytest.mark.parametrize(
    ("n_samples", "place"), [(3, 0.0), (3, 0.99), (5, 0.5), (9, 0.0), (9, 0.7)]
)
def test_fit_length_cuts_or_pads_at_a_place(n_samples, place):
    sound = np.arange(1.0, n_samples + 1)
    rows = torch.from_numpy(np.pad(sound, (0, 9 - n_samples)))[None, None].expand(1, 2, -1)
    places = torch.tensor([place], dtype=torch.float64)
    given = fit_length(rows, torch.tensor([n_samples]), places, 5)
    step = int(place * (abs(n_samples - 5) + 1))
    expected = sound[step : step + 5] if n_samples >= 5 else np.pad(sound, (step, 2 - step))
    np.testing.assert_array_equal(given[0], np.stack([expected, expected]))


def test_shift_wraps_each_clip_by_its_own():
    sounds = torch.arange(1.0, 13.0).reshape(3, 1, 4)
    lengths, places = torch.tensor([4, 3, 4]), torch.tensor([0.0, 0.9, 0.0])
    still = fit_length(sounds, lengths, places, 4)
    given = fit_length(sounds, lengths, places, 4, torch.tensor([0, 1, 3]))
    assert still.tolist() == [[[1, 2, 3, 4]], [[0, 5, 6, 7]], [[9, 10, 11, 12]]]
    for row, sound, shift in zip(given, still, (0, 1, 3), strict=True):
        torch.testing.assert_close(row, sound.roll(shift, -1))


@pytest.mark.parametrize(("place", "expected"), [(0.0, [2, 3, 0, 0]), (0.9, [0, 0, 2, 3])])
def test_crop_without_padding_lays_a_short_sound_somewhere(place, expected):
    sound = torch.arange(1.0, 5.0)[None]
    begins, ends = torch.tensor([1]), torch.tensor([3])
    crop = crop_scaled(sound, begins, ends, torch.tensor([place]), torch.ones(1), 4, pad=0)
    assert crop.tolist() == [expected]


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


def test_between_class_mix_at_the_higher_rate_has_longer_frames():
    # 2,048 samples of a tone fill half of a frame of 4,096 at 44.1 kHz: half of the energy.
    time = torch.arange(8192) / 44100
    tone = torch.sin(2 * torch.pi * 1000 * time)[None]
    short = torch.where(torch.arange(8192) < 2048, tone, 0.0)
    level = a_weighted_level(tone, 44100) - a_weighted_level(short, 44100)
    assert level.item() == pytest.approx(3.01, abs=0.05)
    given = mix_between_classes(tone, 0.5 * tone, torch.tensor([0.5]), 44100)
    weight = 1 / (1 + 2)
    expected = (weight * tone + (1 - weight) * 0.5 * tone) / np.sqrt(weight**2 + (1 - weight) ** 2)
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("system", [DigitsSystem, MelCnnSystem])
def test_sounds_left_on_disk_are_those_in_memory(system, monkeypatch):
    clips = make_clips(system)
    indices = np.array([2, 0, 3, 2])
    held = Sounds(clips, torch.device("cpu"))
    monkeypatch.setattr("train.sounds.fits_in_memory", lambda *_: False)
    read = Sounds(clips, torch.device("cpu"))
    assert torch.equal(read.take(indices), held.take(indices))
    assert read.take(indices[:2]).shape[-1] == clips.clips[2].n_samples
    np.testing.assert_array_equal(read.take(np.array([1]))[0], clips.waveform(1))


def test_shifted_spectra_are_cut_as_if_the_clips_were_fitted_and_rolled(monkeypatch):
    clips, indices = make_clips(MelCnnSystem), np.array([2, 0, 3, 2, 1])
    network = MelCnnSystem().build(2)
    spectra = MelCnnSystem().material(network, clips, torch.device("cpu")).sounds
    random = np.random.default_rng(1)
    places, shifts = random.uniform(0, 1, 5), random.integers(0, 344, 5)
    lengths, held = spectra.lengths[indices], spectra.take(indices)
    expected = fit_length(held, lengths, torch.from_numpy(places), 344, torch.from_numpy(shifts))
    given = spectra.shifted(indices, places, shifts)
    assert given.abs().max() > 1
    assert torch.equal(given, expected)
    monkeypatch.setattr("train.sounds.free_memory", lambda: 0)
    made = MelCnnSystem().material(network, clips, torch.device("cpu")).sounds
    torch.testing.assert_close(made.shifted(indices, places, shifts), given)


@pytest.mark.parametrize("system", [CoughSystem, MelCnnSystem])
def test_spectra_made_once_are_what_the_front_end_hears(system, monkeypatch):
    clips = make_clips(system)
    network = system().build(2)
    material = system().material(network, clips, torch.device("cpu"))
    indices = np.array([2, 0, 3, 2])
    held = material.sounds.take(indices)
    monkeypatch.setattr("train.sounds.free_memory", lambda: 0)
    made = system().material(network, clips, torch.device("cpu")).sounds.take(indices)
    torch.testing.assert_close(made, held)

    front_end, hop_length = network.front_end, network.front_end.hop_length
    longest = torch.from_numpy(clips.waveform(1))
    power = front_end.power(longest[..., 10 * hop_length :].reshape(system.n_channels, -1))
    whole = material.sounds.take(np.array([1])).view(system.n_channels, *held.shape[-2:])
    # But for the mirrored outermost frames, a cut at a frame sees what a window there would.
    inner = material.sounds.scale(power)[..., 1:-2]
    torch.testing.assert_close(whole[..., 11 : 11 + inner.shape[-1]], inner, atol=1e-3, rtol=1e-3)
    assert material.sounds.lengths.tolist() == [front_end.n_frames(n) for n in clips.lengths]
    assert not whole[..., int(material.sounds.lengths[1]) + 2 :].any()
    assert not held[1][..., int(material.sounds.lengths[0]) + 2 :].any()


def test_crops_without_padding_are_spread_from_end_to_end():
    crops = ten_crops(np.arange(1.0, 101), 10, pad=0)
    assert [crop[0] for crop in crops] == list(range(1, 100, 10))
    assert {crop.shape for crop in crops} == {(10,)}
    np.testing.assert_array_equal(ten_crops(np.ones(4), 6, pad=0)[0], [1, 1, 1, 1, 0, 0])
