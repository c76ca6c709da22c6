# ruff: noqa: E402
"""Pocket begins with the layers of a model file, in whatever form they are stored."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from tiny_networks import WaveformNet
from tiny_sets import write
from torch import nn

from export.__main__ import main as export
from export.card.describe_run import describe_data, describe_licence
from export.graph.float16 import store_float16
from export.graph.int8 import quantise_graph
from export.graph.int8_weights import store_int8
from export.graph.prune import prune
from streamclf.core.card import METADATA_KEY
from streamclf.model.model_file import find_model
from streamclf.model.stem.cut_graph import load_graph
from train.base.errors import RunError
from train.cli.network_command import main
from train.nets.efficientat import N_FEATURES
from train.nets.pocket_network import WIDTHS, WINDOW_SAMPLES, PocketBody, PocketNet
from train.nets.streamed_pocket import StreamedPocketNet
from train.pocket import Pocket
from train.pocket_parts.networks import STREAMED
from train.pocket_parts.networks import make_network as make_pocket
from train.pocket_parts.pretrained_onnx import read_file_kind, read_layers, restore_batch_norms
from train.run_folder.reproduce import list_commands

pytestmark = pytest.mark.train

OURS = SimpleNamespace(name="ours", citation="none")
NARROW = (8, 8, 16, 16, 16, 16, 24)


def make_network() -> PocketNet:
    """Narrow, with statistics as if it had learned."""
    torch.manual_seed(1)
    network = PocketNet(3, NARROW)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 2)
            with torch.no_grad():
                layer.weight.uniform_(0.5, 2)
                layer.bias.uniform_(-0.5, 0.5)
    return network.eval()


def noise(n: int = 12) -> torch.Tensor:
    """Windows of many levels."""
    random = np.random.default_rng(1)
    levels = 10 ** random.uniform(-3, 0, (n, 1))
    return torch.from_numpy(levels * random.uniform(-1, 1, (n, WINDOW_SAMPLES))).float()


def write_model(graph, path):
    card = {"name": "ears", "labels": ["a", "b", "c"], "sample_rate": 16000,
            "window_samples": WINDOW_SAMPLES, "training_data": "our sounds", "licence": "CC0",
            "version": "9"}  # fmt: skip
    entry = graph.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(card)
    path.write_bytes(graph.SerializeToString())
    return str(path)


def read_bundled(name: str) -> tuple[dict, dict]:
    """The layers of a bundled model, whichever they are, and their entry for ``config.json``."""
    recipe = replace(Pocket.default_recipe(), layers=read_file_kind(name))
    body = make_pocket(1, recipe).body
    return read_layers(name, body, OURS)


def heard(network: PocketNet, layers: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network's last layer is given, and that of one with these layers."""
    body = PocketBody(7, NARROW).eval()
    missing, unknown = body.load_state_dict(layers, strict=False)
    assert (missing, unknown) == (["output.weight", "output.bias"], [])
    features = network.front_end(noise())
    with torch.no_grad():
        return network.body.pooled(features), body.pooled(features)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (lambda graph: graph, 1e-5),
        (store_float16, 5e-3),
        (store_int8, 0.05),
        (lambda graph: quantise_graph(graph, noise(40).numpy()), 0.05),
    ],
    ids=["float32", "half", "int8-weights", "int8"],
)
def test_layers_of_a_file_hear_what_the_network_heard(tmp_path, make_graph, form, error):
    network = make_network()
    path = write_model(form(prune(make_graph(network, WINDOW_SAMPLES, "logits"))), tmp_path / "m")
    layers, about = read_layers(path, PocketBody(1, NARROW), OURS)
    there, here = heard(network, layers)
    assert (there - here).abs().max() < error * there.abs().max()
    assert (about["name"], about["version"], about["licence"]) == ("ears", "9", "CC0")
    assert len(about["sha256"]) == 64


