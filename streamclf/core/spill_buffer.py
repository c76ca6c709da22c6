"""Buffer of bytes: in memory while it is small, then in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from io import BytesIO
from typing import Any


class SpillBuffer:
    """Random-access buffer of bytes that moves to a temporary file when it grows.

    Data written before a failed write can still be read. Writes to the file are unbuffered, so
    the write that fills the disk is the one that raises. One thread at a time may use it.

    Args:
        in_memory: Size in bytes up to which the data stays in memory.
    """

    def __init__(self, in_memory: int) -> None:
        self._in_memory = in_memory
        self._file: Any = BytesIO()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return bool(self._file.closed)

    def write(self, place: int, data: bytes) -> None:
        """Write all of ``data``, beginning at byte ``place``.

        Raises:
            OSError: The disk is full, or a temporary file cannot be made.
        """
        if isinstance(self._file, BytesIO) and place + len(data) > self._in_memory:
            self._move()
        self._file.seek(place)
        _write_all(self._file, data)

    def read(self, place: int, n_bytes: int) -> bytes:
        """Read bytes that were written, beginning at byte ``place``.

        Raises:
            OSError: The disk fails.
        """
        self._file.seek(place)
        data: bytes = self._file.read(n_bytes)
        return data

    def clear(self) -> None:
        """Drop all data and free its memory or disk space."""
        self._file.truncate(0)

    def close(self) -> None:
        """Drop all data for good. Safe to call twice."""
        self._file.close()

    def _move(self) -> None:
        """Copy the data to a temporary file and continue there; on failure it stays in memory."""
        # The file is closed when this object is collected, at the latest.
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
