"""Results on their way from one thread to another, however far behind the reader is.

They are kept as bytes, and nothing is unpickled.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from streamclf.core import records
from streamclf.core.card import Threshold, Thresholds
from streamclf.core.spill_buffer import Scratch

T = TypeVar("T")

IN_MEMORY = 1_000_000
"""Bytes; beyond them a spool goes on in a temporary file."""


class Spool(Generic[T]):
    """A queue of any length in little memory: one thread puts, another iterates, once.

    Waiting for an item can be interrupted by a signal. What was read makes room: whenever nothing
    is left to read, the file begins anew.
    """

    def __init__(self) -> None:
        self._scratch = Scratch(IN_MEMORY)
        self._lock = threading.Lock()
        self._sizes: SimpleQueue[int] = SimpleQueue()
        self._begin = self._end = 0  # of what is not read yet

    def put(self, item: T) -> None:
        """Append an item.

        Raises:
            OSError: There is no room for it; what was put before can be read.
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
        """Say that nothing follows."""
        self._sizes.put(0)

    def wait(self) -> None:
        """Wait until nothing follows; what is in the spool is lost."""
        while self._sizes.get():
            pass

    def close(self) -> None:
        """Release the file; nobody reads what is put from now on. Safe to call twice."""
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
        """Give the disk back what was read, if that is much."""
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
