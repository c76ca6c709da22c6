# ruff: noqa: E402
"""The last layer fitted alone: to its optimum, by classes or by probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.datasets import open_clips
from train.last_layer import fit_last_layer, fit_logistic
from train.pocket import Pocket

pytestmark = pytest.mark.train


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


def test_every_window_is_heard_as_it_is_and_as_often_changed(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=3.0), 16000)
    system = Pocket()
    network = system.build(3)
    material = system.material(network, clips, torch.device("cpu"))
    heard = []

    class Body:
        output = torch.nn.Linear(2, 3)

        def pooled(self, features):
            heard.append(features)
            return features.flatten(1)[:, :2] + torch.arange(2)

    def draw(indices, random):
        return torch.full((len(indices), 64, 59), 5.0), torch.eye(3)[indices % 3]

    assert material.n_frames == 59
    fit_last_layer(Body(), material, draw)
    plain = [features for features in heard if not (features == 5).all()]
    # Windows of 1.5 s every half second in 3 s.
    assert len(plain) == 4
    assert len(heard) - len(plain) == 8
    start = material.powers.margin
    power = material.powers.power[:, :, start + 20 : start + 79]
    torch.testing.assert_close(plain[1], material.front_end.compress(power))


def test_windows_of_digital_silence_teach_no_name(make_esc):
    clips = open_clips(make_esc(folds=1, seconds=3.0), 16000)
    samples = np.array(clips.samples)
    first = clips.clips[0]
    # One clip of six falls silent after a second: two of its four windows hold nothing.
    samples[first.offset + 15_000 : first.offset + first.n_samples] = 0
    system = Pocket()
    network = system.build(3)
    material = system.material(network, replace(clips, samples=samples), torch.device("cpu"))
    fitted = []

    class Body:
        output = torch.nn.Linear(2, 3)

        def pooled(self, features):
            fitted.append(len(features))
            return features.flatten(1)[:, :2] + torch.arange(2)

    fit_last_layer(Body(), material, lambda i, _: (torch.ones(len(i), 64, 59), torch.eye(3)[i % 3]))
    assert fitted == [6, 6, 5, 5] + 8 * [6]
