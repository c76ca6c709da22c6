"""Mixtures of ten seconds: what they are drawn from, and that they fill their time."""

from __future__ import annotations

import numpy as np
import pytest
from distilling import RATE, make_clips

from train.audio.tracks import SECONDS, Tracks
from train.datasets.prepared import ClipSet

pytestmark = pytest.mark.train


def test_same_generator_gives_the_same_mixtures() -> None:
    tracks = Tracks(make_clips(("a", 400, 0.3), ("b", 900, 20.0)))
    first, second = (tracks.draw(np.random.default_rng(3), 4) for _ in range(2))
    assert first.shape == (4, round(SECONDS * RATE))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    assert np.abs(first).max() <= 1.0


def test_short_recording_is_heard_again_and_again() -> None:
    tracks = Tracks(make_clips(("a", 400, 0.3)))
    for seed in range(5):
        (mixture,) = tracks.draw(np.random.default_rng(seed), 1)
        loud = np.abs(mixture.reshape(20, -1)).max(axis=1) > 0.05 * np.abs(mixture).max()
        # Pauses are of 1.5 s on average at most: it does not stop after its first take.
        assert loud[:10].any()
        assert loud[10:].any()


def test_weights_decide_which_sources_are_drawn() -> None:
    tracks = Tracks(make_clips(("low", 300, 1.0), ("high", 3000, 1.0)), [0.0, 1.0])
    assert tracks.sources == ("low", "high")
    spectrum = np.abs(np.fft.rfft(tracks.draw(np.random.default_rng(1), 8), axis=1)).max(axis=0)
    hz = np.fft.rfftfreq(round(SECONDS * RATE), 1 / RATE)
    # Slower or faster by e to 0.34 at most.
    low = spectrum[(hz > 200) & (hz < 450)].max()
    assert low < 0.02 * spectrum[(hz > 2000) & (hz < 4500)].max()


def test_takes_of_one_source_are_drawn_as_often_as_another_source() -> None:
    many = [("many", 300.0, 6.0)] * 30
    tracks = Tracks(make_clips(*many, ("one", 3000.0, 6.0)))
    mixtures = tracks.draw(np.random.default_rng(2), 40)
    spectra = np.abs(np.fft.rfft(mixtures, axis=1))
    hz = np.fft.rfftfreq(mixtures.shape[1], 1 / RATE)
    high = spectra[:, (hz > 2000) & (hz < 4500)].max(axis=1)
    low = spectra[:, (hz > 200) & (hz < 450)].max(axis=1)
    heard = np.mean(high > 0.1 * low)
    assert 0.4 < heard <= 1.0


def test_silent_recordings_make_no_number_that_is_none() -> None:
    clips = make_clips(("a", 400, 1.0))
    silent = Tracks(ClipSet(**{**clips.__dict__, "samples": np.zeros_like(clips.samples)}))
    assert np.isfinite(silent.draw(np.random.default_rng(1), 4)).all()
