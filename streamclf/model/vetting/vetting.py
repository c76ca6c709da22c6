"""Check of a model file before ONNX Runtime opens it.

A file from someone else must not cost more memory or time than its size suggests, and must not
read anything but itself. So no tensor may be larger than its data, no weights may lie outside the
model's folder, and no operator may load another file. Newer versions of ONNX Runtime refuse some of
this themselves; this check does not depend on the installed version. The field numbers are those of
onnx.proto (a test compares them).
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
    MAX_SHAPE_BYTES,
    RefusedError,
    check_dims,
    check_tensor,
    read_tensor,
    show_shape,
)

MAX_FILE_BYTES = 2 * 1024**3
"""The largest protobuf message."""
MAX_NODES = 100_000
MAX_GRAPH_DEPTH = 8
MAX_GENERATED_ELEMENTS = 2**28
"""Most elements of a tensor that needs little data: a sparse one, or one filled from a shape."""
DOMAINS = frozenset(["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"])
"""Domains of ONNX Runtime's own operators. Others need libraries, or functions in the file."""
FORBIDDEN = frozenset(["EPContext", "PyOp", "PythonOp", "PythonOpGrad"])
"""Operators of these domains that load something outside the file."""

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
"""Types of messages -> numbers of the fields that lead to tensors or operators -> their types."""
_GRAPH, _METADATA = 7, 14  # of a ModelProto
_GENERATING_OPERATORS = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
"""Operators whose output may be much larger than their input, and the index of the input that sets
its size."""


def vet_model(path: Path) -> int:
    """Refuse a model file that is unsafe to open.

    Returns:
        Bytes of the file and of its weights in other files.

    Raises:
        ModelError: The file is missing, too large, no ONNX model, or uses something forbidden.
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
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            inspection = _Inspection(path.parent)
            reason = _find_fault(memoryview(content), inspection)
            content.close()  # not after an exception, such as Ctrl-C: its traceback keeps views
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be opened: {error.strerror}") from error
    if reason:
        raise ModelError(f"{path}: {reason}")
    return n_bytes + inspection.n_bytes_beside


def _find_fault(data: Bytes, inspection: _Inspection) -> str:
    """Return the reason why a model is refused; empty if it is accepted."""
    # Caught here: a traceback would keep views of the file, which then could not be closed.
    try:
        inspection.check_model(data)
    except RefusedError as error:
        return str(error)
    except WireError as error:
        return f"is no ONNX model that runs here: {error}: is the file complete?"
    return ""


class _Inspection:
    """Inspection of one model file.

    Args:
        folder: Folder of the file.

    Attributes:
        n_bytes_beside: Bytes of tensors whose values lie in files beside the model.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.n_bytes_beside = 0
        self._reader = Reader()
        self._n_nodes = 0
        self._domains = set(DOMAINS)
        self._operator_by_domain: dict[str, str] = {}  # domain -> the first operator of it
        self._products: dict[str, int] = {}  # name of a short list of integers -> their product
        self._shapes: list[tuple[str, str]] = []  # (operator, name of the list that sets its size)

    def check_model(self, data: Bytes) -> None:
        """Check a ModelProto.

        Raises:
            RefusedError: It contradicts itself, or uses something forbidden.
            WireError: The bytes are no ModelProto.
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
        for domain, operator in self._operator_by_domain.items():
            if domain not in self._domains:
                raise RefusedError(
                    f"operator {operator} is of the domain {domain!r}, must be of "
                    f"{', '.join(filter(None, sorted(DOMAINS)))} or a function in the file: "
                    "export the model with standard operators"
                )
        for operator, name in self._shapes:
            if self._products.get(name, 0) > MAX_GENERATED_ELEMENTS:
                raise RefusedError(
                    f"operator {operator} makes {self._products[name]} values of each that it is "
                    f"given, the limit is {MAX_GENERATED_ELEMENTS}: export the model anew"
                )

    def _visit(self, kind: str, data: Bytes, depth: int) -> None:
        """Check a message, then all messages in it."""
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
        self._operator_by_domain.setdefault(domain, operator)
        for value in values if operator == "Constant" else ():
            self._constant(outputs[0] if outputs else "", value)
        place = _GENERATING_OPERATORS.get(operator, len(inputs))
        self._shapes += [(operator, name) for name in inputs[place : place + 1]]

    def _constant(self, output: str, attribute: Bytes) -> None:
        """Note the list of integers that a Constant operator holds."""
        integers: list[int] = []
        for item in self._reader.fields(attribute):
            if item.number == 5:
                integers += read_tensor(self._reader, item.data).integers
            elif item.number == 8 and len(item.data) <= MAX_SHAPE_BYTES:
                integers += item.integers()
        self._note_product(output, integers)

    def _note_product(self, name: str, integers: list[int]) -> None:
        product = math.prod(max(n, 1) for n in integers)
        # Nested graphs may use a name twice: the larger product counts.
        self._products[name] = max(self._products.get(name, 0), product)

    def _function(self, data: Bytes) -> None:
        """Allow the domain of a function in the file; `_visit` checks its operators."""
        self._domains |= {item.text for item in self._reader.fields(data) if item.number == 10}

    def _tensor(self, data: Bytes) -> None:
        tensor = read_tensor(self._reader, data)
        self.n_bytes_beside += check_tensor(tensor, self._folder)
        self._note_product(tensor.name, tensor.integers)

    def _sparse(self, data: Bytes) -> None:
        items = [item for item in self._reader.fields(data) if item.number == 3]
        dims = [n for item in items for n in item.integers()]
        check_dims("a sparse tensor", dims)
        if math.prod(dims) > MAX_GENERATED_ELEMENTS:
            raise RefusedError(
                f"a sparse tensor has the shape {show_shape(dims)}, the limit is "
                f"{MAX_GENERATED_ELEMENTS} elements: export the model with smaller layers"
            )
