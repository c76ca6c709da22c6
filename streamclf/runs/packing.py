"""Results <-> bytes, for the file that a spool goes on in; nothing is unpickled."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import msgspec
import numpy as np

from streamclf.core import records
from streamclf.core.card import Threshold, Thresholds

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        records.Average, records.Scores, records.EventBegan, records.EventOngoing,
        records.SoundEvent, records.Gap, records.Notice, records.Change, Thresholds, Threshold,
    )
}  # fmt: skip
_KIND, _ARRAY = "kind", "array"


def pack(item: object) -> bytes:
    """Turn a result into bytes.

    Raises:
        TypeError: It holds something that results do not hold.
    """
    return msgspec.msgpack.encode(_plain(item))


def unpack(data: bytes) -> Any:
    """Turn bytes from `pack` into an equal result.

    Raises:
        msgspec.DecodeError: They are none.
    """
    return _result(msgspec.msgpack.decode(data))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    if issubclass(kind, msgspec.Struct):
        return tuple(kind.__struct_fields__)
    return tuple(field.name for field in dataclasses.fields(kind))


def _plain(value: Any) -> Any:
    if type(value) in _KINDS.values():
        kind: Any = type(value)
        fields = [_plain(getattr(value, name)) for name in _names(kind)]
        return {_KIND: kind.__name__, "fields": fields}
    if isinstance(value, np.ndarray):
        content = np.ascontiguousarray(value)
        return {_ARRAY: content.tobytes(), "type": content.dtype.str, "shape": content.shape}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return [[key, _plain(item)] for key, item in value.items()]
    return value


def _result(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    if _ARRAY in plain:
        values = np.frombuffer(plain[_ARRAY], dtype=plain["type"])
        return values.reshape(plain["shape"])
    fields = [_result(value) for value in plain["fields"]]
    kind = _KINDS[plain[_KIND]]
    if kind is Thresholds:  # whose classes are pairs, as a dictionary's keys are texts alone
        place = _names(kind).index("classes")
        fields[place] = {key: _result(value) for key, value in fields[place]}
    return kind(*fields)
