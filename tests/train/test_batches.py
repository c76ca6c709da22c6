# ruff: noqa: E402
"""Cutting, changing and mixing batches, against the formulas on small cases."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cases import make_clips

from train.audio.augment import (
    crop_scaled,
    cut,
    draw_gains,
    fit_length,
)
from train.audio.mixing import (
    a_weighted_level,
    a_weighting,
    draw_other_class,
    mix_between_classes,
    mix_labels,
    mixup,
)
from train.audio.sound_store import WaveformStore
from train.digits import DigitsSystem
from train.melcnn import MelCnnSystem
from train.nets.inference import ten_crops

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
    held = WaveformStore(clips, torch.device("cpu"))
    monkeypatch.setattr("train.audio.sound_store.fits_in_memory", lambda *_: False)
    read = WaveformStore(clips, torch.device("cpu"))
    assert torch.equal(read.take(indices), held.take(indices))
    assert read.take(indices[:2]).shape[-1] == clips.clips[2].n_samples
    np.testing.assert_array_equal(read.take(np.array([1]))[0], clips.waveform(1))


def test_crops_without_padding_are_spread_from_end_to_end():
    crops = ten_crops(np.arange(1.0, 101), 10, pad=0)
    assert [crop[0] for crop in crops] == list(range(1, 100, 10))
    assert {crop.shape for crop in crops} == {(10,)}
    np.testing.assert_array_equal(ten_crops(np.ones(4), 6, pad=0)[0], [1, 1, 1, 1, 0, 0])
