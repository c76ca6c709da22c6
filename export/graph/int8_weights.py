"""Weights stored in 8 bits, with arithmetic in float32.

Each output channel of a weight has a scale: the weight is a Cast of its steps times these
scales, which ONNX Runtime folds when it opens the file, as it does with `export.graph.float16`: a
third of the size, the same arithmetic and speed. The graph does not use DequantizeLinear for it:
ONNX Runtime does not fold that, and computed 1.4 times as long.

Small tensors stay float32. They are next to nothing of the file, and most of the error: the first
layers are small, and all others build on them.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.graph.float16 import MIN_SIZE
from export.graph.float_nodes import mel_nodes

TOLERANCE = 0.25
"""Largest difference allowed between two logits: a score moves by a sixteenth at most."""

LARGEST = 127
"""Steps to either side of 0."""


def store_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with its large weights stored in 8 bits; inputs and outputs stay the same.

    Weights are the second inputs of Conv, Gemm and MatMul. Those of a mel front end stay as they
    are.
    """
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    axes = _channel_axes(model.graph)
    made, scales = [], []
    for tensor in stored.graph.initializer:
        if tensor.name not in axes or tensor.data_type != TensorProto.FLOAT:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        if values.size < MIN_SIZE:
            continue
        steps, scale = round_channels(values, axes[name])
        tensor.CopyFrom(numpy_helper.from_array(steps, f"{name}.int8"))
        scales.append(numpy_helper.from_array(scale, f"{name}.scale"))
        made += [
            helper.make_node(
                "Cast", [tensor.name], [f"{name}.steps"], f"{name}.cast", to=TensorProto.FLOAT
            ),
            helper.make_node("Mul", [f"{name}.steps", f"{name}.scale"], [name], f"{name}.scaled"),
        ]
    stored.graph.initializer.extend(scales)
    nodes = [*made, *stored.graph.node]
    del stored.graph.node[:]
    stored.graph.node.extend(nodes)
    return stored


def round_channels(
    values: NDArray[np.float32], axis: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a weight to steps, of which each channel has `LARGEST` to either side of 0.

    Args:
        values: The weight, any shape.
        axis: Axis of the output channels.

    Returns:
        The steps, in the weight's shape, and the scales, in the shape that multiplies them.
    """
    others = tuple(other for other in range(values.ndim) if other != axis)
    scale = np.abs(values).max(axis=others, keepdims=True) / np.float32(LARGEST)
    scale = np.where(scale > 0, scale, np.float32(1))
    return np.rint(values / scale).astype(np.int8), scale.astype(np.float32)


def _channel_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """The axis of the output channels of each weight, by its name; none of what is no weight."""
    whole = {name for node in mel_nodes(graph) for name in node.input}
    n_axes = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    axes: dict[str, int] = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] in whole:
            continue
        name = node.input[1]
        if n_axes.get(name, 0) < 2:
            continue
        rows_first = node.op_type == "Conv" or any(
            attribute.name == "transB" and attribute.i for attribute in node.attribute
        )
        axes[name] = 0 if rows_first else n_axes[name] - 1
    return axes
