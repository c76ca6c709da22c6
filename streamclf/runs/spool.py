"""Queue of results between two threads, which continues on disk when the reader is far behind.

Results are stored as bytes. They are not pickled, so reading them runs no code.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from streamclf.core import records
from streamclf.core.card import Threshold, Thresholds, Unknown
from streamclf.core.spill_buffer import SpillBuffer
from streamclf.core.unknown_rule import OwnThresholds

T = TypeVar("T")

IN_MEMORY = 1_000_000
"""Most bytes that a spool holds in memory; more go to a temporary file."""


class Spool(Generic[T]):
    """Queue of any length in little memory, for one thread that puts and one that iterates once.

    A signal can interrupt the wait for an item. Whenever all items have been read, the file is
    used from its start again.
    """

    def __init__(self) -> None:
        self._scratch = SpillBuffer(IN_MEMORY)
        self._lock = threading.Lock()
        self._sizes: SimpleQueue[int] = SimpleQueue()
        self._begin = self._end = 0  # range of bytes that are not read yet

    def put(self, item: T) -> None:
        """Append an item.

        Raises:
            OSError: The disk is full; items before this one can still be read.
        """
        data = pack(item)
        with self._lock:
            if self._scratch.closed:
                return
            try:
                self._scratch.write(self._end, data)
            except OSError as error:
                raise OSError(error.errno, _describe(error)) from error
            self._end += len(data)
        self._sizes.put(len(data))

    def finish(self) -> None:
        """End the queue: no item follows."""
        self._sizes.put(0)

    def wait(self) -> None:
        """Wait for `finish`, and drop all items."""
        while self._sizes.get():
            pass

    def close(self) -> None:
        """Release the file; items that are put later are dropped. Safe to call twice."""
        with self._lock:
            self._scratch.close()

    def __iter__(self) -> Iterator[T]:
        while size := self._sizes.get():
            with self._lock:
                data = self._scratch.read(self._begin, size)
                self._begin += size
                if self._begin == self._end:
                    self._begin_anew()
            yield unpack(data)

    def _begin_anew(self) -> None:
        """Start at the beginning again, and free the file if it was large."""
        if self._end > IN_MEMORY:
            self._scratch.clear()
        self._begin = self._end = 0


def _describe(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    return (
        f"its results cannot be kept until their turn: {reason}, in the folder "
        f"{tempfile.gettempdir()}: make room there, name another in TMPDIR, or add --jobs 1"
    )


_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        records.StreamStarted, records.ModelIdentity, records.FeatureFormat, records.Average,
        records.Scores, records.EventBegan, records.EventOngoing, records.SoundEvent, records.Gap,
        records.Notice, records.Change, Thresholds, Threshold, Unknown, OwnThresholds,
    )
}  # fmt: skip
_KIND, _ARRAY, _MAPPING, _MOMENT = "kind", "array", "mapping", "moment"


def pack(item: object) -> bytes:
    """Turn a result, or the `StreamStarted` of a recording, into bytes.

    Raises:
        TypeError: It holds a value of an unknown type, such as the clock of a live stream.
    """
    return msgspec.msgpack.encode(_plain(item))


def unpack(data: bytes) -> Any:
    """Turn bytes from `pack` into an equal result.

    Raises:
        msgspec.DecodeError: The bytes are not from `pack`.
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
        return {_MAPPING: [[key, _plain(item)] for key, item in value.items()]}
    if isinstance(value, datetime):  # a zone of its own becomes its offset from UTC
        return {_MOMENT: value.isoformat()}
    if dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct):
        raise TypeError(f"{type(value).__name__} is no part of a result that can be packed")
    return value


def _result(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    if _ARRAY in plain:
        values = np.frombuffer(plain[_ARRAY], dtype=plain["type"])
        return values.reshape(plain["shape"])
    if _MAPPING in plain:
        return {key: _result(value) for key, value in plain[_MAPPING]}
    if _MOMENT in plain:
        return datetime.fromisoformat(plain[_MOMENT])
    fields = [_result(value) for value in plain["fields"]]
    return _KINDS[plain[_KIND]](*fields)
