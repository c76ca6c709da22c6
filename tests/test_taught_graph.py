"""A taught label in a model: in its graph, its card and its scores."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from streamclf.core.card import METADATA_KEY, Card, Taught, Threshold, parse_card
from streamclf.core.records import Window
from streamclf.core.temperature import temper, untemper
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.teach.taught_graph import Head, add_label, read_graph, remove_label


def with_label(card: Card, label: str) -> Card:
    thresholds = msgspec.structs.replace(
        card.thresholds, classes={**card.thresholds.classes, label: Threshold(0.5, 0.3)}
    )
    return msgspec.structs.replace(
        card,
        labels=[*card.labels, label],
        taught={**card.taught, label: Taught(["a.wav"])},
        thresholds=thresholds,
    )


def read_card(model: onnx.ModelProto) -> Card:
    entries = {entry.key: entry.value for entry in model.metadata_props}
    return parse_card(entries[METADATA_KEY], "model")


def heads() -> list[Head]:
    random = np.random.default_rng(1)
    return [Head(random.normal(0, 2.0, 384).astype(np.float32), -1.0) for _ in range(2)]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pocket with two labels that it was not trained on."""
    model = read_graph(find_model("pocket"))
    card = read_card(model)
    for label, head in zip(("bell", "kettle"), heads(), strict=True):
        card = with_label(card, label)
        assert card.features is not None
        add_label(model, card, card.features, head)
    path = tmp_path_factory.mktemp("taught") / "mine.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def windows() -> np.ndarray:
    random = np.random.default_rng(2)
    return random.normal(0, 0.1, (3, 24_000)).astype(np.float32)


def test_taught_labels_leave_all_other_scores_as_they_are_to_the_last_bit(
    taught: Path, windows: np.ndarray
) -> None:
    before = Classifier(Model("pocket")).score(windows)
    classifier = Classifier(Model(taught))
    after = classifier.score(windows)
    assert after.shape == (3, before.shape[1] + 2)
    np.testing.assert_array_equal(after[:, :-2], before)
    assert np.ptp(after[:, -2:]) > 0.01
    assert classifier.split() is not None, classifier.take_notice()
    np.testing.assert_allclose(classifier.score(windows), after, atol=1e-5)


def test_a_taught_logit_in_the_graph_is_that_of_the_features_that_are_kept(
    taught: Path, windows: np.ndarray
) -> None:
    logits = Classifier(Model(taught)).score(windows)[:, -1]
    classifier = Classifier(Model("pocket"), features=True)
    assert classifier.features is not None
    cut = [Window(24_000 * k, row, 24_000) for k, row in enumerate(windows)]
    features = classifier.open_stream()(cut)[:, -classifier.features.size :]
    np.testing.assert_allclose(_logit(logits), heads()[-1].logits(features), atol=1e-3)
    np.testing.assert_allclose(
        heads()[-1].logits(3 * features), heads()[-1].logits(features), atol=1e-5
    )
    assert np.isfinite(heads()[0].logits(0 * features)).all()


def _logit(scores: np.ndarray) -> np.ndarray:
    return np.log(scores / (1 - scores))


def test_a_label_taken_away_leaves_the_former_graph_and_the_other_label(
    taught: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    model = read_graph(taught)
    both = Classifier(Model(taught)).score(windows)
    card = read_card(model)
    kept = {"kettle": card.taught["kettle"]}
    classes = {k: v for k, v in card.thresholds.classes.items() if k != "bell"}
    thresholds = msgspec.structs.replace(card.thresholds, classes=classes)
    labels = [label for label in card.labels if label != "bell"]
    card = msgspec.structs.replace(card, labels=labels, taught=kept, thresholds=thresholds)
    remove_label(model, card, 0)
    path = tmp_path / "one.onnx"
    path.write_bytes(model.SerializeToString())
    one = Classifier(Model(path)).score(windows)
    np.testing.assert_array_equal(one[:, -1], both[:, -1])
    original = read_graph(find_model("pocket"))
    remove_label(model, read_card(original), 0)
    model.ClearField("metadata_props")
    original.ClearField("metadata_props")
    assert model.SerializeToString() == original.SerializeToString()


def test_a_taught_label_has_no_temperature() -> None:
    values = np.array([0.6, 0.3, 0.1, 0.9])
    tempered = temper(values, 0.5, n_taught=1)
    np.testing.assert_allclose(tempered, [*temper(values[:3], 0.5), 0.9])
    np.testing.assert_allclose(untemper(tempered, 0.5, n_taught=1), values)


@pytest.mark.parametrize(
    ("labels", "taught"), [(["dog", "bell"], ["dog"]), (["bell"], ["bell"]), (["dog"], ["cat"])]
)
def test_a_card_refuses_taught_labels_that_are_not_the_last(
    labels: list[str], taught: list[str]
) -> None:
    with pytest.raises(ValueError, match="must name the last labels"):
        Card(
            name="m",
            labels=labels,
            sample_rate=8000,
            window_samples=8000,
            taught={label: Taught(["a.wav"]) for label in taught},
        )
