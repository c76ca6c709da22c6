# ruff: noqa: E402
"""The last layer fitted alone: to its optimum, by classes or by probabilities."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.audio.listening_conditions import draw_conditions
from train.datasets import open_clips
from train.pocket import Pocket
from train.pocket_parts import last_layer
from train.pocket_parts.last_layer import WindowAverages, fit_last_layer, fit_logistic
from train.pocket_parts.mel_power import draw_noise

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("narrow_pocket")]


def rows(n=300):
    """Two classes that overlap, on channels of very different spreads."""
    random = np.random.default_rng(1)
    labels = np.arange(n) % 2
    features = random.normal(0, 1, (n, 3)) * [1, 100, 0.01] + labels[:, None] * [1, 50, 0.02] + 7
    return torch.from_numpy(features).float(), torch.from_numpy(labels)


def loss_of(layer, features, labels, weight_decay=0.0):
    deviation = features.std(dim=0) + 1e-5
    penalty = weight_decay * (layer.weight * deviation).square().sum()
    return (torch.nn.functional.cross_entropy(layer(features), labels) + penalty).item()


def test_the_optimum_is_found_wherever_the_layer_was():
    features, labels = rows()
    layer = torch.nn.Linear(3, 2)
    fit_logistic(layer, features, labels, 1e-3)
    best = loss_of(layer, features, labels, 1e-3)
    random = torch.Generator().manual_seed(1)
    deviation = features.std(dim=0)
    for _ in range(50):
        other = torch.nn.Linear(3, 2)
        with torch.no_grad():
            step = 0.05 * torch.randn(2, 3, generator=random) / deviation
            other.weight.copy_(layer.weight + step)
            other.bias.copy_(layer.bias - step @ features.mean(dim=0))
        assert loss_of(other, features, labels, 1e-3) > best
    again = torch.nn.Linear(3, 2)
    fit_logistic(again, features, labels, 1e-3)
    assert torch.equal(again.weight, layer.weight)


def test_probabilities_of_one_and_nought_are_classes():
    features, labels = rows()
    by_class, by_probability = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    fit_logistic(by_class, features, labels, 1e-3)
    one_hot = torch.nn.functional.one_hot(labels).float()
    fit_logistic(by_probability, features, one_hot, 1e-3)
    torch.testing.assert_close(by_class.weight, by_probability.weight, rtol=1e-3, atol=1e-5)


def test_averages_are_of_scores_and_each_counts_once():
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.3, 0.7]]))
    rows, of = torch.tensor([0, 1, 3]), torch.tensor([0, 0, 1])
    averages = WindowAverages(rows, of, torch.tensor([0, 1]))
    expected = -(np.log(0.7) + np.log(0.7)) / 2
    assert averages.loss(logits).item() == pytest.approx(expected, abs=1e-5)


def test_a_window_that_holds_the_sound_speaks_for_those_that_do_not():
    """Of four windows of a clip one tells its class; the others are alike in both classes."""
    random = np.random.default_rng(2)
    n_clips = 200
    classes = np.arange(n_clips) % 2
    features = random.normal(0, 1, (n_clips, 4, 3))
    features[:, 0, 0] += np.where(classes == 1, 4.0, -4.0)
    rows = torch.from_numpy(features).float().flatten(0, 1)
    targets = torch.from_numpy(classes)
    of = torch.arange(n_clips).repeat_interleave(4)
    labels = targets.repeat_interleave(4)
    plain, averaging = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    fit_logistic(plain, rows, labels, 1e-3)
    averages = WindowAverages(torch.arange(4 * n_clips), of, targets)
    fit_logistic(averaging, rows, labels, 1e-3, averages)
    with torch.no_grad():
        losses = [averages.loss(layer(rows)).item() for layer in (plain, averaging)]
    # Where three say nothing no average can be surer than 5/8.
    assert -np.log(5 / 8) < losses[1] < losses[0] - 0.02


def test_settings_are_as_it_is_quieter_and_over_noise():
    loudest = torch.linspace(1, 100, 400)
    plain, quiet, noisy = draw_conditions(loudest, 7, np.random.default_rng(0))
    assert (plain.levels == 1).all()
    assert (plain.noise == 0).all()
    assert (quiet.noise == 0).all()
    assert 1e-4 <= quiet.levels.min() < 3e-4
    assert 0.5 < quiet.levels.max() <= 1
    assert 0.4 < (noisy.levels == 1).float().mean() < 0.6
    below_db = 10 * torch.log10(loudest / noisy.noise)
    assert 0 <= below_db.min() < 2
    assert 33 < below_db.max() <= 35.001
    assert set(noisy.rows) == set(range(7))


class EventSettings:
    """A body that keeps what it hears."""

    def __init__(self):
        self.output = torch.nn.Linear(2, 3)
        self.heard = []

    def pooled(self, features):
        self.heard.append(features)
        return features.flatten(1)[:, :2] + torch.arange(2)


def fit(clips):
    system = Pocket()
    training_data = system.training_data(system.build(3), clips, torch.device("cpu"))
    assert training_data.n_frames == 59
    body = EventSettings()
    fit_last_layer(
        body, training_data, lambda i, _: (torch.full((len(i), 64, 59), 5.0), torch.eye(3)[i % 3])
    )
    return body.heard, training_data


def test_every_window_is_heard_as_it_is_quieter_over_noise_and_as_often_changed(make_esc):
    heard, training_data = fit(open_clips(make_esc(folds=1, seconds=3.0), 16000))
    # Windows of 1.5 s every half second in 3 s, three times, eight that are changed, four of noise.
    assert len(heard) == 3 * 4 + 8 + 4
    assert all((features == 5).all() for features in heard[4:12])
    start = training_data.mel_power.margin
    power = training_data.mel_power.power[:, :, start + 20 : start + 79]
    torch.testing.assert_close(heard[1], training_data.front_end.compress(power))
    # All windows of a clip are as much quieter.
    quieter = [torch.expm1(heard[n]).amax(dim=(1, 2)) for n in (12, 13)]
    plain = [torch.expm1(heard[n]).amax(dim=(1, 2)) for n in (0, 1)]
    ratios = [soft / loud for soft, loud in zip(quieter, plain, strict=True)]
    torch.testing.assert_close(ratios[0], ratios[1], rtol=1e-2, atol=0)
    assert (ratios[0] < 1).all()


def test_windows_are_heard_some_at_a_time_with_the_same_outcome(make_esc, monkeypatch):
    """On a processor a few fit its cache; how many there are together is no matter of learning."""
    clips = open_clips(make_esc(folds=1, seconds=3.0), 16000)
    system = Pocket()
    training_data = system.training_data(system.build(3), clips, torch.device("cpu"))

    def fitted(n_at_once):
        monkeypatch.setattr(last_layer, "inference_batch_size", lambda device: n_at_once)
        torch.manual_seed(1)
        network = system.build(3).eval()
        fit_last_layer(network.body, training_data, partial(system.batch, training_data))
        return network.body.output.weight.detach()

    whole = fitted(128)
    torch.testing.assert_close(fitted(4), whole, rtol=0, atol=0.02 * whole.std().item())


def test_windows_in_which_nothing_of_the_clip_is_heard_teach_no_name(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=3.0), 16000)
    samples = np.array(clips.samples)
    first = clips.clips[0]
    # One clip of six falls silent after a second: two of its four windows hold nothing.
    samples[first.offset + 15_000 : first.offset + first.n_samples] = 0
    heard, _ = fit(replace(clips, samples=samples))
    assert [len(features) for features in heard] == [
        6,
        6,
        5,
        5,
        *8 * [6],
        *2 * [6, 6, 5, 5],
        *4 * [6],
    ]


def test_noise_alone_is_named_without_confidence(make_esc, monkeypatch):
    """Windows of it have all labels alike."""
    clips = open_clips(make_esc(folds=1, seconds=3.0), 16000)
    system = Pocket()
    training_data = system.training_data(system.build(3), clips, torch.device("cpu"))
    network = system.build(3)
    noise = draw_noise(training_data.noises, 200, training_data.n_frames, np.random.default_rng(7))
    heard = training_data.front_end.compress(1e-3 * noise)

    def surest(n_alone):
        monkeypatch.setattr(last_layer, "N_NOISE_WINDOWS", n_alone)
        network.eval()
        fit_last_layer(network.body, training_data, partial(system.batch, training_data))
        with torch.no_grad():
            scores = network.body.output(network.body.pooled(heard)).softmax(dim=1)
        return scores.amax(dim=1).mean().item()

    assert surest(8) < surest(0) - 0.1
