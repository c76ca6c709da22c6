"""A model file cannot make the process read other files, nor take more than it is worth."""

import os

import numpy as np
import onnx
import pytest
import toys
from onnx import TensorProto, helper, numpy_helper

from streamclf.core.card import METADATA_KEY, format_card
from streamclf.core.errors import ModelError
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.model.vetting import vetting
from streamclf.model.vetting.vetting import DOMAINS, FORBIDDEN, vet_model

N = 4


def external(location: str, *, n: int = N, **entries: object) -> TensorProto:
    """A tensor whose values lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[n])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def save(path, nodes, tensors=(), *, functions=(), opsets=(), sparse=()):
    """Write a model that adds ``w`` to its windows."""
    graph = helper.make_graph(
        [*nodes, helper.make_node("Add", ["waveform", "w"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ("batch", N))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", N))],
        list(tensors),
        sparse_initializer=list(sparse),
    )
    imports = [helper.make_opsetid("", 17), *(helper.make_opsetid(name, 1) for name in opsets)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9, functions=list(functions))
    card = toys.toy_card(window_samples=N, activation="none")
    helper.set_model_props(model, {METADATA_KEY: format_card(card)})
    path.write_bytes(model.SerializeToString())
    return path


def as_initializer(path, tensor):
    return save(path, [], [tensor])


def in_a_constant(path, tensor):
    return save(path, [helper.make_node("Constant", [], ["w"], value=tensor)])


def in_a_branch(path, tensor):
    """In both branches of an If: a graph within the graph."""
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["there"], value=tensor)],
        "branch",
        [],
        [helper.make_tensor_value_info("there", TensorProto.FLOAT, (N,))],
    )
    node = helper.make_node("If", ["yes"], ["w"], then_branch=branch, else_branch=branch)
    return save(path, [node], [numpy_helper.from_array(np.array(True), "yes")])


def in_a_function(path, tensor):
    function = helper.make_function(
        "own", "Give", [], ["there"],
        [helper.make_node("Constant", [], ["there"], value=tensor)],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    return save(
        path, [helper.make_node("Give", [], ["w"], domain="own")],
        functions=[function], opsets=["own"],
    )  # fmt: skip


def as_sparse_values(path, tensor):
    sparse = onnx.SparseTensorProto(dims=[N])
    sparse.values.CopyFrom(tensor)
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(N)))
    return save(path, [], sparse=[sparse])


PLACES = [as_initializer, in_a_constant, in_a_branch, in_a_function, as_sparse_values]


@pytest.fixture
def folder(tmp_path):
    """A model's folder with values in it, and a secret beside it."""
    inner = tmp_path / "model"
    inner.mkdir()
    np.arange(N, dtype="<f4").tofile(inner / "weights.bin")
    np.arange(N, dtype="<f4").tofile(tmp_path / "secret.bin")
    (inner / "link.bin").symlink_to("../secret.bin")
    (inner / "out").symlink_to("..")
    return inner


@pytest.mark.parametrize("write", PLACES)
def test_values_outside_the_folder_are_refused(folder, write):
    secret = (folder / ".." / "secret.bin").resolve()
    for location in [
        "../secret.bin", "./../secret.bin", "sub/../../secret.bin", str(secret), "link.bin",
        "out/secret.bin", "..\\secret.bin", "C:\\secret.bin", "\\\\host\\share", "/etc/passwd",
        "*/_ORT_MEM_ADDR_/*", "", "x\0y",
    ]:  # fmt: skip
        path = write(folder / "m.onnx", external(location))
        with pytest.raises(ModelError) as caught:
            vet_model(path)
        assert "outside the model's folder: put it there" in str(caught.value)
        assert str(caught.value).startswith(f"{path}: tensor ")
        with pytest.raises(ModelError, match="outside the model's folder"):
            Model(path, provider="cpu")


@pytest.mark.parametrize("write", [as_initializer, in_a_constant, in_a_branch, in_a_function])
def test_values_beside_the_model_are_read(folder, write):
    path = write(folder / "m.onnx", external("weights.bin", offset=0, length=4 * N))
    scores = Classifier(Model(path, provider="cpu")).score(np.zeros((1, N), np.float32))
    assert scores.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (external("none.bin"), "which is not there"),
        (external("weights.bin", offset=8, length=12), "which has 16 bytes, and none at the place"),
        (external("weights.bin", offset=-8), "none at the place"),
        (external("weights.bin", length=2**62), "none at the place"),
        (external("weights.bin", offset="x"), "none at the place"),
        (external("weights.bin", n=2**40), "has the shape 1099511627776, but only 16 bytes"),
    ],
)
def test_values_beside_the_model_that_cannot_be_are_refused(folder, tensor, words):
    path = as_initializer(folder / "m.onnx", tensor)
    with pytest.raises(ModelError) as caught:
        vet_model(path)
    assert words in str(caught.value)


def huge(**how) -> TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**20, 2**20], **how)


def of_a_constant_shape(path, operator: str, as_node: bool):
    shape = numpy_helper.from_array(np.array([2**20, 2**20]), "shape")
    tensors, nodes = ([], [helper.make_node("Constant", [], ["shape"], value=shape)])
    if not as_node:
        tensors, nodes = [shape], []
    inputs = ["shape"] if operator == "ConstantOfShape" else ["waveform", "shape"]
    nodes += [
        helper.make_node(operator, inputs, ["big"]),
        helper.make_node("ReduceSum", ["big"], ["w"], keepdims=0),
    ]
    return save(path, nodes, tensors)


