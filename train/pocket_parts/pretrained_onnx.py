"""Where `pocket` may start from without a run: the layers of a model file, the bundled one's say.

What a network learned by imitation serves other sounds as well; with the file at hand nobody needs
the hours that took. ONNX Runtime says what the weights are, stored in 8 bits, as float16 or whole.
BatchNorms are folded into convolutions there: `measure_norms` gives back what training on needs.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
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

LAYER = re.compile(r"body\.layers\.(\d+)\.weight(_DequantizeLinear_Output)?")
"""What the exporter calls a convolution's weights, and what `--int8` calls them."""

SCALE = ("weight", "bias", "running_mean", "running_var")


def read_layers(
    name: str, widths: Sequence[int], clips: ClipSet
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The layers in a model file of pocket, and what ``config.json`` should say of it.

    Args:
        name: A bundled model's, or the file.
        widths: Of the recipe.
        clips: What is trained on now; it is said whether the layers have heard the like.

    Returns:
        Parameters of a `PocketBody` but for its last layer's.

    Raises:
        RunError: There is no such file, it is another network's, or of another width.
    """
    try:
        path = find_model(name)
        model = Model(path, provider="cpu")
        found = _read_tensors(path)
    except ModelError as error:
        raise RunError(f"--start: {error}") from error
    body = PocketBody(1, widths)
    for layer in body.layers:
        if isinstance(layer, nn.BatchNorm2d):
            # Folded, it adds its bias and nothing else.
            layer.running_var.fill_(1 - layer.eps)
    layers = body.state_dict()
    for key in _stored(body):
        there = found[key].shape if key in found else "missing"
        if there != tuple(layers[key].shape):
            raise RunError(
                f"{path}: its {key} is {there}, not {tuple(layers[key].shape)}; --start takes a "
                "model of this version's pocket, or a run of train.imitate"
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
        "heard_before": _has_heard(card.training_data, clips),
    }
    return {k: v for k, v in layers.items() if not k.startswith("output")}, about


def warn_if_heard(before: dict[str, Any], clips: ClipSet) -> None:
    """Say on standard error that layers have heard what is trained on now.

    Args:
        before: From `read_layers`.
        clips: What is trained on now.
    """
    if before["heard_before"]:
        print(
            f"warning: {before['file']} has learned from {clips.name}: what is held out now "
            "may be known to it, and figures flatter",
            file=sys.stderr,
        )


def measure_norms(body: PocketBody, features: Tensor) -> None:
    """Give folded BatchNorms the statistics of what they hear; what the layers say stays.

    Args:
        body: Whose layers came from a model file, in place.
        features: ``(windows, mels, frames)`` of what it is to be trained on.
    """
    hooks = []
    norms = [layer for layer in body.layers if isinstance(layer, nn.BatchNorm2d)]

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
    """Of each layer weights and bias, and of `PocketBody.scale` all, as parameters are called."""
    graph = load_graph(path)
    names: dict[str, str] = {}
    for node in graph.graph.node:
        if node.op_type == "Conv" and (layer := LAYER.fullmatch(node.input[1])):
            number = int(layer[1])
            names[f"layers.{number}.weight"] = node.input[1]
            if len(node.input) > 2:
                names[f"layers.{number + 1}.bias"] = node.input[2]
        elif node.op_type == "BatchNormalization" and "body.scale.bias" in node.input[2]:
            names |= {f"scale.{k}": v for k, v in zip(SCALE, node.input[1:5], strict=True)}
    if not names:
        return {}
    del graph.graph.output[:]
    # Weights do not depend on what is heard; ONNX Runtime gives them as they are computed with.
    for name in names.values():
        graph.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    heard = np.zeros((1, WINDOW_SAMPLES), np.float32)
    values = session.run(list(names.values()), {session.get_inputs()[0].name: heard})
    return dict(zip(names, values, strict=True))


def _has_heard(training_data: str, clips: ClipSet) -> bool:
    """Whether a card's text names a data set: by name, or by whom that set asks to be named."""
    cited = [part for part in clips.citation.split("; ") if part != "none"]
    by_name = training_data.startswith(f"{clips.name},")
    return by_name or any(part in training_data for part in cited)


def _stored(body: PocketBody) -> list[str]:
    """What a model file holds of it, but for its last layer."""
    names = [f"scale.{name}" for name in SCALE]
    for number, layer in enumerate(body.layers):
        if isinstance(layer, nn.Conv2d):
            names.append(f"layers.{number}.weight")
        elif isinstance(layer, nn.BatchNorm2d):
            names.append(f"layers.{number}.bias")
    return names
