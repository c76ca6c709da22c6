"""Weights stored as float16, with arithmetic in float32.

Each tensor is followed by a Cast, which ONNX Runtime folds when it opens the file: half the size,
the same arithmetic and speed. Arithmetic in float16 is no gain on a CPU, whose kernels convert back
and forth. The constants of a mel front end stay float32: they are few, and as float16 they caused
the largest error by far (0.065 on the bundled network's logits, 0.005 without).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graph.float_nodes import mel_nodes

MIN_SIZE = 1024
"""Smaller tensors, scales and biases, stay float32: they save next to nothing."""

TOLERANCE = 0.05
"""Largest difference allowed between two logits: a score moves by an eightieth at most."""


def store_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with its large weights stored as float16; inputs and outputs stay the same."""
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    casts = []
    whole = {name for node in mel_nodes(model.graph) for name in node.input}
    for tensor in stored.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name in whole:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        if values.size < MIN_SIZE or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(
            helper.make_node("Cast", [tensor.name], [name], f"{name}.cast", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *stored.graph.node]
    del stored.graph.node[:]
    stored.graph.node.extend(nodes)
    return stored
