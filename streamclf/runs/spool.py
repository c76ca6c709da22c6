"""Results on their way from one thread to another, however far behind the reader is."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

from streamclf.core.spill_buffer import Scratch
from streamclf.runs.packing import pack, unpack

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
