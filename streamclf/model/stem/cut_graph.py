"""Cutting of a model's graph at one tensor, in memory.

The part before the cut, the stem, takes a waveform of any length. Windows that begin between two
strides of the stem's layers can share frames only if the stem computes the frames in between as
well. `spread` turns the strides of these layers into dilations (the *algorithme à trous*,
M. Holschneider et al., 1990), which gives the same numbers at every place.

A run that hears live cuts the graph before its first window. So this module uses the messages of
ONNX alone, and not the tools of the onnx library, which take long to import.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streamclf.core.card import Stem
from streamclf.core.errors import ModelError
from streamclf.model.onnx_messages import load_messages, read_model

TIME_AXIS = "samples"
"""Name of the waveform's time axis in a graph that takes any length."""

POINTWISE = frozenset(
    "Abs Add BatchNormalization Cast Clip DequantizeLinear Div Elu Erf Exp Gelu HardSigmoid "
    "HardSwish Identity LeakyRelu Log Mul Neg Pow QuantizeLinear Relu Sigmoid Softplus Sqrt Sub "
    "Tanh".split()
)
"""Operators that compute each element from the element at the same place."""
_SLIDING = frozenset(["AveragePool", "Conv", "FusedConv", "MaxPool"])
"""Operators with a kernel, strides and dilations."""


def load_graph(source: Path | bytes | Any) -> Any:
    """Read a model, make the length of its waveform free, and remove all stored shapes.

    Args:
        source: Path of the file, or its bytes, or the message that was read, which is changed.

    Raises:
        ModelError: The file cannot be read.
    """
    try:
        model: Any = source
        if isinstance(source, Path | bytes):
            model = read_model(source, values_outside=True)
    except Exception as error:  # protobuf raises types of its own
        raise ModelError(f"the graph cannot be read to be cut: {error}") from error
    del model.graph.value_info[:]
    model.graph.input[0].type.tensor_type.shape.dim[-1].dim_param = TIME_AXIS
    return model


def cut_stem(model: Any, stem: Stem, axis: int | None = None) -> Any:
    """Extract the part of a graph from the waveform to the stem's tensor.

    Args:
        model: A model from `load_graph`; it is not changed.
        stem: The stem, which names the tensor.
        axis: Time axis of the base tensor, counted from 0; only a stem with a base needs it.

    Raises:
        ModelError: There is no such tensor, or a layer's strides cannot become dilations.
    """
    _check(model, stem.tensor)
    part = _extract(model, stem.tensor)
    if stem.base is not None:
        _check(part, stem.base)
        spread(part, stem.base, stem.tensor, axis if axis is not None else -1)
    return part


def keep_head(model: Any, tensor: str, element: int) -> None:
    """Remove everything from a model but the part from a tensor to the outputs.

    The model is changed in place, because the head is most of a large network and a copy would
    need as much memory again.

    Args:
        model: A model from `load_graph`; it is changed.
        tensor: Name of the new input.
        element: Number of its data type in ONNX.

    Raises:
        ModelError: There is no such tensor, or the outputs also depend on tensors before it.
    """
    _check(model, tensor)
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    pending, reached = [value.name for value in graph.output], {tensor}
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += made_by[name].input if name in made_by else ()
    if graph.input[0].name in reached:
        raise ModelError(f"the graph cannot be cut at {tensor!r}: some of it flows past there")
    for values, names in (
        (graph.node, [node.output[0] for node in graph.node]),
        (graph.initializer, [value.name for value in graph.initializer]),
    ):
        for index in reversed(range(len(names))):
            if names[index] not in reached or names[index] == tensor:
                del values[index]
    del graph.input[:]
    new = graph.input.add(name=tensor)
    new.type.tensor_type.elem_type = element


