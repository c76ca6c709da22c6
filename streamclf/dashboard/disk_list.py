"""What is kept of a recording while it is shown: in a temporary file, so that days take no memory.

A tenth of a second of a picture is 89 bytes there, a window's scores four bytes a class. Reading
the seconds that are on the screen costs as much wherever they lie.
"""

from __future__ import annotations

import bisect
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from streamclf.core.errors import SinkError
from streamclf.core.spill_buffer import SpillBuffer

IN_MEMORY = 1_000_000
"""Bytes; what is kept of a short recording needs no file."""
_TIME = struct.Struct("<d")

T = TypeVar("T")


class Filed:
    """Bytes in a temporary file, once they are many; may be asked from any thread."""

    def __init__(self) -> None:
        self._scratch = SpillBuffer(IN_MEMORY)
        self._lock = threading.Lock()
        self.size = 0

    def append(self, data: bytes) -> None:
        """Keep bytes behind all others.

        Raises:
            SinkError: There is no room for them.
        """
        with self._lock, _failures():
            self._scratch.write(self.size, data)
            self.size += len(data)

    def read(self, first: int, n_bytes: int) -> bytes:
        """Bytes from a place on; fewer where there are no more.

        Raises:
            SinkError: They cannot be read.
        """
        with self._lock, _failures():
            return self._scratch.read(first, min(n_bytes, self.size - first))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock, _failures():
            self.size = 0
            self._scratch.clear()


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SinkError(
            f"what was heard cannot be kept for the dashboard: {reason}, in the folder "
            f"{tempfile.gettempdir()}: make room there, or name another in TMPDIR"
        ) from error


class FiledCourse(Generic[T]):
    """Values by rising time, all of them; in place of a `Course` that forgets.

    Args:
        pack: Turns a value into bytes, as many for each; where their number changes, what came
            before is forgotten.
        unpack: Turns them into an equal value.
    """

    def __init__(self, pack: Callable[[T], bytes], unpack: Callable[[bytes], T]) -> None:
        self._pack, self._unpack = pack, unpack
        self._filed = Filed()
        self._record_bytes = 1
        # What was read last, and where it begins: the next picture shows nearly the same. Replaced,
        # never changed, as other threads may read as well.
        self._recent: tuple[int, list[T]] = (0, [])

    def __len__(self) -> int:
        return self._filed.size // self._record_bytes

    def add(self, time_s: float, value: T) -> None:
        """Append a value.

        Raises:
            SinkError: There is no room for it.
        """
        record = _TIME.pack(time_s) + self._pack(value)
        if len(record) != self._record_bytes:
            self.clear()
            self._record_bytes = len(record)
        self._filed.append(record)

    def between(self, from_s: float, to_s: float) -> list[T]:
        """The values later than ``from_s`` and no later than ``to_s``."""
        return self._read(self._count_until(from_s), self._count_until(to_s))

    def at(self, time_s: float) -> T | None:
        """The newest value no later than a time."""
        end = self._count_until(time_s)
        return self._read(end - 1, end)[0] if end else None

    def clear(self) -> None:
        """Forget everything."""
        self._filed.clear()
        self._recent = (0, [])

    def _read(self, first: int, end: int) -> list[T]:
        begin, values = self._recent
        if begin <= first <= begin + len(values):
            known = values[first - begin : max(end - begin, 0)]
        else:
            known = []
        read = known + self._read_file(first + len(known), end)
        self._recent = first, read
        return [*read]

    def _read_file(self, first: int, end: int) -> list[T]:
        size = self._record_bytes
        data = self._filed.read(first * size, max(end - first, 0) * size)
        return [self._unpack(data[k + _TIME.size : k + size]) for k in range(0, len(data), size)]

    def _count_until(self, time_s: float) -> int:
        """How many values are no later than a time."""
        return bisect.bisect_right(range(len(self)), time_s, key=self._time)

    def _time(self, index: int) -> float:
        (time_s,) = _TIME.unpack(self._filed.read(index * self._record_bytes, _TIME.size))
        return float(time_s)
