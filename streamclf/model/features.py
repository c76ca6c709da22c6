"""Features of windows: the values by which sounds are compared, as one more output of a graph.

ONNX Runtime gives only what is an output of the graph. Where features are asked for, the graph is
therefore opened with one output that holds both: the logits, and behind them the features. All
that a window goes through, the cutting at the stem included, then holds for them as it is.

A network's last linear layer may take thousands of values, more than can be kept for months. They
are added up to fewer sums with random signs, which keeps distances between windows about as they
are, without any data to be fitted to. (D. Achlioptas, "Database-friendly random projections:
Johnson-Lindenstrauss with binary coins", 2003.)

Importing onnx takes longer than scoring a short clip, so this module is imported only for features.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from streamclf.core.card import Features
from streamclf.core.errors import ModelError

OUTPUT = "logits_and_features"
"""Name of the output of a graph that gives features: ``(batch, classes + size)``."""
SIGNS = "features/signs"
"""Name of the matrix of signs in a graph that gives features."""
_SEED = 29


def random_signs(width: int, size: int) -> npt.NDArray[np.float32]:
    """Return the matrix that reduces the values of a tensor, the same on every machine.

    Args:
        width: Number of values of the tensor.
        size: Number of sums.

    Returns:
        ``(width, size)`` float32 of ``1 / sqrt(size)`` with random signs.
    """
    n_bytes = -(-width * size // 8)
    # NumPy keeps the raw bits of this generator over its versions, which it does not promise of
    # drawn numbers.
    drawn = np.random.PCG64(_SEED).random_raw(-(-n_bytes // 8)).astype("<u8").tobytes()
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8), count=width * size)
    signs = bits.astype(np.float32) * 2 - 1
    return np.asarray(signs.reshape(width, size) / np.sqrt(size), dtype=np.float32)


def append_features(model: Any, features: Features, logits: str) -> str:
    """Replace a graph's outputs by one, `OUTPUT`, which holds logits and features.

    Args:
        model: The model; it is changed.
        features: Features of its card.
        logits: Name of the output with the logits, ``(batch, classes)``.

    Returns:
        The digest of the features, see `digest_features`.

    Raises:
        ModelError: The graph lacks the tensor, or has tensors of reserved names already.
    """
    digest = digest_features(model, features)
    graph = model.graph
    known = {name for node in graph.node for name in node.output}
    if taken := known & {OUTPUT, SIGNS, "features/wide", "features/kept"}:
        raise ModelError(f"the graph has a tensor {min(taken)!r} already: export it anew")
    nodes = [
        helper.make_node("Cast", [features.tensor], ["features/wide"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [logits], ["features/logits"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["features/logits"], ["features/scores"], axis=1),
    ]
    kept = "features/wide"
    if features.width is not None:
        signs = random_signs(features.width, features.size)
        graph.initializer.append(numpy_helper.from_array(signs, SIGNS))
        nodes.append(helper.make_node("MatMul", ["features/wide", SIGNS], ["features/kept"]))
        kept = "features/kept"
    nodes.append(helper.make_node("Concat", ["features/scores", kept], [OUTPUT], axis=1))
    graph.node.extend(nodes)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None))
    return digest


def digest_features(model: Any, features: Features) -> str:
    """Hash all that the features are computed by: layers, weights, size and scale.

    Two models with the same digest give features that can be compared, whatever their labels.

    Args:
        model: The model.
        features: Features of its card.

    Returns:
        16 hexadecimal digits.

    Raises:
        ModelError: The graph lacks the tensor.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    if features.tensor not in made_by:
        raise ModelError(
            f"its card names the features {features.tensor!r}, which the graph lacks: "
            "export it anew"
        )
    pending, reached = [features.tensor], set()
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += made_by[name].input if name in made_by else ()
    hashed = hashlib.sha256(f"{features.tensor} {features.width} {features.size}".encode())
    hashed.update(f" {features.scale!r}".encode())
    for node in model.graph.node:
        if node.output[0] in reached:
            hashed.update(f"{node.op_type}{list(node.input)}{list(node.output)}".encode())
            for each in sorted(node.attribute, key=lambda attribute: attribute.name):
                hashed.update(each.SerializeToString(deterministic=True))
    for value in sorted(model.graph.initializer, key=lambda value: value.name):
        if value.name in reached:
            array = numpy_helper.to_array(value)
            hashed.update(f"{value.name}{array.shape}{array.dtype}".encode())
            hashed.update(array.tobytes())
    return hashed.hexdigest()[:16]
