"""A taught label in a model's graph: one more output, beside all others.

The label's linear layer stands beside the last layer, on the same features, and its output is
appended to the logits::

    features -> last layer ------------------------------------> logits of the others --+
    features -> sums as they are kept -> length 1 -> MatMul, Add -> the label's logit --+-> logits

The layer takes features of length 1 (`to_unit_length`), in the graph as in the past. Loud and clear
sounds have long features, and would otherwise be taken for whatever was taught.

So the nodes that were there compute what they computed, to the last bit, and taking the label away
gives the former graph. Each taught label has nodes of its own, numbered upwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamclf.core.card import METADATA_KEY, Card, Features, format_card
from streamclf.core.errors import ModelError
from streamclf.model.features import random_signs
from streamclf.model.vetting.vetting import vet_model

PREFIX = "taught/"
OTHERS = f"{PREFIX}others"
"""Name of the logits of the labels that were not taught."""
FEATURES = f"{PREFIX}features"
"""Name of the features as float32, where the graph has them in another type."""
SIGNS, SUMS = f"{PREFIX}signs", f"{PREFIX}sums"
"""Names of the signs by which features are added up to those that are kept, and of the sums."""
UNIT = f"{PREFIX}unit"
"""Name of the features of length 1, which all taught labels share."""
_SHARED = (FEATURES, SIGNS, f"{SIGNS}/float", SUMS, UNIT)
_NUMBER = re.compile(rf"{PREFIX}(\d+)/.*")


def to_unit_length(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Divide features ``(windows, size)`` by their lengths; those that are all 0 stay so."""
    lengths = np.sqrt(np.sum(features * features, axis=1, keepdims=True))
    return np.asarray(features / np.where(lengths > 0, lengths, 1), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer with one output, the logit of a label, on features of length 1.

    Attributes:
        weights: ``(size,)`` float32.
        bias: Added to the product of weights and features.
    """

    weights: npt.NDArray[np.float32]
    bias: float

    def logits(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute logits ``(windows,)`` from features as they are kept, ``(windows, size)``."""
        unit = to_unit_length(features)
        return np.asarray(unit @ self.weights + np.float32(self.bias), dtype=np.float32)


def read_graph(path: Path) -> Any:
    """Read a model with its weights.

    Raises:
        ModelError: The file cannot be read, is no model, or is unsafe to open.
    """
    vet_model(path)
    try:
        return onnx.load(path)
    except Exception as error:  # onnx and protobuf raise types of their own that share no base
        raise ModelError(f"{path}: cannot be read as a model: {error}") from error


def add_label(model: Any, card: Card, form: Features, head: Head) -> None:
    """Add an output for a label behind all others.

    Args:
        model: The graph with its metadata; it is changed.
        card: The card with the new label at its end, which replaces the card in the file.
        form: Features of the card.
        head: The label's layer.

    Raises:
        ModelError: The graph has no such tensor, or its logits are no output.
    """
    graph = model.graph
    output = _find_output(graph, card)
    if not any(form.tensor in node.output for node in graph.node):
        raise ModelError(
            f"the graph has no tensor {form.tensor!r}, which its card names as features"
        )
    element = output.type.tensor_type.elem_type
    join = _take_join(graph, output.name)
    _add_unit_features(graph, form)
    name = f"{PREFIX}{_next_number(graph)}/"
    column = np.asarray(head.weights, dtype=np.float32)[:, np.newaxis]
    graph.initializer.extend(
        [
            numpy_helper.from_array(column, name + "weights"),
            numpy_helper.from_array(np.array([head.bias], dtype=np.float32), name + "bias"),
        ]
    )
    last = name + ("logit" if element == TensorProto.FLOAT else "float")
    graph.node.extend(
        [
            helper.make_node("MatMul", [UNIT, name + "weights"], [name + "product"]),
            helper.make_node("Add", [name + "product", name + "bias"], [last]),
        ]
    )
    if last != name + "logit":
        graph.node.append(helper.make_node("Cast", [last], [name + "logit"], to=element))
    join.input.append(name + "logit")
    graph.node.append(join)
    _write_card(model, output, card)


def read_heads(model: Any, card: Card) -> list[Head]:
    """Return the layers of the taught labels, in their order.

    Raises:
        ModelError: The graph has no such outputs.
    """
    graph = model.graph
    concat = _find_concat(graph, _find_output(graph, card).name)
    tensors = {each.name: each for each in graph.initializer}
    heads = []
    for name in () if concat is None else concat.input[1:]:
        own = name.rpartition("/")[0]
        weights, bias = (tensors.get(f"{own}/{each}") for each in ("weights", "bias"))
        if weights is not None and bias is not None:
            column = numpy_helper.to_array(weights)[:, 0]
            heads.append(Head(column.astype(np.float32), float(numpy_helper.to_array(bias)[0])))
    if len(heads) != card.n_taught:
        raise ModelError(
            "the graph has no outputs of taught labels, which its card names: it was changed by "
            "other hands: teach the model that it was made of"
        )
    return heads


def remove_label(model: Any, card: Card, place: int) -> None:
    """Take a taught label away.

    Args:
        model: The graph with its metadata; it is changed.
        card: The card without the label, which replaces the card in the file.
        place: Index of the label among the taught ones.

    Raises:
        ModelError: The graph has no such output.
    """
    graph = model.graph
    output = _find_output(graph, card)
    concat = _find_concat(graph, output.name)
    if concat is None or place + 1 >= len(concat.input):
        raise ModelError(
            "the graph has no outputs of taught labels, which its card names: it was changed by "
            "other hands: teach the model that it was made of"
        )
    match = _NUMBER.fullmatch(concat.input[place + 1])
    assert match is not None
    del concat.input[place + 1]
    own = f"{PREFIX}{match[1]}/"
    _drop(graph.node, lambda node: node.output[0].startswith(own))
    _drop(graph.initializer, lambda tensor: tensor.name.startswith(own))
    if len(concat.input) == 1:
        _drop(graph.node, lambda node: node.output[0] in (output.name, *_SHARED))
        _drop(graph.initializer, lambda tensor: tensor.name in _SHARED)
        _rename(graph, OTHERS, output.name)
    _write_card(model, output, card)


def _find_output(graph: Any, card: Card) -> Any:
    for output in graph.output:
        if output.name == card.output_name:
            return output
    if len(graph.output) == 1:
        return graph.output[0]
    names = ", ".join(output.name for output in graph.output)
    raise ModelError(f"the graph has the outputs {names}, none is {card.output_name}")


def _find_concat(graph: Any, output: str) -> Any:
    for node in graph.node:
        if output in node.output:
            made = node.op_type == "Concat" and node.input[0] == OTHERS
            return node if made else None
    raise ModelError(f"the graph computes no {output!r}: export it anew")


def _take_join(graph: Any, output: str) -> Any:
    """Take the node that joins all logits out of the graph, or make it.

    It has to be put back as the last node, behind all that it joins.
    """
    found = _find_concat(graph, output)
    if found is None:
        _rename(graph, output, OTHERS)
        return helper.make_node("Concat", [OTHERS], [output], axis=1)
    join = onnx.NodeProto()
    join.CopyFrom(found)
    graph.node.remove(found)
    return join


def _add_unit_features(graph: Any, form: Features) -> None:
    """Add the features of length 1 once, as float32.

    ONNX Runtime drops a conversion to the type that is there. The signs are kept as whole numbers,
    a quarter of the size; what the sums are multiplied by does not change their direction.
    """
    known = {name for node in graph.node for name in node.output}
    nodes = [helper.make_node("Cast", [form.tensor], [FEATURES], to=TensorProto.FLOAT)]
    kept = FEATURES
    if form.width is not None:
        kept = SUMS
        if SUMS not in known:
            signs = np.sign(random_signs(form.width, form.size)).astype(np.int8)
            graph.initializer.append(numpy_helper.from_array(signs, SIGNS))
        nodes += [
            helper.make_node("Cast", [SIGNS], [f"{SIGNS}/float"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", [FEATURES, f"{SIGNS}/float"], [SUMS]),
        ]
    nodes.append(helper.make_node("LpNormalization", [kept], [UNIT], axis=1, p=2))
    graph.node.extend(node for node in nodes if node.output[0] not in known)


def _next_number(graph: Any) -> int:
    found = [_NUMBER.fullmatch(name) for node in graph.node for name in node.output]
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def _drop(values: Any, is_unwanted: Any) -> None:
    for index in reversed(range(len(values))):
        if is_unwanted(values[index]):
            del values[index]


def _write_card(model: Any, output: Any, card: Card) -> None:
    """Write the card, and its number of labels as the size of the output."""
    dims = output.type.tensor_type.shape.dim
    if dims and dims[-1].HasField("dim_value"):
        dims[-1].dim_value = len(card.labels)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = format_card(card)
            return
    model.metadata_props.add(key=METADATA_KEY, value=format_card(card))