def test_streamed_layers_of_a_file_hear_what_it_hears():
    assert read_file_kind("wide") == STREAMED
    layers, about = read_bundled("wide")
    network = StreamedPocketNet(3).eval()
    missing, unknown = network.body.load_state_dict(layers, strict=False)
    assert (missing, unknown) == (["output.weight", "output.bias"], [])
    graph = load_graph(find_model("wide"))
    head = next(node for node in graph.graph.node if node.op_type == "Gemm")
    form = helper.make_tensor_value_info(head.input[0], TensorProto.FLOAT, [None, N_FEATURES])
    graph.graph.output.append(form)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    windows = noise(3)
    given = {session.get_inputs()[0].name: windows.numpy()}
    there = torch.from_numpy(session.run([head.input[0]], given)[0])
    features = network.front_end(windows)
    with torch.no_grad():
        here = network.body.pooled(features)
        torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)
        restore_batch_norms(network.body, features)
        torch.testing.assert_close(network.body.pooled(features), here, rtol=1e-3, atol=1e-3)
    assert about["name"] == "wide"


def test_measured_norms_say_the_same_and_can_be_trained_on(tmp_path, make_graph):
    network = make_network()
    path = write_model(prune(make_graph(network, WINDOW_SAMPLES, "logits")), tmp_path / "m")
    layers, _ = read_layers(path, PocketBody(1, NARROW), OURS)
    body = PocketBody(3, NARROW)
    body.load_state_dict(layers, strict=False)
    features = network.front_end(noise())
    with torch.no_grad():
        before = body.eval().pooled(features)
        body.train()
        restore_batch_norms(body, features)
        assert body.training
        after = body.eval().pooled(features)
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
        # In training a batch is normed by its own statistics: those of what was measured.
        body.scale.eval()
        for layer in body.layers.train():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 0.0
        torch.testing.assert_close(body.pooled(features), before, rtol=1e-2, atol=1e-2)


@pytest.fixture
def named(make_esc, train_once):
    """What a run with the bundled model's layers was told, and the run."""
    data, more = make_esc(folds=2), ["--threads", "1", "--accelerator", "cpu"]
    save = train_once("named by the bundled model", data, "pocket", *more,
                      "--start", "pocket", "--last-layer")  # fmt: skip
    return ["--data", str(data), *more], save


def test_the_bundled_model_names_other_sounds_after_its_last_layer_alone(named):
    _, save = named
    weights = load_file(save / "weights.safetensors")
    layers, about = read_bundled("pocket")
    for name, value in layers.items():
        if name.endswith("weight") and value.dim() == 4:
            assert torch.equal(weights[f"body.{name}"], value), name
    config = json.loads((save / "config.json").read_text())
    assert config["layers_of"] == about | {"heard_before": True}  # the tiny set is called ESC-50
    kind = read_file_kind("pocket")
    n_features = N_FEATURES if kind == STREAMED else PocketBody(1, WIDTHS).output.in_features
    assert weights["body.output.weight"].shape == (3, n_features)
    assert "--start pocket" in list_commands(config)[0]


def test_figures_of_what_the_layers_have_heard_before_come_with_a_warning(
    make_esc, tmp_path, capsys
):
    for label in ("hum", "hiss"):
        for take in range(4):
            write(tmp_path / "own" / label / f"{take}.wav", seconds=2.0)
    for data, heard in ((tmp_path / "own", False), (make_esc(folds=2), True)):
        save = tmp_path / f"run-{heard}"
        arguments = ["--data", str(data), "--threads", "1", "--accelerator", "cpu"]
        start = ["--start", "pocket", "--last-layer", "--save", str(save)]
        assert main("pocket", [*arguments, *start]) == 0
        assert ("warning: pocket.onnx has learned from" in capsys.readouterr().err) == heard
        config = json.loads((save / "config.json").read_text())
        assert config["layers_of"]["heard_before"] == heard
        warning = f"So {config['data']['name']} was known to it: figures of held-out clips flatter"
        assert (warning in describe_data(config)) == heard


