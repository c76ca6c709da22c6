import json

import pytest
import toys

from streamclf.core.card import Card, Threshold, Thresholds, format_card, parse_card
from streamclf.core.errors import CardError

GOOD = {"name": "x", "labels": ["a", "b"], "sample_rate": 16_000, "window_samples": 24_000}


def test_card_survives_writing_and_reading():
    card = toys.toy_card(
        thresholds=Thresholds(0.6, 0.2, 0.5, 2.0, {"low": Threshold(0.9, 0.8)}),
        temperature=1.5,
        accuracy={"fold": 4, "clips": 400},
    )
    assert parse_card(format_card(card), "m.onnx") == card
    assert parse_card(format_card(card, indent=2), "m.onnx") == card


def test_card_written_names_every_field():
    written = json.loads(format_card(toys.toy_card()))
    assert set(written) == set(Card.__struct_fields__)


def test_card_needs_little():
    card = parse_card(json.dumps(GOOD), "m.onnx")
    assert (card.task, card.activation, card.temperature) == ("single-label", "softmax", 1.0)
    assert card.window_s == 1.5
    assert card.output_name == "logits"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, "`name`"),
        ({"name": 7}, "$.name"),
        ({"labels": []}, "labels is empty"),
        ({"labels": ["a", "a"]}, "labels names 'a' twice"),
        ({"labels": ["a", ""]}, "empty label"),
        ({"labels": ["a", "b\nc"]}, "line break"),
        ({"labels": "ab"}, "$.labels"),
        ({"sample_rate": 0}, "$.sample_rate"),
        ({"sample_rate": "16000"}, "$.sample_rate"),
        ({"window_samples": -1}, "$.window_samples"),
        ({"window_samples": 1.5}, "$.window_samples"),
        ({"task": "guess"}, "$.task"),
        ({"activation": "relu"}, "$.activation"),
        ({"activation": "sigmoid"}, "a single-label model has softmax or none"),
        ({"task": "multi-label"}, "a multi-label model has sigmoid or none"),
        ({"task": "regression"}, "a regression model has none or sigmoid"),
        ({"temperature": 0}, "$.temperature"),
        ({"temperature": 1e-40}, "$.temperature"),
        ({"labels": ["a", "\x1b[2J"]}, "control character"),
        ({"name": "x\x1b]0;title\x07"}, "control character"),
        ({"labels": ["a", "b" * 501]}, "has 501 letters, the limit is 500"),
        ({"labels": [str(k) for k in range(100_001)]}, "100001 classes, the limit is 100000"),
        ({"sample_rate": 10**9}, "$.sample_rate"),
        ({"window_samples": 10**12}, "$.window_samples"),
        ({"window_samples": 10**40}, "$.window_samples"),
        ({"stem": {"tensor": "t", "stride": 30_000, "frames": 1}}, "stride of 30000 samples"),
        ({"stem": {"tensor": "t", "stride": 1, "frames": 10**12}}, "$.stem.frames"),
        ({"format": 2}, "format is 2, this streamclf reads 1"),
        ({"thresholds": {"on": 1.5}}, "$.thresholds.on"),
        ({"thresholds": {"on": 0.2, "off": 0.4}}, "off is 0.4, must not be above on, 0.2"),
        ({"thresholds": {"min_duration": -1}}, "$.thresholds.min_duration"),
        ({"thresholds": {"max_gap": 1e300}}, "$.thresholds.max_gap"),
        ({"thresholds": {"classes": {"c": {"on": 1, "off": 0}}}}, "'c', which is not among"),
        ({"thresholds": {"classes": {"a": {"on": 0.1, "off": 0.5}}}}, "off is 0.5"),
        ({"stem": {"tensor": "t", "stride": 0, "frames": 1}}, "$.stem.stride"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_card_names_the_fault(change, words):
    fields = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(CardError) as caught:
        parse_card(json.dumps(fields), "m.onnx")
    assert str(caught.value).startswith("m.onnx: the model card is not valid: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff\xfe", "[" * 100_000])
def test_card_that_is_no_json_is_refused(text):
    with pytest.raises(CardError, match=r"m\.onnx: the model card is not valid"):
        parse_card(text, "m.onnx")


def test_card_too_large_is_refused_unread():
    with pytest.raises(CardError, match="has 5000000 bytes, the limit is 4000000"):
        parse_card("x" * 5_000_000, "m.onnx")


def test_thresholds_of_a_label():
    own = Threshold(0.9, 0.8)
    thresholds = Thresholds(0.6, 0.2, classes={"a": own})
    assert thresholds.of("a") == own
    assert thresholds.of("b") == Threshold(0.6, 0.2)
