"""Time series in memory, for live streams, and in a temporary file, for recordings.

With the file, days of a recording take no memory. A column of 0.1 s takes 89 bytes there, and the
scores of a window take four bytes a class. Reading the seconds on the screen costs the same
anywhere in the file.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Callable
from typing import Generic, TypeVar

from streamclf.dashboard.disk_buffer import DiskBuffer

_TIME = struct.Struct("<d")

T = TypeVar("T")


class TimeSeries(Generic[T]):
    """Values in order of time, in memory; at least the newest ``kept_s`` seconds are kept.

    Args:
        kept_s: Length of the series, in seconds.
    """

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._times: list[float] = []
        self._values: list[T] = []

    def add(self, time_s: float, value: T) -> None:
        """Append a value."""
        self._times.append(time_s)
        self._values.append(value)
        if time_s - self._times[0] > 2 * self._kept_s:
            first = bisect.bisect_left(self._times, time_s - self._kept_s)
            del self._times[:first], self._values[:first]

    def between(self, from_s: float, to_s: float) -> list[T]:
        """Values later than ``from_s`` and no later than ``to_s``."""
        first = bisect.bisect_right(self._times, from_s)
        return self._values[first : bisect.bisect_right(self._times, to_s)]

    def at(self, time_s: float) -> T | None:
        """Newest value no later than a time; None if there is none."""
        index = bisect.bisect_right(self._times, time_s)
        return self._values[index - 1] if index else None

    def clear(self) -> None:
        """Delete all values."""
        self._times.clear()
        self._values.clear()


class DiskTimeSeries(Generic[T]):
    """Values in order of time, in a temporary file; all are kept, unlike in a `TimeSeries`.

    Args:
        pack: Turns a value into bytes, of the same length for every value. When the length changes,
            all earlier values are dropped.
        unpack: Turns these bytes into an equal value.
    """

    def __init__(self, pack: Callable[[T], bytes], unpack: Callable[[bytes], T]) -> None:
        self._pack, self._unpack = pack, unpack
        self._buffer = DiskBuffer()
        self._record_bytes = 1
        # Values that were read last, and the index of the first: the next frame needs nearly the
        # same ones. The pair is replaced and never changed, as other threads may read it too.
        self._recent: tuple[int, list[T]] = (0, [])

    def __len__(self) -> int:
        return self._buffer.size // self._record_bytes

    def add(self, time_s: float, value: T) -> None:
        """Append a value.

        Raises:
            SinkError: The temporary file cannot be written, as when the disk is full.
        """
        record = _TIME.pack(time_s) + self._pack(value)
        if len(record) != self._record_bytes:
            self.clear()
            self._record_bytes = len(record)
        self._buffer.append(record)

    def between(self, from_s: float, to_s: float) -> list[T]:
        """Values later than ``from_s`` and no later than ``to_s``."""
        return self._read(self._count_until(from_s), self._count_until(to_s))

    def at(self, time_s: float) -> T | None:
        """Newest value no later than a time; None if there is none."""
        end = self._count_until(time_s)
        return self._read(end - 1, end)[0] if end else None

    def clear(self) -> None:
        """Delete all values."""
        self._buffer.clear()
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
        data = self._buffer.read(first * size, max(end - first, 0) * size)
        return [self._unpack(data[k + _TIME.size : k + size]) for k in range(0, len(data), size)]

    def _count_until(self, time_s: float) -> int:
        """Number of values that are no later than a time."""
        return bisect.bisect_right(range(len(self)), time_s, key=self._time)

    def _time(self, index: int) -> float:
        (time_s,) = _TIME.unpack(self._buffer.read(index * self._record_bytes, _TIME.size))
        return float(time_s)
