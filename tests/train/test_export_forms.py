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
from torch import nn

import export.__main__ as export_main
from export import int8
from export.check import compare
from export.errors import ExportError
from export.front_end import first_layers, mel_nodes, thin_layers
from export.graph import make_graph
from export.half import TOLERANCE, store_half
from export.prune import prune
from streamclf.card import METADATA_KEY
from streamclf.classifier import Classifier
from streamclf.model import Model
from train.command import main as train_main
from train.datasets.prepared import REGRESSION, Clip, ClipSet
from train.features import LogMel
from train.pocket import WINDOW_SAMPLES, PocketNet
from train.runs import CONFIG, RunFolder

pytestmark = pytest.mark.train

WINDOW = 4000


class TinyNet(nn.Module):
    """Log-mel, two convolutions with BatchNorm, a mean and a linear layer."""

    def __init__(self, n_outputs=2):
        super().__init__()
        torch.manual_seed(1)
        self.front_end = LogMel(8000, 128, 64, 16)
        self.layers = nn.Sequential(
            nn.Conv1d(16, 32, 3), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 32, 3), nn.ReLU()
        )
        self.layers[1].running_mean.uniform_(-1, 1)
        self.output = nn.Linear(32, n_outputs)
        self.eval()

    def forward(self, waveform):
        return self.output(self.layers(self.front_end(waveform)).mean(dim=2))


class WaveformNet(nn.Module):
    """Convolutions over the waveform itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(
            nn.Conv1d(1, 16, 8, 4), nn.ReLU(), nn.Conv1d(16, 512, 8, 4), nn.ReLU()
        )
        self.output = nn.Linear(512, 3)

    def forward(self, waveform):
        return self.output(self.layers(waveform[:, None]).mean(dim=2))


def make_clips(n_clips=40, task="single-label"):
    """Tones of two frequencies at many levels; of a regression the value is the tone's."""
    random = np.random.default_rng(1)
    targets = np.arange(n_clips) % 2
    time = np.arange(2 * WINDOW) / 8000
    sounds = [
        10 ** random.uniform(-2, -0.3) * np.sin(2 * np.pi * (400 + 1200 * target) * time)
        + random.normal(0, 1e-3, time.size)
        for target in targets
    ]
    samples = np.round(np.concatenate(sounds) * 32767).astype(np.int16)
    clips = tuple(
        Clip(f"{k}", k // 2 % 2, float(t) if task == REGRESSION else int(t), f"{k}", k * 2 * WINDOW,
             2 * WINDOW)
        for k, t in enumerate(targets)
    )  # fmt: skip
    labels = ("value",) if task == REGRESSION else ("low", "high")
    return ClipSet("tones", 8000, labels, clips, samples, "CC0", "nobody", "here", task=task)


def fitted(clips, n_outputs=2):
    """A tiny network whose last layer knows the clips."""
    network = TinyNet(n_outputs)
    windows = torch.from_numpy(np.stack([clips.waveform(k)[:WINDOW] for k in range(40)]))
    with torch.no_grad():
        maps = network.layers(network.front_end(windows)).mean(dim=2)
        wanted = torch.from_numpy(clips.targets)[:, None].float()
        wanted = wanted if n_outputs == 1 else 4 * torch.cat([1 - wanted, wanted], dim=1)
        ridge = maps.T @ maps + 0.1 * torch.eye(32)
        network.output.weight.copy_(torch.linalg.solve(ridge, maps.T @ wanted).T)
        network.output.bias.zero_()
    return network


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
    halved = store_half(whole)
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
    halved = {t.name for t in store_half(model).graph.initializer if t.data_type == 10}
    assert halved == {"layers.0.weight.half"}
    assert {t.name for t in store_half(graph).graph.initializer if t.data_type == 10} == {
        "layers.0.weight.half",
        "layers.3.weight.half",
    }


def test_mel_nodes_reach_from_the_waveform_to_the_logarithm(graph):
    kinds = [node.op_type for node in mel_nodes(graph.graph)]
    assert (kinds.count("Conv"), kinds.count("Log"), kinds.count("Gemm")) == (5, 1, 0)
    assert [node.op_type for node in first_layers(graph.graph)] == ["Unsqueeze", "Conv"]


def test_int8_keeps_the_accuracy_and_the_front_end(tones, graph):
    quantised = int8.quantise(graph, tones.of_folds([0]), tones.of_folds([1]), WINDOW)
    assert quantised.before == quantised.after == 1.0
    assert quantised.speed > 0
    assert np.abs(quantised.heard.logits).max() > 0
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
        int8.quantise(graph, tones.of_folds([0]), tones.of_folds([1]), WINDOW)


def test_int8_of_a_regression_is_judged_by_its_error(monkeypatch):
    clips = make_clips(task=REGRESSION)
    model = prune(make_graph(fitted(clips, 1), WINDOW, "value"))
    quantised = int8.quantise(model, clips.of_folds([0]), clips.of_folds([1]), WINDOW)
    assert quantised.after <= quantised.before + 0.01 < 0.2
    card = {"mean_absolute_error": 0.9, "spearman": 0.5, "interval_95": [0, 1], "clips": 20}
    assert int8.judged(quantised, card) == {
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
        int8.quantise(model, clips.of_folds([0]), clips.of_folds([1]), WINDOW)


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


def test_layers_over_single_maps_stay_float_until_maps_are_mixed():
    graph = prune(make_graph(PocketNet(3).eval(), WINDOW_SAMPLES, "logits"))
    # pocket's first convolution hears the spectrogram, the next each of its maps alone.
    thin = thin_layers(graph.graph)
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.graph.initializer}
    assert [shapes[node.input[1]][1:] for node in thin] == [[1, 3, 3], [1, 3, 3]]
    depthwise = [s for s in shapes.values() if len(s) == 4 and s[1] == 1 and s[0] > 1]
    assert len(depthwise) == 7
    noise = np.random.default_rng(1).normal(0, 0.1, (8, WINDOW_SAMPLES)).astype(np.float32)
    quantised = int8.put_in_8_bits(graph, noise)
    weights = {tensor.name: tensor.data_type for tensor in quantised.graph.initializer}
    for node in thin:
        assert weights[node.input[1]] == TensorProto.FLOAT
    left = [d.input[0] for d in quantised.graph.node if d.op_type == "DequantizeLinear"]
    n_quantised = sum(weights.get(name) == TensorProto.INT8 for name in left)
    assert n_quantised >= 11


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
