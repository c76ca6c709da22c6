"""Layers from a model file, such as the bundled one, as a start for `pocket`.

Layers that learned by imitation serve other sounds as well, and with the file at hand nobody has to
spend those hours again. ONNX Runtime computes the weights, whether they are stored in 8 bits, as
float16 or float32. BatchNorms are folded into convolutions in the file; `restore_batch_norms`
restores what further training needs.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from streamclf.core.errors import ModelError
from streamclf.model.model_file import Model, find_model
from streamclf.model.stem.cut_graph import load_graph
from train.base.errors import RunError
from train.datasets import ClipSet
from train.nets.pocket_network import WINDOW_SAMPLES, PocketBody
from train.nets.streamed_pocket import StreamedPocketBody
from train.pocket_parts.networks import STREAMED
from train.pocket_parts.pretrained_run import POCKET

LAYER = re.compile(r"body\.(layers\.\S+)\.weight(_DequantizeLinear_Output)?")
"""The exporter's name for a convolution's weights, and the name that `--int8` gives them."""

STREAMED_LAYER = "layers.0.0.weight"
"""A parameter that only the streamed layers have."""

SCALE = ("weight", "bias", "running_mean", "running_var")


def read_file_kind(name: str) -> str:
    """Which layers a model file has, as `PocketRecipe.layers` says.

    Args:
        name: A bundled model's name, or the file.

    Raises:
        RunError: There is no such file, or it is no model.
    """
    try:
        path = find_model(name)
        Model(path, provider="cpu")
        graph = load_graph(path).graph
    except ModelError as error:
        raise RunError(f"--start: {error}") from error
    layers = (LAYER.fullmatch(node.input[1]) for node in graph.node if node.op_type == "Conv")
    names = {f"{layer[1]}.weight" for layer in layers if layer}
    return STREAMED if STREAMED_LAYER in names else POCKET


def read_layers(
    name: str, body: PocketBody | StreamedPocketBody, clips: ClipSet
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the layers in a model file of pocket, or of streamed layers.

    Args:
        name: A bundled model's name, or the file.
        body: New, and used up by it: its layers say what the file must hold.
        clips: The clips to train on, to find out whether the layers have learned from that data
            set.

    Returns:
        Parameters of such a body without its last layer, and an entry for ``config.json``.

    Raises:
        RunError: There is no such file, or it is of another network or another width.
    """
    try:
        path = find_model(name)
        model = Model(path, provider="cpu")
        found = _read_tensors(path)
    except ModelError as error:
        raise RunError(f"--start: {error}") from error
    for layer in body.layers.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # A folded BatchNorm adds its bias and nothing else.
            layer.running_var.fill_(1 - layer.eps)
    layers = body.state_dict()
    taught_by = "distil" if isinstance(body, StreamedPocketBody) else "imitate"
    for key in _stored(body):
        there = found[key].shape if key in found else "missing"
        if there != tuple(layers[key].shape):
            raise RunError(
                f"{path}: its {key} is {there}, not {tuple(layers[key].shape)}; --start takes a "
                f"model file of such layers, or a run of train.{taught_by}"
            )
        layers[key] = torch.from_numpy(found[key])
    card = model.card
    about = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "name": card.name,
        "version": card.version,
        "training_data": card.training_data,
        "licence": card.licence,
        "heard_before": _was_trained_on(card.training_data, clips),
    }
    return {k: v for k, v in layers.items() if not k.startswith("output")}, about


def warn_if_trained_on(before: dict[str, Any], clips: ClipSet) -> None:
    """Warn on standard error if layers have learned from the data set that is trained on now.

    Args:
        before: Entry from `read_layers`.
        clips: The clips to train on.
    """
    if before["heard_before"]:
        print(
            f"warning: {before['file']} has learned from {clips.name}: what is held out now "
            "may be known to it, and figures flatter",
            file=sys.stderr,
        )


def restore_batch_norms(body: PocketBody | StreamedPocketBody, features: Tensor) -> None:
    """Give folded BatchNorms the statistics of their inputs; the layers' outputs stay the same.

    Args:
        body: Network with layers from a model file, changed in place.
        features: ``(windows, mels, frames)`` of the clips to train on.
    """
    hooks = []
    norms = [layer for layer in body.layers.modules() if isinstance(layer, nn.BatchNorm2d)]

    def restate(norm: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
        mean, variance = given[0].mean(dim=(0, 2, 3)), given[0].var(dim=(0, 2, 3))
        # (x - m) / d * d + (m + b) is x + b, as before.
        norm.bias += mean
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())

    was_training = body.training
    body.eval()
    with torch.no_grad():
        for norm in norms:
            hooks.append(norm.register_forward_pre_hook(restate))
        body.pooled(features)
    for hook in hooks:
        hook.remove()
    body.train(was_training)


def _read_tensors(path: Path) -> dict[str, Any]:
    """Read each layer's weights and bias, and `PocketBody.scale`, by their parameters' names.

    A bias without a name of its own is that of the BatchNorm behind the convolution.
    """
    graph = load_graph(path)
    names: dict[str, str] = {}
    for node in graph.graph.node:
        if node.op_type == "Conv" and (layer := LAYER.fullmatch(node.input[1])):
            convolution = layer[1]
            names[f"{convolution}.weight"] = node.input[1]
            if len(node.input) > 2:
                before, _, last = convolution.rpartition(".")
                norm = f"{before}.{int(last) + 1}" if last.isdecimal() else convolution
                names[f"{norm}.bias"] = node.input[2]
        elif node.op_type == "BatchNormalization" and "body.scale.bias" in node.input[2]:
            names |= {f"scale.{k}": v for k, v in zip(SCALE, node.input[1:5], strict=True)}
    if not names:
        return {}
    del graph.graph.output[:]
    # Weights do not depend on the input. ONNX Runtime gives them in the form it computes with.
    for name in names.values():
        graph.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    silence = np.zeros((1, WINDOW_SAMPLES), np.float32)
    values = session.run(list(names.values()), {session.get_inputs()[0].name: silence})
    return dict(zip(names, values, strict=True))


def _was_trained_on(training_data: str, clips: ClipSet) -> bool:
    """Whether a card's text names a data set: by its name, or by its citation."""
    cited = [part for part in clips.citation.split("; ") if part != "none"]
    by_name = training_data.startswith(f"{clips.name},")
    return by_name or any(part in training_data for part in cited)


def _stored(body: PocketBody | StreamedPocketBody) -> list[str]:
    """Names of the parameters that a model file holds, without the last layer's."""
    names = [f"scale.{name}" for name in SCALE] if isinstance(body, PocketBody) else []
    for name, layer in body.layers.named_modules(prefix="layers"):
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            names.append(f"{name}.weight")
            if layer.bias is not None:
                names.append(f"{name}.bias")
        elif isinstance(layer, nn.BatchNorm2d):
            names.append(f"{name}.bias")
    return names
