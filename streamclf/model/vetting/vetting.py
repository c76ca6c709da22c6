"""A model file looked through before ONNX Runtime opens it.

Opening a file that someone else made must cost no more than the file is worth, and read nothing
but the file: no tensor larger than its data, no weights from outside its folder, no operators
that load something else. Newer versions of ONNX Runtime refuse some of this themselves; this does
not depend on which is installed. The field numbers are those of onnx.proto (a test compares).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from pathlib import Path

from streamclf.core.card import MAX_CARD_BYTES
from streamclf.core.errors import ModelError
from streamclf.model.vetting.foreign_formats import describe_foreign
from streamclf.model.vetting.protobuf import VARINT, Bytes, Reader, WireError
from streamclf.model.vetting.tensors import (
    SHORT,
    RefusedError,
    check_dims,
    check_tensor,
    read_tensor,
    show_shape,
)

MAX_FILE_BYTES = 2 * 1024**3
"""Protobuf knows no larger messages."""
MAX_NODES = 100_000
MAX_GRAPH_DEPTH = 8
MAX_MADE = 2**28
"""Elements of a tensor that is made of little: a sparse one, or one of a constant shape."""
DOMAINS = frozenset(["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"])
"""Operators that ONNX Runtime itself has. Others come from libraries, or from the file."""
FORBIDDEN = frozenset(["EPContext", "PyOp", "PythonOp", "PythonOpGrad"])
"""Operators among those that load something else than the file."""

CHILDREN: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto",
        22: "SparseTensorProto", 23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}  # fmt: skip
"""Which messages hold which, as far as tensors and operators are concerned."""
_GRAPH, _METADATA = 7, 14  # of a ModelProto
_SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
"""Operators that make much of little, and which of their inputs says how much."""


def vet_model(path: Path) -> int:
    """Refuse a file that ONNX Runtime had better not open.

    Returns:
        Bytes of the file, and of the weights that it has in files beside it.

    Raises:
        ModelError: It is missing, too large, no ONNX model, or wants what it must not have.
    """
    try:
        with path.open("rb") as file:
            n_bytes = file.seek(0, 2)
            if not n_bytes:
                raise ModelError(f"{path}: the file is empty, an ONNX model was expected")
            if foreign := describe_foreign(path):
                raise ModelError(f"{path}: {foreign}")
            if n_bytes > MAX_FILE_BYTES:
                raise ModelError(
                    f"{path}: the file has {n_bytes} bytes, the limit is {MAX_FILE_BYTES}: "
                    "keep weights in a file beside it (ONNX's external data)"
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                vetting = _Vetting(path.parent)
                reason = _fault(content, vetting)
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be opened: {error.strerror}") from error
    if reason:
        raise ModelError(f"{path}: {reason}")
    return n_bytes + vetting.n_bytes_beside


def _fault(content: mmap.mmap, vetting: _Vetting) -> str:
    """What is wrong with a model; empty if nothing is."""
    with memoryview(content) as data:
        # A traceback would hold views of the file, which then could not be closed.
        try:
            vetting.model(data)
        except RefusedError as error:
            return str(error)
        except WireError as error:
            return f"is no ONNX model that runs here: {error}: is the file complete?"
    return ""


class _Vetting:
    """One file being looked through.

    Args:
        folder: Where it lies.

    Attributes:
        n_bytes_beside: Of tensors whose values lie in files beside it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.n_bytes_beside = 0
        self._reader = Reader()
        self._n_nodes = 0
        self._domains = set(DOMAINS)
        self._used: dict[str, str] = {}  # by domain, an operator
        self._products: dict[str, int] = {}  # of short lists of integers, by name
        self._shapes: list[tuple[str, str]] = []  # of which operator, the name of the list

    def model(self, data: Bytes) -> None:
        """Look through a ModelProto.

        Raises:
            RefusedError: Something in it must not be.
            WireError: It is none.
        """
        n_graphs = 0
        for item in self._reader.fields(data):
            n_graphs += item.number == _GRAPH
            if item.number == _METADATA and len(item.data) > MAX_CARD_BYTES:
                raise RefusedError(
                    f"a metadata property has {len(item.data)} bytes, "
                    f"the limit is {MAX_CARD_BYTES}: is this a streamclf card?"
                )
        if not n_graphs:
            raise WireError("it holds no graph")
        self._visit("ModelProto", data, 0)
        for domain, operator in self._used.items():
            if domain not in self._domains:
                raise RefusedError(
                    f"operator {operator} is of the domain {domain!r}, must be of "
                    f"{', '.join(filter(None, sorted(DOMAINS)))} or a function in the file: "
                    "export the model with standard operators"
                )
        for operator, name in self._shapes:
            if self._products.get(name, 0) > MAX_MADE:
                raise RefusedError(
                    f"operator {operator} makes {self._products[name]} values of each that it is "
                    f"given, the limit is {MAX_MADE}: export the model anew"
                )

    def _visit(self, kind: str, data: Bytes, depth: int) -> None:
        """Look at a message, then at all below it."""
        if kind == "GraphProto":
            depth += 1
            if depth > MAX_GRAPH_DEPTH:
                raise RefusedError(
                    f"graphs lie within graphs, the limit is {MAX_GRAPH_DEPTH} deep: "
                    "export the model without control flow"
                )
        check: Callable[[Bytes], None] | None = {
            "TensorProto": self._tensor,
            "SparseTensorProto": self._sparse,
            "NodeProto": self._node,
            "FunctionProto": self._function,
        }.get(kind)
        if check is not None:
            check(data)
        children = CHILDREN.get(kind, {})
        for item in self._reader.fields(data) if children else ():
            if item.number in children:
                if item.kind == VARINT:
                    raise WireError(f"a number stands where a {children[item.number]} belongs")
                self._visit(children[item.number], item.data, depth)

    def _node(self, data: Bytes) -> None:
        self._n_nodes += 1
        if self._n_nodes > MAX_NODES:
            raise RefusedError(
                f"the graph has more operators than {MAX_NODES}, which is the limit: "
                "export a smaller model"
            )
        inputs, outputs, values, operator, domain = [], [], [], "", ""
        for item in self._reader.fields(data):
            if item.number == 1:
                inputs.append(item.text)
            elif item.number == 2:
                outputs.append(item.text)
            elif item.number == 4:
                operator = item.text
            elif item.number == 5:
                values.append(item.data)
            elif item.number == 7:
                domain = item.text
        if operator in FORBIDDEN:
            raise RefusedError(
                f"operator {operator} loads something else than this file: "
                "export the model without it"
            )
        self._used.setdefault(domain, operator)
        for value in values if operator == "Constant" else ():
            self._constant(outputs[0] if outputs else "", value)
        place = _SHAPED.get(operator, len(inputs))
        self._shapes += [(operator, name) for name in inputs[place : place + 1]]

    def _constant(self, output: str, attribute: Bytes) -> None:
        """Note a list of integers that a Constant operator holds."""
        integers: list[int] = []
        for item in self._reader.fields(attribute):
            if item.number == 5:
                integers += read_tensor(self._reader, item.data).integers
            elif item.number == 8 and len(item.data) <= SHORT:
                integers += item.integers()
        self._note(output, integers)

    def _note(self, name: str, integers: list[int]) -> None:
        product = math.prod(max(n, 1) for n in integers)
        # Graphs within graphs may use a name twice: the larger counts.
        self._products[name] = max(self._products.get(name, 0), product)

    def _function(self, data: Bytes) -> None:
        """A function in the file brings its domain with it; what it is made of is looked at too."""
        self._domains |= {item.text for item in self._reader.fields(data) if item.number == 10}

    def _tensor(self, data: Bytes) -> None:
        tensor = read_tensor(self._reader, data)
        self.n_bytes_beside += check_tensor(tensor, self._folder)
        self._note(tensor.name, tensor.integers)

    def _sparse(self, data: Bytes) -> None:
        items = [item for item in self._reader.fields(data) if item.number == 3]
        dims = [n for item in items for n in item.integers()]
        check_dims("a sparse tensor", dims)
        if math.prod(dims) > MAX_MADE:
            raise RefusedError(
                f"a sparse tensor has the shape {show_shape(dims)}, the limit is {MAX_MADE} "
                "elements: export the model with smaller layers"
            )
