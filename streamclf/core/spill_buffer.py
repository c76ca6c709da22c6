"""Bytes at places of their own: in memory while they are few, then in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from io import BytesIO
from typing import Any


class Scratch:
    """A file that is written whole or not at all: what was written before a failure can be read.

    Nothing is buffered on the way, so that a full disk is told by the write that it has no room
    for. By one thread at a time.

    Args:
        in_memory: Bytes; beyond them it goes on in a temporary file.
    """

    def __init__(self, in_memory: int) -> None:
        self._in_memory = in_memory
        self._file: Any = BytesIO()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return bool(self._file.closed)

    def write(self, place: int, data: bytes) -> None:
        """Write all of ``data`` at a place.

        Raises:
            OSError: There is no room for it, or no temporary file.
        """
        if isinstance(self._file, BytesIO) and place + len(data) > self._in_memory:
            self._move()
        self._file.seek(place)
        _write_all(self._file, data)

    def read(self, place: int, n_bytes: int) -> bytes:
        """What was written at a place.

        Raises:
            OSError: The disk fails.
        """
        self._file.seek(place)
        data: bytes = self._file.read(n_bytes)
        return data

    def clear(self) -> None:
        """Give back all room."""
        self._file.truncate(0)

    def close(self) -> None:
        """Give back all room, for good. Safe to call twice."""
        self._file.close()

    def _move(self) -> None:
        """Go on in a temporary file; what is in memory stays there if that has no room."""
        # Closed with this object, at the latest.
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        try:
            _write_all(file, self._file.getvalue())
        except OSError:
            file.close()
            raise
        weakref.finalize(self, file.close)
        self._file = file


def _write_all(file: Any, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
