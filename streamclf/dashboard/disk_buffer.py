"""A growing buffer of bytes in a temporary file."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from streamclf.core.errors import SinkError
from streamclf.core.spill_buffer import SpillBuffer

IN_MEMORY = 1_000_000
"""Number of bytes up to which the buffer stays in memory; a short recording needs no file."""


class DiskBuffer:
    """Bytes in memory, moved to a temporary file when there are many; safe for any thread.

    Attributes:
        size: Number of bytes.
    """

    def __init__(self) -> None:
        self._spill_buffer = SpillBuffer(IN_MEMORY)
        self._lock = threading.Lock()
        self.size = 0

    def append(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            SinkError: The temporary file cannot be written, as when the disk is full.
        """
        with self._lock, _raise_sink_errors():
            self._spill_buffer.write(self.size, data)
            self.size += len(data)

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Read bytes from an offset on; fewer than ``n_bytes`` at the end.

        Raises:
            SinkError: They cannot be read.
        """
        with self._lock, _raise_sink_errors():
            return self._spill_buffer.read(offset, min(n_bytes, self.size - offset))

    def clear(self) -> None:
        """Delete all bytes."""
        with self._lock, _raise_sink_errors():
            self.size = 0
            self._spill_buffer.clear()


@contextmanager
def _raise_sink_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SinkError(
            f"what was heard cannot be kept for the dashboard: {reason}, in the folder "
            f"{tempfile.gettempdir()}: make room there, or name another in TMPDIR"
        ) from error
