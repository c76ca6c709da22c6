"""The exporter's search for features: what the last linear layer takes, and its step in 8 bits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import onnx
import toys

from export.errors import ExportError
from export.graph.find_features import find_features
from export.restate import main, restate
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import BUNDLED, Model

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def all_sounds(monkeypatch):
    """The sounds of a user's export."""
    monkeypatch.setattr("export.graph.find_features.SOUNDS_S", 30.0)


@pytest.fixture
def picky(tmp_path):
    """A network that ends in a linear layer, whose card names no features."""
    return toys.write_picky_network(tmp_path / "picky.onnx")


def test_the_input_of_the_last_linear_layer_is_named_and_fits_into_8_bits(picky, capsys):
    before = onnx.load(picky).graph.SerializeToString()
    assert main([str(picky), "--features"]) == 0
    assert "features restated" in capsys.readouterr().out
    assert onnx.load(picky).graph.SerializeToString() == before
    model = Model(picky, provider="cpu")
    features = model.card.features
    assert (features.tensor, features.size, features.width) == ("flat", 35, None)
    noise = np.random.default_rng(1).uniform(-0.04, 0.04, (20, toys.PICKY_WINDOW))
    rows = Classifier(model, features=True)._run(noise.astype(np.float32))[:, -35:]
    steps = np.abs(rows) / features.scale
    assert 20 < steps.max() < 127


def test_a_wide_layer_is_reduced(picky, monkeypatch):
    monkeypatch.setattr("export.graph.find_features.MOST", 20)
    monkeypatch.setattr("export.graph.find_features.REDUCED", 10)
    found = find_features(onnx.load(picky), toys.PICKY_WINDOW, toys.RATE)
    assert (found.tensor, found.size, found.width) == ("flat", 10, 35)


def test_a_graph_without_a_last_linear_layer_has_none(tmp_path):
    path = toys.write_tone_detector(tmp_path / "tones.onnx", toys.toy_card())
    assert find_features(onnx.load(path), toys.WINDOW, toys.RATE) is None
    with pytest.raises(ExportError, match="does not end in a linear layer"):
        restate(path, {}, features=True)


def test_something_has_to_be_restated(picky, capsys):
    assert main([str(picky)]) == 2
    assert "nothing to change" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "width"), [("pocket", None), ("wide", 512)])
def test_bundled_models_name_what_their_graphs_have(name, width):
    size = 256 if width else 384
    model = Model(BUNDLED / f"{name}.onnx", provider="cpu", live=True)
    features = model.card.features
    assert (features.size, features.width) == (size, width)
    classifier = Classifier(model, features=True)
    assert classifier.take_notice() == ""
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, (2, 24_000)).astype(np.float32)
    rows = classifier._run(noise)
    assert rows.shape == (2, len(model.card.labels) + size)
    assert 10 < np.abs(rows[:, -size:]).max() / features.scale < 127
