"""Checks of the tensors in a model file: their shapes, and the data that they have.

A TensorProto is read by its field numbers (onnx.proto; a test compares them). Its values are read
only if they are few enough to be a shape.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from streamclf.model.vetting.protobuf import VARINT, Bytes, Field, Reader

MAX_DIMENSIONS = 64
_DATA = frozenset([4, 5, 6, 7, 9, 10, 11])
"""Numbers of the fields that hold values, one for each data type."""
_EXTERNAL = 1
"""Value of ``data_location`` for values in another file."""
MAX_SHAPE_BYTES = 64
"""Longest list of integers, in bytes, that counts as a shape."""


class RefusedError(ValueError):
    """The model file contradicts itself, or uses something forbidden."""


@dataclass
class Tensor:
    """A tensor, as its TensorProto describes it.

    Attributes:
        name: Its name; empty if it has none.
        dims: Its shape.
        n_data_bytes: Bytes of its values in the model file.
        integers: Its values, if they are few and may be 64-bit integers.
        external: Location, offset and length of values outside the model file.
        is_external: Whether ``data_location`` says that the values are outside.
    """

    name: str = ""
    dims: list[int] = field(default_factory=list)
    n_data_bytes: int = 0
    integers: list[int] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)
    is_external: bool = False


def read_tensor(reader: Reader, data: Bytes) -> Tensor:
    """Read a TensorProto.

    Raises:
        WireError: The bytes are no TensorProto.
    """
    tensor = Tensor()
    for item in reader.fields(data):
        if item.number == 1:
            tensor.dims += item.integers()
        elif item.number == 8:
            tensor.name = item.text
        elif item.number in _DATA:
            tensor.n_data_bytes += len(item.data) if item.kind != VARINT else 1
            if item.number in (7, 9) and tensor.n_data_bytes <= MAX_SHAPE_BYTES:
                tensor.integers += _integers(item)
        elif item.number == 13:
            pair = {entry.number: entry.text for entry in reader.fields(item.data)}
            tensor.external[pair.get(1, "")] = pair.get(2, "")
        elif item.number == 14:
            tensor.is_external |= item.value == _EXTERNAL
    return tensor


def _integers(item: Field) -> list[int]:
    if item.number == 7:
        return item.integers()
    whole = len(item.data) - len(item.data) % 8
    return [n for (n,) in struct.iter_unpack("<q", item.data[:whole])]


def check_tensor(tensor: Tensor, folder: Path) -> int:
    """Refuse a tensor that has less data than its shape needs.

    Args:
        tensor: The tensor, as the file describes it.
        folder: Folder of the model, which must also hold its external data.

    Returns:
        Number of bytes of the tensor outside the model file.

    Raises:
        RefusedError: The shape is impossible, or data is missing or lies elsewhere.
    """
    check_dims(f"tensor {tensor.name!r}", tensor.dims)
    outside = tensor.is_external or bool(tensor.external)
    n_bytes = _external_bytes(tensor, folder) if outside else tensor.n_data_bytes
    # The densest data types pack two elements into a byte.
    if math.prod(tensor.dims) > 2 * n_bytes:
        raise RefusedError(
            f"tensor {tensor.name!r} has the shape {show_shape(tensor.dims)}, "
            f"but only {n_bytes} bytes of data: export the model anew"
        )
    return n_bytes if outside else 0


def check_dims(what: str, dims: list[int]) -> None:
    """Refuse a shape with negative sizes or too many dimensions.

    Args:
        what: The thing that has the shape, for the message.
        dims: The shape.

    Raises:
        RefusedError: The shape is impossible.
    """
    if len(dims) > MAX_DIMENSIONS or any(n < 0 for n in dims):
        raise RefusedError(
            f"{what} has the shape {show_shape(dims)}, must be 0 or more along each of at most "
            f"{MAX_DIMENSIONS} dimensions: export the model anew"
        )


def _external_bytes(tensor: Tensor, folder: Path) -> int:
    """Return the number of bytes that a tensor has in a file beside the model.

    Raises:
        RefusedError: The file lies elsewhere, is missing, or is shorter than the tensor states.
    """
    location = tensor.external.get("location", "")
    what = f"tensor {tensor.name!r} is in the file {location!r}"
    windows = PureWindowsPath(location)
    odd = (
        not location
        or PurePosixPath(location).is_absolute()
        or windows.anchor
        or ".." in windows.parts
        or any(letter in location for letter in "*?\0")  # marks of ONNX Runtime's own, and NUL
    )
    home = folder.resolve()
    # Resolved, because a symbolic link could lead out of the folder.
    if odd or not (home / location).resolve().is_relative_to(home):
        raise RefusedError(
            f"{what}, outside the model's folder: put it there, as a plain file, "
            "or export the model as one file"
        )
    file = home / location
    if not file.is_file():
        raise RefusedError(f"{what}, which is not there: put it beside the model")
    size = file.stat().st_size
    try:
        offset = int(tensor.external.get("offset") or 0)
        length = int(tensor.external.get("length") or size - offset)
    except ValueError:
        offset = length = -1
    if offset < 0 or length < 0 or offset + length > size:
        raise RefusedError(
            f"{what}, which has {size} bytes, and none at the place said: is it complete?"
        )
    return length


def show_shape(dims: list[int]) -> str:
    """Describe a shape in a message."""
    shown = " x ".join(str(n) for n in dims[:8])
    return f"{shown} x ..." if len(dims) > 8 else shown or "of a single number"
