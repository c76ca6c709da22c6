"""What a live run writes into and cannot open anew by itself: named pipes, standard output."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from streamclf.core.standard_streams import wait_for_room
from streamclf.sinks.live.targets import Target

_ROOM_S = 0.1


class FifoTarget(Target):
    """A named pipe, whose reader may be late, slow, or gone for a while.

    It stays open while nobody reads: what is in it is there for the next reader.

    Args:
        path: The named pipe.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._descriptor: int | None = None

    def put(self, data: bytes) -> int:
        """Write what there is room for.

        Raises:
            BlockingIOError: There is no room now.
            OSError: Nobody reads.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        return os.write(self._descriptor, data)

    def begin(self) -> None:
        """Write the header for the first reader."""
        if self.header:
            self.put(self.header)
            self.header = b""

    def reopen(self) -> bool:
        """Wait for a reader of the pipe that has the name now."""
        self.close()
        return True

    def close(self) -> None:
        """Let go of it; a reader sees its end."""
        # Forgotten first: its number may be another file's, even where closing fails.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class OutputTarget(Target):
    """Standard output or standard error, never closed here; who read them does not come back.

    Args:
        name: What messages call it.
        descriptor: Its number.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        super().__init__(name)
        self._descriptor = descriptor

    @classmethod
    def standard_output(cls) -> OutputTarget:
        """Results for whoever reads them."""
        sys.stdout.flush()
        return cls("standard output", sys.stdout.fileno())

    def is_gone(self, error: OSError) -> bool:
        """Whether nobody reads it any more, or its terminal was closed."""
        if error.errno == errno.EIO:
            return os.isatty(self._descriptor)
        return error.errno in (errno.EPIPE, errno.EBADF)

    def put(self, data: bytes) -> int:
        """Write; waits for a reader that is slow.

        Raises:
            BlockingIOError: It is one that does not wait, and there was no room for a moment.
        """
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            if not wait_for_room(self._descriptor, _ROOM_S):
                raise
            return os.write(self._descriptor, data)

    def begin(self) -> None:
        """Write the header once."""
        if self.header:
            self.put(self.header)
            self.header = b""
