# ruff: noqa: E402
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.audio.mixing import a_weighted_level
from train.base.errors import RunError
from train.datasets import open_clips
from train.envnet import EnvNet, EnvNetSystem
from train.nets.contract import find_system
from train.nets.pocket_network import PocketNet
from train.pocket import Pocket

pytestmark = pytest.mark.train


def test_envnet_has_the_published_size():
    with torch.device("meta"):
        network = EnvNet(50)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == 48.56
    assert not any(m.bias is not None for m in network.modules() if isinstance(m, torch.nn.Conv2d))


def test_envnet_has_the_published_shapes():
    with torch.device("meta"):
        network = EnvNet(50)
        picture = network.stem(torch.zeros(2, 1, 1, 24014)).transpose(1, 2)
        maps = network.layers(picture)
        logits = network(torch.zeros(2, 24014))
    assert picture.shape == (2, 1, 40, 150)
    assert maps.shape == (2, 50, 11, 14)
    assert logits.shape == (2, 50)


@pytest.mark.parametrize("system_type", [Pocket, EnvNetSystem])
def test_batch_gives_windows_and_probabilities(make_esc, system_type):
    clips = open_clips(make_esc(folds=1), 16000)
    system = system_type()
    with torch.device("cpu"):
        network = PocketNet(3) if system_type is Pocket else None
    training_data = system.training_data(network, clips, torch.device("cpu"))
    inputs, labels = system.batch(training_data, np.arange(6), np.random.default_rng(1))
    again, _ = system.batch(training_data, np.arange(6), np.random.default_rng(1))
    assert inputs.shape[0] == 6
    assert torch.equal(inputs, again)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(6))


def test_envnet_trims_silence_and_crops_within_half_a_window_of_it(make_esc):
    clips = open_clips(make_esc(folds=1), 16000)
    padded = clips.samples.copy().reshape(6, 32000)
    padded[:, :10000] = 0
    padded[0] = 0
    system = EnvNetSystem()
    clips = type(clips)(**{**vars(clips), "samples": padded.ravel()})
    training_data = system.training_data(None, clips, torch.device("cpu"))
    assert (training_data.begins[1:] >= 10000).all()
    assert (training_data.begins[1:] < 10010).all()
    assert (training_data.begins[0], training_data.ends[0]) == (0, 1)
    crops, _ = system.batch(training_data, np.ones(50, dtype=int), np.random.default_rng(1))
    sounding = (crops != 0).float().mean(dim=1)
    assert sounding.min() > 0.45


def test_envnet_between_classes_mixes_two_classes(make_esc):
    clips = open_clips(make_esc(folds=1), 16000)
    recipe = EnvNetSystem.default_recipe()
    system = EnvNetSystem(type(recipe)(**{**vars(recipe), "between_classes": True}))
    training_data = system.training_data(None, clips, torch.device("cpu"))
    waveform, labels = system.batch(training_data, np.arange(6), np.random.default_rng(1))
    assert ((labels > 0).sum(dim=1) == 2).all()
    # Divided by the root of the squares' sum: as loud as a single clip, 0.3 * sqrt(2) at most.
    assert waveform.abs().max() < 0.3 * 1.5 + 0.1
    assert (a_weighted_level(waveform, 16000) > -20).all()


@pytest.mark.parametrize("name", ["os", "../evil", "os.path", "nowhere", "recipe", ""])
def test_find_system_imports_nothing_but_networks(name):
    with pytest.raises(RunError, match="no network of this package"):
        find_system(name)


def test_find_system_finds_every_network():
    assert find_system("pocket").name == "pocket"
    assert find_system("envnet").name == "envnet"
