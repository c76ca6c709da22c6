"""The nodes of a graph that stay float, whatever its other weights are stored as."""

from __future__ import annotations

import onnx


def mel_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The mel front end: everything that a logarithm is taken of, and the logarithm.

    80 dB of power between silence and full scale need more digits than the weights after it.
    """
    made_by = {output: node for node in graph.node for output in node.output}
    found: list[onnx.NodeProto] = []
    pending = [node for node in graph.node if node.op_type == "Log"]
    while pending:
        node = pending.pop()
        if node not in found:
            found.append(node)
            pending += [made_by[name] for name in node.input if name in made_by]
    return found


def first_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that process the waveform itself, up to the first convolution on each path.

    Quiet sounds would be lost in a waveform of 8 bits.
    """
    raw = {graph.input[0].name}
    found = []
    for node in graph.node:
        if raw.intersection(node.input):
            found.append(node)
            if node.op_type != "Conv":
                raw.update(node.output)
    return found


def thin_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The convolutions within single maps, up to the first one that mixes maps.

    They have large maps and nine products for a value: 8 bits cost more there than they save.
    """
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    front = mel_nodes(graph)
    found = []
    for node in graph.node:
        if node.op_type == "Conv" and node not in front:
            kernel = shapes.get(node.input[1], [0, 0])
            if kernel[1] != 1:
                break
            found.append(node)
    return found


def mean_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Means over an axis, and everything after them, where no convolution follows.

    Channels of different scales meet there in one tensor, in which 8 bits would leave nothing of
    the small ones; and there is hardly any work to save.
    """
    behind: set[str] = set()
    found = []
    for node in graph.node:
        if node.op_type == "ReduceMean" or behind.intersection(node.input):
            behind.update(node.output)
            found.append(node)
    needed: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "Conv" or needed.intersection(node.output):
            needed.update(node.input)
    return [node for node in found if not needed.intersection(node.output)]
