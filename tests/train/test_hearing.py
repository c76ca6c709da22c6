# ruff: noqa: E402
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.datasets import open_clips
from train.hearing import (
    WindowLogits,
    hear_crops,
    hear_windows,
    softmax,
    ten_crops,
    trim_zeros,
    window_starts,
)

pytestmark = pytest.mark.train


class Loudness(torch.nn.Module):
    """Gives each window's sum of magnitudes, so that one sees what it was given."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.seen = []

    def forward(self, waveform):
        self.seen.append(waveform.clone())
        level = waveform.abs().sum(dim=1, keepdim=True) * self.scale
        return torch.cat([level, -level, 0 * level], dim=1)


@pytest.mark.parametrize(
    ("n_samples", "starts"),
    [(80000, [0, 8000, 16000, 24000, 32000, 40000, 48000, 56000]), (24000, [0]), (100, [0])],
)
def test_window_starts_reach_the_end_and_no_further(n_samples, starts):
    assert window_starts(n_samples, 24000, 8000) == starts


def test_window_starts_hear_a_remainder():
    assert window_starts(24001, 24000, 8000) == [0, 8000]


def test_hear_windows_gives_the_windows_the_user_hears(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=2.0), 16000)
    network = Loudness().train()
    heard = hear_windows(network, clips, 24000)
    seen = torch.cat(network.seen).numpy()
    assert network.training
    assert heard.clip.tolist() == [clip for clip in range(6) for _ in range(2)]
    np.testing.assert_array_equal(seen[2], clips.waveform(1)[:24000])
    np.testing.assert_array_equal(seen[3], clips.waveform(1)[8000:32000])


def test_hear_windows_pads_a_short_clip(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=1.0), 16000)
    network = Loudness()
    heard = hear_windows(network, clips, 24000)
    assert len(heard.logits) == 6
    seen = torch.cat(network.seen).numpy()
    np.testing.assert_array_equal(seen[0, :16000], clips.waveform(0))
    assert not seen[:, 16000:].any()


def test_hear_crops_takes_ten_from_end_to_end(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=2.0), 16000)
    network = Loudness()
    heard = hear_crops(network, clips, lambda waveform: ten_crops(waveform, 24014))
    seen = torch.cat(network.seen).numpy().reshape(6, 10, 24014)
    assert len(heard.logits) == 60
    padded = np.pad(trim_zeros(clips.waveform(2)), 12007)
    stride = (len(padded) - 24014) // 9
    for crop in range(10):
        expected = padded[crop * stride : crop * stride + 24014]
        np.testing.assert_array_equal(seen[2, crop], expected)


def test_trim_zeros_keeps_what_lies_between():
    np.testing.assert_array_equal(trim_zeros(np.array([0, 1, 0, 2, 0])), [1, 0, 2])
    assert len(trim_zeros(np.zeros(5))) == 1


def test_clip_scores_average_scores_not_logits():
    # One window is sure of class 0; the sum of the logits would say class 1.
    logits = np.array([[30.0, 0.0], [0.0, 1.0], [0.0, 40.0]], dtype=np.float32)
    heard = WindowLogits(logits, np.array([0, 0, 1]), np.array([0, 1]))
    expected = (softmax(logits[0]) + softmax(logits[1])) / 2
    np.testing.assert_allclose(heard.clip_scores()[0], expected)
    assert heard.clip_accuracy() == 1.0
    assert heard.window_accuracy() == pytest.approx(2 / 3)


def test_softmax_divides_by_the_temperature():
    np.testing.assert_allclose(softmax(np.array([2.0, 0.0]), 2.0), softmax(np.array([1.0, 0.0])))
    np.testing.assert_allclose(softmax(np.array([1000.0, 0.0])), [1, 0], atol=1e-12)
