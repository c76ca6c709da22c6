# ruff: noqa: E402
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from train.evaluation import plots
from train.run_folder.learned_filters import (
    FILTERS,
    N_FREQUENCIES,
    measure_filters,
    sine_frequencies,
)
from train.run_folder.run import RunFolder

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
    assert (frequencies[0], frequencies[-1]) == pytest.approx((10, 7600))
    peaks = frequencies[answers.argmax(axis=1)]
    assert peaks == pytest.approx([4000, 500], rel=0.08)


class Strided(torch.nn.Module):
    """A filter that hears every fourth sample, and one that hears slow sounds and no others."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 2, 80, stride=4, bias=False)
        random = np.random.default_rng(1)
        noise = random.normal(0, 1, 80)
        self.conv.weight = torch.nn.Parameter(
            torch.from_numpy(np.stack([noise, np.hanning(80)])[:, None]).float()
        )

    def forward(self, waveform):
        return torch.relu(self.conv(waveform[:, None]))


def test_stride_makes_no_line_of_its_own():
    """A sine of ``rate / stride`` meets the filter at one place of its period alone."""
    answers = measure_filters(Stand(), Strided())[0]
    frequencies = sine_frequencies(16000)
    kernel = Strided().conv.weight[0, 0].detach().numpy()
    time = np.arange(80) / 16000
    turns = np.exp(-2j * np.pi * frequencies[:, None] * time)
    # A sine at any phase, behind ReLU: half of the mean magnitude, 2 / pi of the amplitude.
    expected = 0.5 * np.abs(turns @ kernel) / np.pi
    np.testing.assert_allclose(answers, expected, atol=0.05 * expected.max())


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_no_sine_is_at_half_the_rate_or_above(rate):
    frequencies = sine_frequencies(rate)
    assert frequencies[-1] < 0.48 * rate
    assert np.all(np.diff(frequencies) > 0)


def test_ordered_filters_are_centred_with_the_lowest_first():
    answers = measure_filters(Stand(), Resonators())
    ordered = plots.order_filters(answers, sine_frequencies(16000))
    assert np.diff(ordered.argmax(axis=1)) > 0
    np.testing.assert_allclose(ordered.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(ordered).max(axis=1), 1)


def test_filters_are_ordered_by_where_most_of_their_answer_lies():
    """A broad band's highest point may be anywhere in it, and a flat one's at the end."""
    frequencies = sine_frequencies(16000)
    place = np.arange(N_FREQUENCIES)
    low = np.exp(-(((place - 30) / 8) ** 2))
    low[95] = 1.01
    high = np.exp(-(((place - 60) / 20) ** 2))
    middle = np.exp(-(((place - 45) / 8) ** 2))
    ordered = plots.order_filters(np.stack([high, low, middle]), frequencies)
    centroids = plots.find_centroids(ordered, frequencies)
    assert np.all(np.diff(centroids) > 0)
    assert [row.argmax() for row in ordered] == [95, 45, 60]


def test_filters_become_a_picture_and_a_film(run):
    answers = np.random.default_rng(1).random((3, 4, N_FREQUENCIES)).astype(np.float16)
    tensors = {"epochs": np.array([0, 1, 2]), "answers": answers}
    run.write_tensors(FILTERS, tensors | {"frequencies": sine_frequencies(16000)})
    plots.draw_filters(run)
    assert size(run, "filters.png")[0] > 300
    with Image.open(run.path / "filters.gif") as film:
        assert film.n_frames == 3


@pytest.mark.parametrize("shape", [(8, 1, 80), (5, 1, 1, 8), (16, 1, 3, 3), (100, 2, 5, 5)])
def test_kernels_of_every_shape_are_drawn(run, shape):
    plots.draw_kernels(run, np.random.default_rng(1).normal(size=shape))
    assert size(run, "kernels.png")[0] > 200


def test_losses_show_the_held_out_fold_too(run):
    row = {"loss": 1.0, "accuracy": 0.2}
    plots.draw_history(run, [{"epoch": k, **row} for k in (1, 2)])
    without = (run.path / "losses.png").read_bytes()
    plots.draw_history(run, [{"epoch": k, **row, "held_out_loss": 2.0} for k in (1, 2)])
    assert (run.path / "losses.png").read_bytes() != without


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
