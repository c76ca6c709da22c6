"""Is the bundled model of AudioSet's labels what its card says it is?"""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")

import itertools

from streamclf.core.card import Card
from streamclf.core.records import SoundEvent
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource
from train.datasets.audioset import ESC50_MEANS, NO_EVENTS

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def card() -> Card:
    return Model("wide", provider="cpu").card


def test_it_names_audiosets_labels_and_may_be_used_for_anything(card: Card) -> None:
    path = find_model("wide")
    assert path.stat().st_size < 3_000_000
    assert len(card.labels) == 527
    assert (card.labels[0], card.labels[-1]) == ("Speech", "Field recording")
    assert (card.task, card.activation) == ("multi-label", "sigmoid")
    assert card.licence.startswith("MIT")
    terms = path.with_suffix("").with_suffix(".LICENSE.txt").read_text(encoding="utf-8")
    assert "Copyright (c) 2022 Florian Schmid" in terms
    assert "python -m train.distil" in card.description
    assert "without labels" in card.training_data


def test_police_siren_is_a_siren_and_an_alarm(card: Card) -> None:
    broader = card.all_broader()
    assert broader["Police car (siren)"] >= {"Siren", "Alarm", "Emergency vehicle"}
    assert "Dog" in broader["Bark"]


def test_labels_of_no_event_are_never_told_and_all_that_mean_a_class_may_be(card: Card) -> None:
    silent = {label for labels in NO_EVENTS.values() for label in labels}
    means = {label for labels in ESC50_MEANS.values() for label in labels}
    for limits in (card.thresholds, *card.precisions.values()):
        assert set(limits.never) == silent
        assert not means & set(limits.never)
        for label in card.labels:
            assert 0 < limits.of(label).off < limits.of(label).on < 1


def test_stricter_thresholds_are_no_lower(card: Card) -> None:
    keys = sorted(card.precisions, key=float)
    assert set(keys) >= {"0.8", "0.9"}
    for low, high in itertools.pairwise(keys):
        for label in card.labels:
            assert card.precisions[low].of(label).on <= card.precisions[high].of(label).on


def test_figures_name_how_they_came_about(card: Card) -> None:
    said = card.accuracy
    assert said["averaged_windows"] == said["names"]["named"]
    # Folds 1 to 3 have adjusted the labels' scale: what it names is counted in the fourth.
    assert set(said["names"]["folds"]) == {"4"}
    judged = said["names_cross_validated"]
    assert set(judged["folds"]) == {"1", "2", "3", "4"}
    assert judged["named"] > 0.74 > 0.69 > judged["common"]
    assert "no layer was trained on them" in card.training_data
    assert set(said["alarms"]["smoke_alarm"]) == {"T3", "T3, 520 Hz", "T4"}
    assert set(said["false_alarms"]["per_hour"]) >= {"quiet", "noise", "speech", "music"}
    assert len(said["training"]["worst"]) == 50
    assert said["soundscapes"]["fold"] == 4


def test_silence_has_no_events() -> None:
    classifier = Classifier(Model("wide", provider="cpu"))
    source = ArraySource(np.zeros(160_000, np.float32), 16_000)
    results = list(Engine(classifier, Settings()).run(source))
    assert not [result for result in results if isinstance(result, SoundEvent)]


def test_weights_are_those_that_the_figures_are_of() -> None:
    """Whoever changes a graph measures it anew."""
    graph = onnx.load(find_model("wide")).graph
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
    assert digest == "3b9a1ca688f3a55a3d27ac72c288eb7df186ee09f4be882ba68da4c8759738a9"
