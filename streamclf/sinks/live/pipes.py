"""Targets of a live run that cannot simply be reopened: named pipes and standard output."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from streamclf.core.standard_streams import wait_for_room
from streamclf.sinks.live.targets import Target

_WAIT_S = 0.1


class FifoTarget(Target):
    """A named pipe, whose reader may be late, slow, or absent for a while.

    The pipe stays open without a reader, so that the next reader gets the data in it.

    Args:
        path: The named pipe.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._descriptor: int | None = None

    def put(self, data: bytes) -> int:
        """Write as many bytes as the pipe takes.

        Raises:
            BlockingIOError: The pipe is full.
            OSError: The pipe has no reader.
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
        """Close the pipe; the next write opens the pipe that has the name then."""
        self.close()
        return True

    def close(self) -> None:
        """Close the pipe; a reader sees its end."""
        # Set to None first: even if closing fails, the number may soon belong to another file.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class OutputTarget(Target):
    """Standard output or standard error; it is never closed, and a lost reader does not come back.

    Args:
        name: Name in messages.
        descriptor: Its file descriptor.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        super().__init__(name)
        self._descriptor = descriptor

    @classmethod
    def standard_output(cls) -> OutputTarget:
        """Make the target for results on standard output."""
        sys.stdout.flush()
        return cls("standard output", sys.stdout.fileno())

    def is_permanent(self, error: OSError) -> bool:
        """Whether the error means that the reader has gone or the terminal was closed."""
        if error.errno == errno.EIO:
            return os.isatty(self._descriptor)
        return error.errno in (errno.EPIPE, errno.EBADF)

    def put(self, data: bytes) -> int:
        """Write, and wait for a slow reader.

        Raises:
            BlockingIOError: The descriptor does not block, and stayed full for `_WAIT_S`.
        """
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            if not wait_for_room(self._descriptor, _WAIT_S):
                raise
            return os.write(self._descriptor, data)

    def begin(self) -> None:
        """Write the header once."""
        if self.header:
            self.put(self.header)
            self.header = b""