@pytest.mark.parametrize("tensor", [huge(), huge(raw_data=b"1234"), huge(float_data=[1.0])])
@pytest.mark.parametrize("write", PLACES)
def test_tensors_larger_than_their_data_are_refused(tmp_path, write, tensor):
    path = write(tmp_path / "m.onnx", tensor)
    with pytest.raises(ModelError, match=r"has the shape 1048576 x 1048576, but only \d+ bytes"):
        vet_model(path)


def test_what_makes_much_of_little_is_refused(tmp_path):
    for operator in ["ConstantOfShape", "Expand", "Tile"]:
        for as_node in (True, False):
            path = of_a_constant_shape(tmp_path / "m.onnx", operator, as_node)
            with pytest.raises(ModelError, match=f"operator {operator} makes 1099511627776"):
                vet_model(path)
    sparse = onnx.SparseTensorProto(dims=[2**20, 2**20])
    sparse.values.CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([3])))
    path = save(tmp_path / "m.onnx", [], sparse=[sparse])
    with pytest.raises(ModelError, match="sparse tensor has the shape 1048576 x 1048576"):
        vet_model(path)


@pytest.mark.parametrize("dims", [[-1], [2, -4], [1] * 65])
def test_shapes_that_cannot_be_are_refused(tmp_path, dims):
    path = save(tmp_path / "m.onnx", [], [TensorProto(name="w", data_type=1, dims=dims)])
    with pytest.raises(ModelError, match=r"has the shape .* must be 0 or more"):
        vet_model(path)


def test_operators_that_load_something_are_refused(tmp_path):
    for operator in sorted(FORBIDDEN):
        node = helper.make_node(operator, ["waveform"], ["w"], domain="com.microsoft")
        path = save(tmp_path / "m.onnx", [node], opsets=["com.microsoft"])
        with pytest.raises(ModelError, match=f"operator {operator} loads something else"):
            vet_model(path)
    node = helper.make_node("Anything", ["waveform"], ["w"], domain="some.library")
    path = save(tmp_path / "m.onnx", [node], opsets=["some.library"])
    with pytest.raises(ModelError, match=r"operator Anything is of the domain 'some\.library'"):
        vet_model(path)
    assert "com.microsoft" in DOMAINS


def test_operators_within_functions_and_branches_are_looked_at(tmp_path):
    node = helper.make_node("Anything", [], ["there"], domain="some.library")
    function = helper.make_function(
        "own", "Give", [], ["there"], [node], [helper.make_opsetid("some.library", 1)]
    )
    call = helper.make_node("Give", [], ["w"], domain="own")
    path = save(tmp_path / "m.onnx", [call], functions=[function], opsets=["own"])
    with pytest.raises(ModelError, match=r"domain 'some\.library'"):
        vet_model(path)


def test_graphs_within_graphs_have_a_limit(tmp_path):
    def nested(depth: int):
        inner = helper.make_node("Constant", [], ["x"], value=helper.make_tensor("t", 1, [1], [1]))
        for _ in range(depth):
            info = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
            graph = helper.make_graph([inner], "inner", [], info)
            inner = helper.make_node("If", ["yes"], ["x"], then_branch=graph, else_branch=graph)
        inner.output[0] = "w"
        return save(tmp_path / "m.onnx", [inner], [numpy_helper.from_array(np.array(True), "yes")])

    vet_model(nested(vetting.MAX_GRAPH_DEPTH - 1))
    with pytest.raises(ModelError, match="graphs lie within graphs, the limit is 8 deep"):
        vet_model(nested(vetting.MAX_GRAPH_DEPTH))


def test_a_graph_that_insists_on_huge_batches_is_refused(tmp_path):
    shape = (2**30, 1, toys.WINDOW)
    path = toys.write_tone_detector(tmp_path / "m.onnx", toys.toy_card(), shape=shape)
    with pytest.raises(ModelError, match="insists on batches of 1073741824, the limit is 1024"):
        Model(path, provider="cpu")


def test_limits_on_size_hold_before_anything_is_read(tmp_path, monkeypatch, tone_model):
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        os.truncate(file.fileno(), vetting.MAX_FILE_BYTES + 1)  # takes no room on the disk
    with pytest.raises(ModelError, match="has 2147483649 bytes, the limit is 2147483648"):
        Model(path, provider="cpu")
    monkeypatch.setattr(vetting, "MAX_NODES", 5)
    with pytest.raises(ModelError, match="more operators than 5"):
        vet_model(tone_model)
    card = helper.make_model(helper.make_graph([], "g", [], []))
    helper.set_model_props(card, {METADATA_KEY: "x" * 5_000_000})
    path.write_bytes(card.SerializeToString())
    with pytest.raises(ModelError, match=r"a metadata property has 50000\d\d bytes, the limit is"):
        Model(path, provider="cpu")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("yamnet.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(40), "is a TFLite model, streamclf runs "
         "ONNX; turn it into one by 'python -m tf2onnx.convert --tflite yamnet.tflite"),
        ("x.onnx", b"\x1c\x00\x00\x00TFL3" + bytes(40), "is a TFLite model"),
        ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "is a Keras file"),
        ("x.pt", b"PK\x03\x04" + bytes(40), "is a PyTorch file or another archive"),
        ("x.wav", b"RIFF" + bytes(40), "not a model: streamclf file x.wav hears it"),
        ("x.onnx", b"fLaC" + bytes(40), "is a recording, not a model"),
        ("weights.safetensors", b"\x40" + bytes(40), "python -m export RUN"),
    ],
)  # fmt: skip
def test_model_of_another_kind_is_told_with_the_way_out(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        Model(path, provider="cpu")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
