"""Any bytes in place of a model: walked within limits, one line, nothing loaded."""

import os
import struct

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from test_vetting import N, save

from streamclf.core.errors import ModelError, StreamclfError
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.model.vetting.protobuf import Reader, WireError
from streamclf.model.vetting.vetting import CHILDREN, vet_model

MORE = int(os.environ.get("STREAMCLF_FUZZ", "1"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x3a\xff\xff\xff\xff\x0f", "needs 4294967295 bytes, 0 are left"),
        (b"\x3a\x80", "ends within a number"),
        (b"\x08" + b"\xff" * 11, "a number has more than 10 bytes"),
        (b"\x08\x09", "holds no graph"),
        (b"\x00\x00", "the number 0"),
        (b"\x38\x01", "a number stands where a GraphProto belongs"),
        (b"\x0b", "the wire type 3"),
    ],
)
def test_what_is_no_protobuf_is_said(tmp_path, content, words):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        vet_model(path)
    assert "is no ONNX model that runs here" in str(caught.value)
    assert words in str(caught.value)


def test_fields_names_and_lists_have_limits():
    with pytest.raises(WireError, match="more than 10 fields"):
        list(Reader(10).fields(memoryview(b"\x08\x01" * 11)))
    (name,) = Reader().fields(memoryview(b"\x0a\xf0\xa2\x04" + b"x" * 70_000))
    with pytest.raises(WireError, match="a name has 70000 bytes"):
        _ = name.text
    with pytest.raises(WireError, match="a list has 70000 bytes"):
        name.integers()
    (packed,) = Reader().fields(memoryview(b"\x0a\x0b\x01" + b"\xff" * 9 + b"\x01"))
    assert packed.integers() == [1, -1]


def test_field_numbers_are_those_of_onnx():
    messages = {"TrainingInfoProto", "FunctionProto", "NodeProto", "AttributeProto"}
    looked_at = {*messages, "GraphProto", "TensorProto", "SparseTensorProto"}
    for name in ["ModelProto", *CHILDREN]:
        fields = getattr(onnx, name).DESCRIPTOR.fields
        held = {
            field.number: field.message_type.name
            for field in fields
            if field.message_type is not None and field.message_type.name in looked_at
        }
        assert CHILDREN[name] == held, name
    numbers = {field.name: field.number for field in TensorProto.DESCRIPTOR.fields}
    assert [numbers[name] for name in ("dims", "name", "external_data", "data_location")] == [
        1, 8, 13, 14
    ]  # fmt: skip
    node = {field.name: field.number for field in onnx.NodeProto.DESCRIPTOR.fields}
    assert [node[name] for name in ("input", "output", "op_type", "attribute", "domain")] == [
        1, 2, 4, 5, 7
    ]  # fmt: skip
    assert onnx.FunctionProto.DESCRIPTOR.fields_by_name["domain"].number == 10
    assert onnx.SparseTensorProto.DESCRIPTOR.fields_by_name["dims"].number == 3


def fault_of(work) -> str:
    """What went wrong; anything but streamclf's own errors is a mistake."""
    try:
        work()
    except StreamclfError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """A model of a few hundred bytes, so that most changed bytes matter."""
    weights = numpy_helper.from_array(np.arange(N, dtype=np.float32), "w")
    return save(tmp_path_factory.mktemp("small") / "m.onnx", [], [weights])


@settings(
    max_examples=150 * MORE,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 2000),
)
def test_a_damaged_model_is_one_line_or_runs(small_model, tmp_path, changes, cut):
    content = bytearray(small_model.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content[: max(1, len(content) - cut)] if cut % 3 == 0 else content)
    assert "\n" not in fault_of(lambda: Classifier(Model(path, provider="cpu")))


@settings(max_examples=300 * MORE, deadline=None)
@given(st.binary(max_size=300))
def test_vetting_takes_any_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(b"\x3a" + struct.pack("B", min(len(content), 127)) + content)
    assert "\n" not in fault_of(lambda: vet_model(path))
