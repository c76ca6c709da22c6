"""Standard streams as they are found: closed, at a terminal, or set so that a write never waits."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import Any

_POLL_S = 0.01


class Nowhere(io.TextIOBase):
    """Stands for a standard stream that was closed before the program began.

    Attributes:
        n_written: Characters that nobody will see.
    """

    def __init__(self) -> None:
        self.n_written = 0

    def writable(self) -> bool:
        """As a stream of text is."""
        return True

    def write(self, text: str) -> int:
        """Count the text, and drop it."""
        if not isinstance(text, str):
            raise TypeError(f"text is wanted, not {type(text).__name__}")
        self.n_written += len(text)
        return len(text)


class _Patient(io.FileIO):
    """A descriptor that is waited for, though the process that handed it on set it not to wait.

    Attributes:
        lost: Why a write failed; None while none did.
    """

    lost: OSError | None = None

    def write(self, data: Any) -> int:
        """Write what there is room for, at least a byte."""
        try:
            while (n_written := super().write(data)) is None:
                wait_for_room(self.fileno())
        except OSError as error:
            self.lost = error
            raise
        return n_written


def secure() -> None:
    """Make the standard streams safe to use; called once, before anything else is opened.

    A file opened while one of the numbers 0 to 2 is free would get it, and messages for standard
    error would be written over its content. Whoever shares a pipe or a terminal may have set it
    not to wait, or do so later.
    """
    for number in range(3):
        _occupy(number)
    sys.stdout = _usable(sys.stdout)
    sys.stderr = _usable(sys.stderr)


def _occupy(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)


def _usable(stream: Any) -> Any:
    if stream is None:
        return Nowhere()
    if os.name != "posix":
        return stream
    try:
        raw = _Patient(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):  # it was opened for reading, or is no file
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=stream.line_buffering
    )


def is_closed(stream: object) -> bool:
    """Whether a standard stream, such as `sys.stdout`, leads nowhere."""
    return stream is None or isinstance(stream, Nowhere)


def is_terminal(stream: Any) -> bool:
    """Whether a standard stream is there and a terminal."""
    return stream is not None and bool(stream.isatty())


def wait_for_room(descriptor: int, timeout_s: float | None = None) -> bool:
    """Wait until a descriptor that does not wait by itself can be written to.

    Args:
        descriptor: Of a pipe, a socket or a terminal.
        timeout_s: How long at most; None for ever.

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


def is_of_output(error: BaseException) -> bool:
    """Whether standard output raised an error, as a full disk does; `end_output` then says why."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _Patient) and raw.lost is error


def end_output() -> str | None:
    """Write what was printed, at the end of the program.

    Returns:
        Why it is lost; empty where its reader has gone, None where nothing is lost.
    """
    if isinstance(sys.stdout, Nowhere):
        return "standard output is closed" if sys.stdout.n_written else None
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes once more at its end, and would say so in words of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return ""
        return f"standard output cannot be written: {(error.strerror or str(error)).lower()}"
    return None
