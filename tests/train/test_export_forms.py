# ruff: noqa: E402
"""Pruned, half and 8-bit model files say what the network says, or are refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tiny_networks import WINDOW, WaveformNet, fitted, make_clips

import export.__main__ as export_main
from export.errors import ExportError
from export.graph import int8
from export.graph.compare_outputs import compare
from export.graph.float16 import TOLERANCE, store_float16
from export.graph.float_nodes import first_layers, mel_nodes
from export.graph.int8_weights import TOLERANCE as INT8_TOLERANCE
from export.graph.int8_weights import round_channels, store_int8
from export.graph.prune import prune
from streamclf.core.card import METADATA_KEY
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from train.cli.network_command import main as train_main
from train.run_folder.run import CONFIG, RunFolder

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def tones():
    return make_clips()


@pytest.fixture(scope="module")
def graph(tones, make_graph):
    return prune(make_graph(fitted(tones), WINDOW, "logits"))


def run(model, waveform):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"waveform": waveform})[0]


def test_prune_folds_constants_and_batch_norm_and_drops_what_nothing_reads():
    norm = [f"norm{k}" for k in range(4)]
    tensors = [
        numpy_helper.from_array(np.ones((2, 1, 3), dtype=np.float32), "kernel"),
        *(numpy_helper.from_array(np.array([1, 2], dtype=np.float32), name) for name in norm),
        numpy_helper.from_array(np.array(2.0, dtype=np.float32), "two"),
        numpy_helper.from_array(np.zeros(9999, dtype=np.float32), "dead"),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "axis"], ["channel"]),
        helper.make_node("Conv", ["channel", "kernel"], ["maps"]),
        helper.make_node("BatchNormalization", ["maps", *norm], ["even"]),
        helper.make_node("Mul", ["two", "two"], ["four"]),
        helper.make_node("Mul", ["even", "four"], ["logits"]),
    ]
    tensors.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", 100])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, 98])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"streamclf": "a card"})
    pruned = prune(model)
    kinds = [node.op_type for node in pruned.graph.node]
    assert sorted(kinds) in (["Conv", "Mul", "Unsqueeze"], ["Conv", "Unsqueeze"])
    assert pruned.ByteSize() < 2000
    assert [(entry.key, entry.value) for entry in pruned.metadata_props] == [
        ("streamclf", "a card")
    ]
    assert [opset.domain for opset in pruned.opset_import] == [""]
    onnx.checker.check_model(pruned, full_check=True)
    waveform = np.random.default_rng(1).uniform(-1, 1, (3, 100)).astype(np.float32)
    np.testing.assert_allclose(run(pruned, waveform), run(model, waveform), rtol=1e-5, atol=1e-5)


def test_prune_says_that_a_graph_does_not_run():
    with pytest.raises(ExportError, match="does not run"):
        prune(onnx.ModelProto())


def test_half_has_half_the_weights_and_says_the_same(make_graph):
    network = WaveformNet().eval()
    whole = prune(make_graph(network, WINDOW, "logits"))
    halved = store_float16(whole)
    onnx.checker.check_model(halved, full_check=True)
    assert halved.ByteSize() < 0.53 * whole.ByteSize()
    assert 0 < compare(network, halved, WINDOW, tolerance=TOLERANCE) < TOLERANCE
    assert all(
        value.type.tensor_type.elem_type == TensorProto.FLOAT
        for value in (*halved.graph.input, *halved.graph.output)
    )


def test_half_leaves_the_mel_front_end_and_what_would_overflow(graph):
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    weight = next(t for t in model.graph.initializer if t.name == "layers.3.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1e9, weight.name))
    halved = {t.name for t in store_float16(model).graph.initializer if t.data_type == 10}
    assert halved == {"layers.0.weight.half"}
    assert {t.name for t in store_float16(graph).graph.initializer if t.data_type == 10} == {
        "layers.0.weight.half",
        "layers.3.weight.half",
    }


def test_weights_in_8_bits_are_a_quarter_and_say_the_same(make_graph):
    network = WaveformNet().eval()
    whole = prune(make_graph(network, WINDOW, "logits"))
    small = store_int8(whole)
    onnx.checker.check_model(small, full_check=True)
    assert small.ByteSize() < 0.33 * whole.ByteSize()
    assert 0 < compare(network, small, WINDOW, tolerance=INT8_TOLERANCE) < INT8_TOLERANCE
    # Arithmetic is float32; ONNX Runtime has something to do once, when it opens the file.
    kinds = {node.op_type for node in small.graph.node}
    assert kinds == {node.op_type for node in whole.graph.node} | {"Cast", "Mul"}
    assert [node.op_type for node in prune(small).graph.node] == [
        node.op_type for node in whole.graph.node
    ]


def test_weights_in_8_bits_leave_the_mel_front_end_and_small_tensors(graph):
    kept = {t.name for t in store_int8(graph).graph.initializer if t.data_type == TensorProto.INT8}
    assert kept == {"layers.0.weight.int8", "layers.3.weight.int8"}


@pytest.mark.parametrize("axis", [0, 1])
def test_each_channel_is_rounded_to_steps_of_its_own(axis):
    values = np.random.default_rng(1).normal(size=(6, 50)).astype(np.float32)
    values *= 10.0 ** np.arange(-3, 3, dtype=np.float32)[:, None]  # channels of any level
    values[2] = 0
    values = values if axis == 0 else values.T
    steps, scale = round_channels(values, axis)
    assert (steps.dtype, steps.shape) == (np.int8, values.shape)
    highest = np.abs(values).max(axis=1 - axis, keepdims=True)
    assert scale.shape == highest.shape
    assert np.all(np.abs(steps * scale - values) <= 0.501 * highest / 127)


@pytest.mark.parametrize("operator", ["Conv", "MatMul", "Gemm", "Gemm transposed"])
def test_weights_in_8_bits_have_a_scale_for_each_output(operator):
    by_rows = operator in ("Conv", "Gemm transposed")
    levels = 10.0 ** np.linspace(-4, 0, 64, dtype=np.float32)
    weight = np.random.default_rng(2).normal(size=(64, 32)).astype(np.float32) * levels[:, None]
    kernel = weight[:, :, None] if operator == "Conv" else weight if by_rows else weight.T
    kind, *transposed = operator.split()
    more = {"transB": 1} if transposed else {}
    shape, output = (["batch", 32, 5], ["batch", 64, 5]) if kind == "Conv" else ([3, 32], [3, 64])
    graph = helper.make_graph(
        [helper.make_node(kind, ["waveform", "kernel"], ["logits"], **more)],
        "toy",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.ascontiguousarray(kernel), "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    small = store_int8(model)
    assert TensorProto.INT8 in {tensor.data_type for tensor in small.graph.initializer}
    shape = (2, 32, 5) if kind == "Conv" else (3, 32)
    waveform = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    expected, given = run(model, waveform), run(small, waveform)
    error = np.abs(given - expected).max(axis=0) / np.abs(expected).max(axis=0)
    # Outputs that are ten thousand times smaller than others are as exact.
    assert error.max() < 0.1


def test_mel_nodes_reach_from_the_waveform_to_the_logarithm(graph):
    kinds = [node.op_type for node in mel_nodes(graph.graph)]
    assert (kinds.count("Conv"), kinds.count("Log"), kinds.count("Gemm")) == (5, 1, 0)
    assert [node.op_type for node in first_layers(graph.graph)] == ["Unsqueeze", "Conv"]


def test_export_commands_write_each_form_or_say_what_is_missing(
    make_esc, tmp_path, capsys, monkeypatch
):
    # A toy's ranges show in fewer windows.
    monkeypatch.setattr(int8.draw_windows, "__defaults__", (48,))
    data, save = make_esc(per_class=4), tmp_path / "run"
    arguments = ["--data", str(data), "--save", str(save), "--epochs", "12", "--accelerator", "cpu"]
    assert train_main("pocket", arguments) == 0
    sizes, descriptions = {}, []
    # The data moved: said in one line, and found with --data.
    data.rename(tmp_path / "moved")
    assert export_main.main([str(save), "-o", str(tmp_path / "none.onnx"), "--int8"]) == 1
    assert "no such folder; --data must name" in capsys.readouterr().err
    moved = ["--data", str(tmp_path / "moved")]
    for form in ([], ["--half"], ["--int8-weights"], ["--int8"]):
        path = tmp_path / f"own{''.join(form)}.onnx"
        assert export_main.main([str(save), "-o", str(path), *form, *moved]) == 0
        sizes[path.stem] = path.stat().st_size
        classifier = Classifier(Model(path, provider="cpu"))
        assert classifier.split() is not None, classifier.take_notice()
        card = {p.key: p.value for p in onnx.load(path).metadata_props}[METADATA_KEY]
        descriptions.append(json.loads(card)["description"])
    assert sizes["own--int8"] < sizes["own--half"] < 0.65 * sizes["own"]
    assert sizes["own--int8-weights"] < 0.7 * sizes["own--half"]
    assert [text.endswith("8 bits; figures are of the network before that.")
            for text in descriptions] == [False, False, True, False]  # fmt: skip
    told, shared = capsys.readouterr().out.splitlines()[-2:]
    assert shared.startswith("windows share all work up to ")
    assert "in 8 bits" in told
    assert "times as fast as float32 here" in told
    figures = json.loads(card)["accuracy"]
    assert "published_crops" not in figures
    assert figures["int8"]["int8"] >= figures["int8"]["float32"] - 0.01
    assert json.loads(card)["description"].endswith("Weights and activations in 8 bits.")

    # A final run held nothing out: another of its recipe shows what 8 bits cost.
    final = tmp_path / "final"
    shutil.copytree(save, final)
    whole = RunFolder(final)
    config = whole.read_json(CONFIG)
    data_of = config["data"] | {"test_fold": 0, "folds": [1, 2, 3]}
    whole.write_json(CONFIG, config | {"data": data_of})
    (final / "held_out.safetensors").unlink()
    arguments = [str(final), "-o", str(tmp_path / "final.onnx"), "--int8", *moved]
    assert export_main.main([*arguments, "--calibrated-by", str(save)]) == 0
    card = {p.key: p.value for p in onnx.load(tmp_path / "final.onnx").metadata_props}[METADATA_KEY]
    assert json.loads(card)["accuracy"]["int8"]["int8"] == figures["int8"]["int8"]
    capsys.readouterr()

    run_folder = RunFolder(save)
    config = run_folder.read_json(CONFIG)
    arguments = [str(save), "-o", str(tmp_path / "none.onnx"), "--int8"]
    run_folder.write_json(CONFIG, config | {"data": config["data"] | {"folder": None}})
    assert export_main.main(arguments) == 2
    run_folder.write_json(CONFIG, config | {"data": config["data"] | {"test_fold": 0}})
    assert export_main.main(arguments) == 1
    run_folder.write_json(CONFIG, config | {"data": config["data"] | {"folds": [8]}})
    assert export_main.main([*arguments, *moved]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "does not say where its data lies, give --data" in said[0]
    assert "held no fold out, so nothing shows what 8 bits cost: try --half" in said[1]
    assert "lacks clips of folds [8] or 3" in said[2]
    assert not (tmp_path / "none.onnx").exists()