def spread(part: Any, base: str, tensor: str, axis: int) -> None:
    """Turn strides along time into dilations after a tensor, so that no frame is left out.

    Args:
        part: The graph that ends in ``tensor``; it is changed.
        base: Name of the tensor after which strides are changed.
        tensor: Name of the last tensor.
        axis: Time axis of both tensors, counted from 0.

    Raises:
        ModelError: A node in between is neither a convolution, nor max pooling, nor pointwise.
    """
    steps = {base: 1}
    for node in part.graph.node:
        moving = [name for name in node.input if name in steps]
        if not moving:
            continue
        step = steps[moving[0]]
        if any(steps[name] != step for name in moving):
            raise ModelError(f"{describe(node)} joins branches of different strides")
        if node.op_type in _SLIDING:
            step *= _dilate(node, axis - 2, step)
        elif node.op_type not in POINTWISE:
            raise ModelError(f"{describe(node)} cannot be spread")
        for name in node.output:
            steps[name] = step


def step_between(model: Any, base: str, tensor: str, axis: int) -> int:
    """Multiply the strides along time between two tensors of a chain.

    Args:
        model: The graph.
        base: Name of the first tensor.
        tensor: Name of the last tensor.
        axis: Time axis of both, counted from 0.
    """
    steps = {base: 1}
    for node in model.graph.node:
        moving = [name for name in node.input if name in steps]
        if moving:
            stride = _stride(node, axis - 2) if node.op_type in _SLIDING else 1
            steps.update(dict.fromkeys(node.output, steps[moving[0]] * stride))
    return steps[tensor]


def describe(node: Any) -> str:
    """Name a node in a message, by its operator and name."""
    return f"{node.op_type} {node.name or node.output[0]!r}"


def attribute(node: Any, name: str) -> list[int]:
    """Return an attribute of a node that is a list of integers; empty if it has none."""
    values: Iterable[Any] = (a for a in node.attribute if a.name == name)
    return [int(value) for a in values for value in a.ints]


def _stride(node: Any, spatial: int) -> int:
    strides = attribute(node, "strides")
    return strides[spatial] if strides else 1


def _dilate(node: Any, spatial: int, step: int) -> int:
    """Multiply a node's dilation by ``step`` and set its stride to 1; return its former stride."""
    kernel = attribute(node, "kernel_shape")
    if not 0 <= spatial < len(kernel):
        raise ModelError(f"{describe(node)} does not slide along time")
    if node.op_type == "AveragePool" and step > 1:
        raise ModelError(f"{describe(node)} cannot be spread")
    stride = _stride(node, spatial)
    for name, value in (("strides", 1), ("dilations", step)):
        values = attribute(node, name) or [1] * len(kernel)
        values[spatial] = value * (values[spatial] if name == "dilations" else 1)
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.add(name=name, type=load_messages().AttributeProto.INTS, ints=values)
    return stride


def _check(model: Any, tensor: str) -> None:
    if not any(tensor in node.output for node in model.graph.node):
        raise ModelError(f"the graph has no tensor {tensor!r} to be cut at")


def _extract(model: Any, tensor: str) -> Any:
    """Copy the part of a model that one tensor depends on, without types and shapes of its tensors.

    ONNX Runtime infers the types and shapes.
    """
    graph = model.graph
    made_by = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    reached: set[int] = set()
    pending = [tensor]
    while pending:
        index = made_by.get(pending.pop())
        if index is not None and index not in reached:
            reached.add(index)
            pending += graph.node[index].input
    nodes = [graph.node[index] for index in sorted(reached)]
    read = {name for node in nodes for name in node.input}
    part = load_messages().ModelProto(
        ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions
    )
    part.graph.name = f"{graph.name} up to {tensor}"
    part.graph.node.extend(nodes)
    part.graph.initializer.extend(v for v in graph.initializer if v.name in read)
    part.graph.sparse_initializer.extend(
        v for v in graph.sparse_initializer if v.values.name in read
    )
    part.graph.input.add().CopyFrom(graph.input[0])
    part.graph.output.add(name=tensor)
    return part
