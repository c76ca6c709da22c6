# ruff: noqa: E402
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from train import plots
from train.filters import FILTERS, N_FREQUENCIES, measure_filters, sine_frequencies
from train.runs import RunFolder

pytestmark = pytest.mark.train


@pytest.fixture
def run(tmp_path) -> RunFolder:
    made = RunFolder(tmp_path)
    made.write_json("config.json", {})
    return made


def size(run, name) -> tuple[int, int]:
    with Image.open(run.path / name) as image:
        return image.size


class Resonators(torch.nn.Module):
    """Two filters: what a sine of 4 kHz excites, and what one of 500 Hz does."""

    def __init__(self):
        super().__init__()
        time = np.arange(320) / 16000
        kernels = np.stack([np.sin(2 * np.pi * f * time) for f in (4000, 500)]) * np.hanning(320)
        self.conv = torch.nn.Conv1d(1, 2, 320, bias=False)
        self.conv.weight = torch.nn.Parameter(torch.from_numpy(kernels[:, None]).float())

    def forward(self, waveform):
        return self.conv(waveform[:, None])


class Stand:
    sample_rate = 16000

    def front_end(self, network):
        return network


def test_measured_filters_peak_where_they_listen():
    network = Resonators().train()
    answers = measure_filters(Stand(), network)
    frequencies = sine_frequencies(16000)
    assert network.training
    assert answers.shape == (2, N_FREQUENCIES)
    assert (frequencies[0], frequencies[-1]) == pytest.approx((10, 8000))
    peaks = frequencies[answers.argmax(axis=1)]
    assert peaks == pytest.approx([4000, 500], rel=0.08)


def test_sorted_filters_are_centred_with_the_lowest_first():
    ordered = plots.sort_filters(measure_filters(Stand(), Resonators()))
    assert np.diff(ordered.argmax(axis=1)) > 0
    np.testing.assert_allclose(ordered.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(ordered).max(axis=1), 1)


def test_filters_become_a_picture_and_a_film(run):
    answers = np.random.default_rng(1).random((3, 4, N_FREQUENCIES)).astype(np.float16)
    run.write_tensors(FILTERS, {"epochs": np.array([0, 1, 2]), "answers": answers})
    plots.draw_filters(run, 16000)
    assert size(run, "filters.png")[0] > 300
    with Image.open(run.path / "filters.gif") as film:
        assert film.n_frames == 3


@pytest.mark.parametrize("shape", [(8, 1, 80), (5, 1, 1, 8), (16, 1, 3, 3), (100, 2, 5, 5)])
def test_kernels_of_every_shape_are_drawn(run, shape):
    plots.draw_kernels(run, np.random.default_rng(1).normal(size=shape))
    assert size(run, "kernels.png")[0] > 200


def test_history_of_a_regression_shows_errors(run):
    row = {"loss": 1.0, "error": 0.2, "held_out_clips": 0.3}
    plots.draw_history(run, [{"epoch": k, **row} for k in (1, 2)])
    names = {path.name for path in run.path.glob("*.png")}
    assert names == {"losses.png", "errors.png"}


def test_judgements_are_drawn(run):
    plots.draw_confusion(run, np.array([[3, 1], [0, 0]]), ["a", "b"], "confusion.png")
    plots.draw_reliability(run, [{"score": 0.5, "accuracy": 0.6, "clips": 4}], 0.1)
    plots.draw_scatter(run, np.array([0.1, 0.9]), np.array([0.0, 1.0]))
    for name in ("confusion.png", "reliability.png", "scatter.png"):
        assert size(run, name)[0] > 300
