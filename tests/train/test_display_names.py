"""Names for people in the cards of model files, and nothing else changed in them."""

from __future__ import annotations

import onnx
import pytest
import toys

pytest.importorskip("torch")

from export.card.label_names import DISPLAY_NAMES, display_names_for
from export.display_names import main
from streamclf.core.card import METADATA_KEY, parse_card
from streamclf.model.model_file import Model, bundled_models

pytestmark = pytest.mark.train


def test_bundled_models_have_the_names_of_the_table():
    for path in bundled_models().values():
        card = Model(path, provider="cpu").card
        assert card.display_names == display_names_for(card.labels)
    names = [card.display_name(label) for label in ("car_horn", "dog")]
    assert names == ["car horn", "dog"]
    card = Model(bundled_models()["pocket"], provider="cpu").card
    assert card.display_name("door_wood_creaks") == "door, wood creaks"
    assert set(DISPLAY_NAMES) <= set(card.labels)


def test_names_are_put_into_a_file_whose_graph_stays(tmp_path, capsys):
    labels = ["dog", "door_wood_creaks", "a", "b"]
    path = toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card(labels=labels))
    before = onnx.load(path)
    assert main([str(path), "a=tone, low"]) == 0
    after = onnx.load(path)
    card = parse_card(
        next(e.value for e in after.metadata_props if e.key == METADATA_KEY), path.name
    )
    assert card.display_names == {"door_wood_creaks": "door, wood creaks", "a": "tone, low"}
    assert after.graph.SerializeToString() == before.graph.SerializeToString()
    assert "door_wood_creaks         door, wood creaks" in capsys.readouterr().out
    assert main([str(path), "cow=Cow"]) == 1
    assert "display_names names 'cow', which is not among the labels" in capsys.readouterr().err
    assert onnx.load(path) == after


def test_a_file_without_a_card_is_refused(tmp_path, capsys):
    path = toys.write_tone_detector(tmp_path / "m.onnx")
    assert main([str(path)]) == 1
    assert capsys.readouterr().err == f"error: {path}: has no model card, export it anew with one\n"
    path.write_text("no model")
    assert main([str(path)]) == 1
    assert "cannot be read as ONNX" in capsys.readouterr().err
