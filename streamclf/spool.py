"""Results on their way from one thread to another, however far behind the reader is."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from streamclf.packing import pack, unpack

T = TypeVar("T")

IN_MEMORY = 1_000_000
"""Bytes; beyond them a spool goes on in a temporary file."""


class Spool(Generic[T]):
    """A queue of any length in little memory: one thread puts, another iterates.

    Waiting for an item can be interrupted by a signal.
    """

    def __init__(self) -> None:
        # Closed in close(): it lives as long as the spool.
        self._file: Any = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._lock = threading.Lock()
        self._sizes: SimpleQueue[int] = SimpleQueue()
        self._end = 0

    def put(self, item: T) -> None:
        """Append an item."""
        data = pack(item)
        with self._lock:
            if self._file.closed:
                return
            self._file.seek(self._end)
            self._file.write(data)
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
            self._file.close()

    def __iter__(self) -> Iterator[T]:
        position = 0
        while size := self._sizes.get():
            with self._lock:
                self._file.seek(position)
                data = self._file.read(size)
            position += size
            yield unpack(data)
