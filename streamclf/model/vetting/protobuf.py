"""Reader for protobuf messages that looks at their structure and skips their contents.

ONNX files are protobuf (https://protobuf.dev/programming-guides/encoding/). The protobuf library
copies every weight; this reader steps over them, so a file of 200 MB takes as long as one of 1 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Bytes: TypeAlias = memoryview

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types. ONNX files do not contain the types 3 and 4 (groups)."""
_MAX_FIELDS = 2_000_000
"""Most fields in a file. Large graphs have some 100,000; a file of nothing but fields would take
hours."""
_MAX_TEXT = 65_536
"""Longest name, in bytes."""
_MAX_PACKED = 65_536
"""Longest list of integers, in bytes."""


class WireError(ValueError):
    """The bytes are no protobuf message."""


@dataclass(slots=True)  # a frozen one takes four times as long to make, and there are thousands
class Field:
    """One field of a message.

    Attributes:
        number: Field number in the definition of the message.
        kind: Wire type.
        value: Value of a varint; 0 for other wire types.
        data: Bytes of a field of another wire type; empty for a varint.
    """

    number: int
    kind: int
    value: int
    data: Bytes

    @property
    def text(self) -> str:
        """The bytes as text.

        Raises:
            WireError: The text is longer than any name.
        """
        if len(self.data) > _MAX_TEXT:
            raise WireError(f"a name has {len(self.data)} bytes, the limit is {_MAX_TEXT}")
        return bytes(self.data).decode("utf-8", "backslashreplace")

    def integers(self) -> list[int]:
        """Decode the signed 64-bit integers of a repeated field, packed or not.

        Raises:
            WireError: The list is too long, or ends within a number.
        """
        if len(self.data) > _MAX_PACKED:
            raise WireError(f"a list has {len(self.data)} bytes, the limit is {_MAX_PACKED}")
        if self.kind == VARINT:
            return [_signed(self.value)]
        values, at = [], 0
        while at < len(self.data):
            value, at = _varint(self.data, at)
            values.append(_signed(value))
        return values


class Reader:
    """Reader for the messages of one file, with a limit on their fields.

    Args:
        max_fields: Most fields of all messages together.
    """

    def __init__(self, max_fields: int = _MAX_FIELDS) -> None:
        self._max_fields = max_fields
        self._n_fields = 0

    def fields(self, data: Bytes) -> Iterator[Field]:
        """Yield a message's fields in order.

        Raises:
            WireError: The bytes are no protobuf, are cut short, or hold too many fields.
        """
        at, empty = 0, data[:0]
        while at < len(data):
            self._n_fields += 1
            if self._n_fields > self._max_fields:
                raise WireError(f"it has more than {self._max_fields} fields")
            key, at = _varint(data, at)
            number, kind = key >> 3, key & 7
            if not number:
                raise WireError("a field has the number 0")
            if kind == VARINT:
                value, at = _varint(data, at)
                yield Field(number, kind, value, empty)
                continue
            if kind == LENGTH:
                size, at = _varint(data, at)
            elif kind in (FIXED32, FIXED64):
                size = 4 if kind == FIXED32 else 8
            else:
                raise WireError(f"a field has the wire type {kind}")
            if at + size > len(data):
                raise WireError(f"a field needs {size} bytes, {len(data) - at} are left")
            yield Field(number, kind, 0, data[at : at + size])
            at += size


def _varint(data: Bytes, at: int) -> tuple[int, int]:
    """Decode an unsigned integer of up to 64 bits; return it and the index after its end."""
    if at < len(data) and data[at] < 0x80:  # most numbers fit into one byte
        return data[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise WireError("a number has more than 10 bytes")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
