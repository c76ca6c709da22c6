"""Standard streams in every state: closed, a terminal, or set to non-blocking."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import Any

_POLL_S = 0.01


class ClosedStream(io.TextIOBase):
    """Replacement of a standard stream that was closed before the program began.

    Attributes:
        n_written: Number of characters that were written and dropped.
    """

    def __init__(self) -> None:
        self.n_written = 0

    def writable(self) -> bool:
        """Return True, as writable streams do."""
        return True

    def write(self, text: str) -> int:
        """Count the characters of a text and drop it."""
        if not isinstance(text, str):
            raise TypeError(f"text is wanted, not {type(text).__name__}")
        self.n_written += len(text)
        return len(text)


class _BlockingFile(io.FileIO):
    """File descriptor whose writes block, even if another process set it to non-blocking.

    Attributes:
        lost: The error of a failed write; None while none failed.
    """

    lost: OSError | None = None

    def write(self, data: Any) -> int:
        """Write as many bytes as there is room for; wait until this is at least one."""
        try:
            while (n_written := super().write(data)) is None:
                wait_for_room(self.fileno())
        except OSError as error:
            self.lost = error
            raise
        return n_written


def secure() -> None:
    """Make the standard streams safe to use; called once, before anything else is opened.

    A file opened while one of the descriptors 0 to 2 is free would get that number, and messages
    for standard error would overwrite its content. And another process that shares a pipe or a
    terminal may have set it to non-blocking, or may do so later.
    """
    for number in range(3):
        _open_if_closed(number)
    sys.stdout = _make_usable(sys.stdout)
    sys.stderr = _make_usable(sys.stderr)


def _open_if_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)


def _make_usable(stream: Any) -> Any:
    if stream is None:
        return ClosedStream()
    if os.name != "posix":
        return stream
    try:
        raw = _BlockingFile(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):  # opened for reading, or without a descriptor
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=stream.line_buffering
    )


def is_closed(stream: object) -> bool:
    """Whether a standard stream, such as `sys.stdout`, was closed before the program began."""
    return stream is None or isinstance(stream, ClosedStream)


def is_terminal(stream: Any) -> bool:
    """Whether a standard stream is a terminal; a missing stream is none."""
    return stream is not None and bool(stream.isatty())


def wait_for_room(descriptor: int, timeout_s: float | None = None) -> bool:
    """Wait until a non-blocking descriptor can be written to.

    Args:
        descriptor: Descriptor of a pipe, a socket or a terminal.
        timeout_s: Longest wait in seconds; None for no limit.

    Returns:
        Whether there may be room now.
    """
    import select

    if not hasattr(select, "poll"):
        time.sleep(_POLL_S if timeout_s is None else min(_POLL_S, timeout_s))
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(None if timeout_s is None else 1000 * timeout_s))


def is_output_error(error: BaseException) -> bool:
    """Whether an error came from standard output, as on a full disk; `flush_output` explains it."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _BlockingFile) and raw.lost is error


def flush_output() -> str | None:
    """Flush standard output at the end of the program.

    Returns:
        The reason why output was lost: empty where its reader has gone, None where nothing was
        lost.
    """
    if isinstance(sys.stdout, ClosedStream):
        return "standard output is closed" if sys.stdout.n_written else None
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes again when it exits, and would print a traceback of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return ""
        return f"standard output cannot be written: {(error.strerror or str(error)).lower()}"
    return None