def test_the_card_says_whose_layers_they_are_and_under_which_licence(named, tmp_path):
    _, save = named
    config = json.loads((save / "config.json").read_text())
    said = describe_data(config)
    assert "It began with the layers of pocket, version" in said
    assert "which learned from: esc50 + speech-music" in said
    assert describe_licence(config).endswith("as pocket, whose layers it has")
    assert "CC BY-NC" in describe_licence(config)
    own = config | {"layers_of": config["layers_of"] | {"licence": ""}}
    same = own | {"layers_of": own["layers_of"] | {"licence": describe_licence(own)}}
    assert describe_licence(same) == describe_licence(own)
    assert export([str(save), "-o", str(tmp_path / "mine.onnx")]) == 0
    layers, about = read_bundled(str(tmp_path / "mine.onnx"))
    assert about["licence"] == describe_licence(config)
    bundled, _ = read_bundled("pocket")
    last = [name for name, value in layers.items() if value.dim() == 4][-1]
    torch.testing.assert_close(layers[last], bundled[last])


def test_names_of_ones_own_on_the_wide_models_layers(make_esc, tmp_path):
    save = tmp_path / "named"
    arguments = ["--data", str(make_esc(folds=2)), "--threads", "1", "--accelerator", "cpu"]
    start = ["--start", "wide", "--last-layer", "--save", str(save)]
    assert main("pocket", [*arguments, *start]) == 0
    weights, (layers, _) = load_file(save / "weights.safetensors"), read_bundled("wide")
    assert torch.equal(weights["body.layers.16.0.weight"], layers["layers.16.0.weight"])
    config = json.loads((save / "config.json").read_text())
    assert config["recipe"]["layers"] == STREAMED
    assert "; MIT (" in describe_licence(config)
    assert describe_licence(config).endswith("as wide, whose layers it has")


def test_through_noise_goes_on_with_such_a_run(named, tmp_path):
    arguments, save = named
    go_on = ["--through-noise", str(save), "--epochs", "1", "--save", str(tmp_path / "on")]
    assert main("pocket", [*arguments, *go_on]) == 0
    config = json.loads((tmp_path / "on" / "config.json").read_text())
    assert config["layers_of"]["name"] == "pocket"
    assert "to say under noise" in describe_data(config)
    assert len(list_commands(config)) == 2


def test_a_start_that_is_no_pocket_is_refused_in_one_line(tmp_path, make_esc, make_graph, capsys):
    graph = prune(make_graph(WaveformNet().eval(), WINDOW_SAMPLES, "logits"))
    other = write_model(graph, tmp_path / "other.onnx")
    rubbish = tmp_path / "rubbish.onnx"
    rubbish.write_bytes(b"no model")
    narrow = prune(make_graph(make_network(), WINDOW_SAMPLES, "logits"))
    data = str(make_esc(folds=2))
    for start, said in (
        (other, "its scale.weight is missing"),
        (str(rubbish), "rubbish.onnx"),
        (write_model(narrow, tmp_path / "narrow.onnx"), "its layers.0.weight is (8, 1, 3, 3)"),
        ("nothing", "no bundled model of that name (pocket, wide)"),
    ):
        arguments = ["--data", data, "--save", str(tmp_path / "run")]
        assert main("pocket", [*arguments, "--start", start]) == 1
        lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert len(lines) == 1
        assert said in lines[0]
        assert not (tmp_path / "run").exists()


def test_bundled_model_of_other_layers_is_no_start():
    with pytest.raises(RunError, match=r"a model file of such layers, or a run of train\.imitate"):
        read_layers("wide", PocketBody(1, WIDTHS), OURS)


def test_bundled_pocket_can_be_begun_with():
    layers, _ = read_bundled("pocket")
    assert len(layers) > 60
