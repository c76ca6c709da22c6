"""The card of a model file corrected, its weights untouched."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
import onnx
from toys import toy_card, write_tone_detector

from export.restate import main, merge
from streamclf.model.model_file import Model

pytestmark = pytest.mark.train


@pytest.fixture
def restate(tmp_path):
    """Restate the card of a tone detector; the exit code, and the file."""
    card = toy_card(accuracy={"clips": 4, "levels": {"0": 0.9, "-20": 0.8}}, description="old")
    path = write_tone_detector(tmp_path / "m.onnx", card)

    def run(changes):
        (tmp_path / "changes.json").write_text(json.dumps(changes))
        return main([str(path), str(tmp_path / "changes.json")]), path

    return run


def test_card_is_changed_and_the_graph_is_not(restate, tmp_path):
    before = onnx.load(tmp_path / "m.onnx")
    changes = {"description": "new", "accuracy": {"clips": None, "levels": {"-20": 0.7}}}
    code, path = restate(changes)
    assert code == 0
    card = Model(path, provider="cpu").card
    assert card.description == "new"
    assert card.accuracy == {"levels": {"0": 0.9, "-20": 0.7}}
    assert (card.name, card.labels) == (toy_card().name, toy_card().labels)
    after = onnx.load(path)
    assert after.graph.SerializeToString() == before.graph.SerializeToString()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["changes.json", "m.onnx"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ["a"]}, "labels says how the graph is used and cannot be restated"),
        ({"sample_rate": 44100}, "sample_rate says how the graph is used"),
        ({"temperature": 0}, "the model card is not valid"),
        ({"nonsense": 1}, "the model card is not valid"),
        (["name"], "must be an object"),
    ],
)
def test_what_cannot_be_restated_changes_nothing(restate, tmp_path, capsys, changes, said):
    before = (tmp_path / "m.onnx").read_bytes()
    code, path = restate(changes)
    assert code == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert path.read_bytes() == before


def test_file_without_a_card_is_told(tmp_path, capsys):
    path = write_tone_detector(tmp_path / "m.onnx")
    (tmp_path / "c.json").write_text("{}")
    assert main([str(path), str(tmp_path / "c.json")]) == 1
    assert "has no card inside" in capsys.readouterr().err
    (tmp_path / "no.onnx").write_text("no model")
    assert main([str(tmp_path / "no.onnx"), str(tmp_path / "c.json")]) == 1
    assert "cannot be read as ONNX" in capsys.readouterr().err


def test_merge_follows_the_rfc():
    assert merge({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert merge({"a": ["b"]}, {"a": "c"}) == {"a": "c"}
    assert merge({"a": "foo"}, {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}
