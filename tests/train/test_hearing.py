# ruff: noqa: E402
from __future__ import annotations

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from streamclf.core.card import Card
from streamclf.core.records import Block, Scores
from streamclf.core.stats import Statistics
from streamclf.pipeline.short_audio import weigh_short
from streamclf.pipeline.windows import slide
from train.datasets import open_clips
from train.nets.inference import (
    WindowLogits,
    run_crops,
    run_windows,
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


def test_window_starts_hear_a_remainder_with_what_lies_before_it():
    assert window_starts(24001, 24000, 8000) == [0, 1]
    assert window_starts(41000, 24000, 8000) == [0, 8000, 16000, 17000]


@pytest.mark.parametrize("n_samples", [1000, 9000, 23999, 24000, 30001, 48000, 50123])
@pytest.mark.parametrize("fill", ["mirror", "zeros"])
def test_hear_windows_gives_what_the_engine_cuts_and_weighs(tmp_path, n_samples, fill):
    waveform = np.random.default_rng(1).uniform(-0.5, 0.5, n_samples)
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "set" / name / "noise.wav", waveform, 16000)
    clips = open_clips(tmp_path / "set", 16000, dataset="folder", out=tmp_path / "prepared")
    network = Loudness()
    network.scale.data.fill_(1e-4)
    heard = run_windows(network, clips, 24000, fill=fill)
    block = Block(0, clips.waveform(0)[np.newaxis], 16000)
    windows = list(slide([block], 24000, 8000, fill=fill))
    seen = torch.cat(network.seen).numpy()[: len(windows)]
    np.testing.assert_array_equal(seen, np.stack([window.waveform for window in windows]))
    # What the engine makes of the same logits.
    plain = softmax(heard.logits[: len(windows)]).astype(np.float32)
    card = Card(
        name="x", labels=["a", "b", "c"], sample_rate=16000, window_samples=24000, fill=fill
    )
    scores = (Scores(w.position, w.n_samples, row) for w, row in zip(windows, plain, strict=True))
    weighed = [s for s in weigh_short(scores, card, Statistics()) if isinstance(s, Scores)]
    given = heard.scores()[: len(windows)]
    np.testing.assert_allclose(given, np.stack([s.values for s in weighed]), atol=1e-6)


def test_hear_windows_gives_the_windows_the_user_hears(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=2.0), 16000)
    network = Loudness().train()
    heard = run_windows(network, clips, 24000)
    seen = torch.cat(network.seen).numpy()
    assert network.training
    assert heard.clip.tolist() == [clip for clip in range(6) for _ in range(2)]
    np.testing.assert_array_equal(seen[2], clips.waveform(1)[:24000])
    np.testing.assert_array_equal(seen[3], clips.waveform(1)[8000:32000])


def test_hear_windows_puts_zeros_behind_a_short_clip_where_a_network_learned_them(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=1.0), 16000)
    network = Loudness()
    heard = run_windows(network, clips, 24000, fill="zeros")
    assert len(heard.logits) == 6
    assert heard.weight is None
    seen = torch.cat(network.seen).numpy()
    np.testing.assert_array_equal(seen[0, :16000], clips.waveform(0))
    assert not seen[:, 16000:].any()


def test_hear_crops_takes_ten_from_end_to_end(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=2.0), 16000)
    network = Loudness()
    heard = run_crops(network, clips, lambda waveform: ten_crops(waveform, 24014))
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
