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
from export.graph.compare_outputs import compare
from export.graph.export_graph import make_graph
from export.graph.float16 import TOLERANCE, store_float16
from export.graph.float_nodes import first_layers, mel_nodes
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
def graph(tones):
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


def test_half_has_half_the_weights_and_says_the_same():
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


def test_mel_nodes_reach_from_the_waveform_to_the_logarithm(graph):
    kinds = [node.op_type for node in mel_nodes(graph.graph)]
    assert (kinds.count("Conv"), kinds.count("Log"), kinds.count("Gemm")) == (5, 1, 0)
    assert [node.op_type for node in first_layers(graph.graph)] == ["Unsqueeze", "Conv"]


def test_export_commands_write_each_form_or_say_what_is_missing(make_esc, tmp_path, capsys):
    data, save = make_esc(per_class=4), tmp_path / "run"
    arguments = ["--data", str(data), "--save", str(save), "--epochs", "12", "--accelerator", "cpu"]
    assert train_main("pocket", arguments) == 0
    sizes = {}
    # The data moved: said in one line, and found with --data.
    data.rename(tmp_path / "moved")
    assert export_main.main([str(save), "-o", str(tmp_path / "none.onnx"), "--int8"]) == 1
    assert "no such folder; --data must name" in capsys.readouterr().err
    moved = ["--data", str(tmp_path / "moved")]
    for form in ([], ["--half"], ["--int8"]):
        path = tmp_path / f"own{''.join(form)}.onnx"
        assert export_main.main([str(save), "-o", str(path), *form, *moved]) == 0
        sizes[path.stem] = path.stat().st_size
        classifier = Classifier(Model(path, provider="cpu"))
        assert classifier.split() is not None, classifier.take_notice()
        card = {p.key: p.value for p in onnx.load(path).metadata_props}[METADATA_KEY]
    assert sizes["own--int8"] < sizes["own--half"] < 0.65 * sizes["own"]
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
