"""The dominators of a graph: tensors that every path from input to output passes through."""

from __future__ import annotations

import onnx

from streamclf.model.stem.cut_graph import POINTWISE


def find_dominators(graph: onnx.GraphProto) -> list[str]:
    """List the tensors that every path to the output passes through, from the input on.

    A tensor that only a pointwise node takes is left out, as more can be shared after that node.
    """
    moving = _moving(graph)
    chain = []
    for node in moving:
        name = node.output[0]
        users = [user for user in moving if name in user.input]
        alone = len(users) == 1 and users[0].op_type in POINTWISE and _inputs(users[0], moving) == 1
        if users and not alone and not _reaches(graph, moving, without=name):
            chain.append(name)
    return chain


def nodes_between(graph: onnx.GraphProto, start: str, tensor: str) -> list[onnx.NodeProto]:
    """The nodes that lead from one tensor to another, in order."""
    made_by = {name: node for node in graph.node for name in node.output}
    wanted, seen = [tensor], {start}
    while wanted:
        name = wanted.pop()
        if name not in seen and name in made_by:
            seen.add(name)
            wanted += made_by[name].input
    return [node for node in graph.node if any(name in seen - {start} for name in node.output)]


def _moving(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that depend on the input."""
    names, nodes = {graph.input[0].name}, []
    for node in graph.node:
        if names.intersection(node.input):
            names.update(node.output)
            nodes.append(node)
    return nodes


def _inputs(node: onnx.NodeProto, moving: list[onnx.NodeProto]) -> int:
    made = {name for other in moving for name in other.output}
    return len(made.intersection(node.input))


def _reaches(graph: onnx.GraphProto, moving: list[onnx.NodeProto], without: str) -> bool:
    names = {graph.input[0].name}
    for node in moving:
        if names.intersection(node.input) and without not in node.output:
            names.update(node.output)
    return graph.output[0].name in names
