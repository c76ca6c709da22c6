"""Bytes in a temporary file."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from streamclf.core.errors import SinkError
from streamclf.core.spill_buffer import Scratch

IN_MEMORY = 1_000_000
"""Bytes; what is kept of a short recording needs no file."""


class DiskBuffer:
    """Bytes in a temporary file, once they are many; may be asked from any thread."""

    def __init__(self) -> None:
        self._scratch = Scratch(IN_MEMORY)
        self._lock = threading.Lock()
        self.size = 0

    def append(self, data: bytes) -> None:
        """Keep bytes behind all others.

        Raises:
            SinkError: There is no room for them.
        """
        with self._lock, _raise_sink_errors():
            self._scratch.write(self.size, data)
            self.size += len(data)

    def read(self, first: int, n_bytes: int) -> bytes:
        """Bytes from a place on; fewer where there are no more.

        Raises:
            SinkError: They cannot be read.
        """
        with self._lock, _raise_sink_errors():
            return self._scratch.read(first, min(n_bytes, self.size - first))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock, _raise_sink_errors():
            self.size = 0
            self._scratch.clear()


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
