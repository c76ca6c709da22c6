# ruff: noqa: E402
"""Eight bits: as accurate as before, by layers chosen, or refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
import onnxruntime
from onnx import TensorProto
from tiny_networks import WINDOW, WaveformNet, fitted, make_clips

from export.errors import ExportError
from export.graph import int8
from export.graph.export_graph import make_graph
from export.graph.float_nodes import first_layers, mean_layers, mel_nodes, thin_layers
from export.graph.prune import prune
from train.datasets.prepared import REGRESSION
from train.nets.pocket_network import WINDOW_SAMPLES, PocketNet

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def tones():
    return make_clips()


@pytest.fixture(scope="module")
def graph(tones):
    return prune(make_graph(fitted(tones), WINDOW, "logits"))


def test_int8_keeps_the_accuracy_and_the_front_end(tones, graph):
    quantised = int8.quantise_and_evaluate(graph, tones.of_folds([0]), tones.of_folds([1]), WINDOW)
    assert quantised.before == quantised.after == 1.0
    assert quantised.speed > 0
    assert np.abs(quantised.outputs.logits).max() > 0
    onnx.checker.check_model(quantised.model, full_check=True)
    types = {t.name: t.data_type for t in quantised.model.graph.initializer}
    front = {name for node in mel_nodes(quantised.model.graph) for name in node.input}
    assert {types[name] for name in front & set(types)} <= {TensorProto.FLOAT, TensorProto.INT64}
    quantised_weights = [n for n, kind in types.items() if kind == TensorProto.INT8]
    assert {"layers.0.weight_quantized", "layers.3.weight_quantized"} <= set(quantised_weights)
    scale = next(t for t in quantised.model.graph.initializer if t.name == "layers.3.weight_scale")
    assert scale.dims == [32]  # a scale a channel


def test_int8_that_costs_accuracy_is_refused(tones, graph, monkeypatch):
    # Ranges taken of whispers: everything louder is cut off.
    draw = int8.draw_windows
    monkeypatch.setattr(int8, "draw_windows", lambda *given: draw(*given) * np.float32(1e-6))
    with pytest.raises(ExportError, match=r"--int8: accuracy falls from 100.0% to .* 1 point is"):
        int8.quantise_and_evaluate(graph, tones.of_folds([0]), tones.of_folds([1]), WINDOW)


def test_int8_of_a_regression_is_judged_by_its_error(monkeypatch):
    clips = make_clips(task=REGRESSION)
    model = prune(make_graph(fitted(clips, 1), WINDOW, "value"))
    quantised = int8.quantise_and_evaluate(model, clips.of_folds([0]), clips.of_folds([1]), WINDOW)
    assert quantised.after <= quantised.before + 0.01 < 0.2
    card = {"mean_absolute_error": 0.9, "spearman": 0.5, "interval_95": [0, 1], "clips": 20}
    assert int8.update_accuracy(quantised, card) == {
        "mean_absolute_error": round(quantised.after, 4),
        "clips": 20,
        "int8": {
            "float32": round(quantised.before, 4),
            "int8": round(quantised.after, 4),
            "protocol": "the same clips and windows in both, at a temperature of 1",
        },
    }
    draw = int8.draw_windows
    monkeypatch.setattr(int8, "draw_windows", lambda *given: draw(*given) * np.float32(1e-6))
    with pytest.raises(ExportError, match="mean absolute error rises from"):
        int8.quantise_and_evaluate(model, clips.of_folds([0]), clips.of_folds([1]), WINDOW)


def test_calibration_takes_every_clip_before_any_twice(tones):
    windows = int8.draw_windows(tones, WINDOW, 100)
    assert windows.shape == (100, WINDOW)
    assert np.abs(windows).max(axis=1).min() > 0
    longer = int8.draw_windows(tones, 3 * WINDOW, 4)
    assert not longer[:, 2 * WINDOW :].any()


def test_waveform_networks_first_layer_stays_float():
    model = prune(make_graph(WaveformNet().eval(), WINDOW, "logits"))
    names = [node.op_type for node in first_layers(model.graph)]
    assert names == ["Unsqueeze", "Conv"]
    assert mel_nodes(model.graph) == []


def test_layers_whose_input_is_read_twice_run_in_8_bits(tmp_path):
    graph = prune(make_graph(PocketNet(3).eval(), WINDOW_SAMPLES, "logits"))
    noise = np.random.default_rng(1).normal(0, 0.1, (8, WINDOW_SAMPLES)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    quantised = int8.quantise_graph(graph, noise).SerializeToString()
    onnxruntime.InferenceSession(quantised, options, providers=["CPUExecutionProvider"])
    run = [node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node]
    # Six separable blocks are twelve, of which the first half of the first stays float.
    assert run.count("QLinearConv") == 11


def test_means_and_what_follows_stay_float_unless_a_convolution_does():
    graph = prune(make_graph(PocketNet(3).eval(), WINDOW_SAMPLES, "logits")).graph
    kinds = [node.op_type for node in mean_layers(graph)]
    assert kinds.count("ReduceMean") == 4
    assert "Gemm" in kinds
    assert "Conv" not in kinds
    # A mean that scales what convolutions hear, as squeeze and excitation have it.
    attention = [node for node in graph.node if node.op_type == "Conv"][-1]
    mean = next(node for node in mean_layers(graph) if node.op_type == "ReduceMean")
    attention.input[0] = mean.output[0]
    assert mean not in mean_layers(graph)


def test_layers_over_single_maps_stay_float_until_maps_are_mixed():
    graph = prune(make_graph(PocketNet(3).eval(), WINDOW_SAMPLES, "logits"))
    # pocket's first convolution hears the spectrogram, the next each of its maps alone.
    thin = thin_layers(graph.graph)
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.graph.initializer}
    assert [shapes[node.input[1]][1:] for node in thin] == [[1, 3, 3], [1, 3, 3]]
    depthwise = [s for s in shapes.values() if len(s) == 4 and s[1] == 1 and s[0] > 1]
    assert len(depthwise) == 7
    noise = np.random.default_rng(1).normal(0, 0.1, (8, WINDOW_SAMPLES)).astype(np.float32)
    quantised = int8.quantise_graph(graph, noise)
    weights = {tensor.name: tensor.data_type for tensor in quantised.graph.initializer}
    for node in thin:
        assert weights[node.input[1]] == TensorProto.FLOAT
    left = [d.input[0] for d in quantised.graph.node if d.op_type == "DequantizeLinear"]
    n_quantised = sum(weights.get(name) == TensorProto.INT8 for name in left)
    assert n_quantised >= 11
