"""Output in whole lines, to a file or to standard output."""

from __future__ import annotations

import contextlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from pathlib import Path

from streamclf.core.errors import SinkError
from streamclf.core.records import StreamStarted
from streamclf.core.standard_streams import wait_for_room
from streamclf.core.stats import Statistics
from streamclf.sinks.base import Sink
from streamclf.sinks.output_files import is_special, open_special, open_to_append, reason_of

HEARD, UNFINISHED = "heard", "unfinished"
"""Types of a line or row about a recording that was processed to its end, or was not."""


class Lines(ABC):
    """Destination of whole lines.

    Attributes:
        describe_loss: Formats a line that takes the place of lost lines, from their number; None
            for no such line.
    """

    describe_loss: Callable[[int], str] | None = None

    @property
    def n_lost(self) -> int:
        """Number of lines that are lost."""
        return 0

    def write_header(self, line: str) -> None:
        """Set the first line of the file, and of each file that follows it."""
        self.write(line)

    @abstractmethod
    def write(self, *lines: str) -> None:
        """Append lines, given without their line breaks.

        Raises:
            SinkError: The lines cannot be written.
        """

    def reopen(self) -> None:
        """Reopen the file of this name, because it may have been moved away."""

    def finish(self) -> None:
        """Begin to close, without waiting."""

    @abstractmethod
    def close(self) -> None:
        """Close the destination.

        Raises:
            SinkError: The last lines cannot be written.
        """


class LineSink(Sink):
    """Sink that writes results as lines, in the format of its subclass.

    Args:
        file: Destination of the lines.
        marks: Kinds of lines about recordings to write: `HEARD`, `UNFINISHED`.
    """

    def __init__(self, file: Lines, *, marks: Collection[str] = ()) -> None:
        self._file = file
        self._marks = marks
        self._stream: StreamStarted | None = None

    @property
    def n_lost(self) -> int:
        """Number of lines that are lost."""
        return self._file.n_lost

    def begin(self, stream: StreamStarted) -> None:
        """Note the stream."""
        self._stream = stream

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """Write the line about the recording, if it is requested."""
        stream, self._stream = self._stream, None
        kind = HEARD if whole else UNFINISHED
        if stream is not None and kind in self._marks:
            self._file.write(self.mark(kind, stream, statistics))

    def mark(self, kind: str, stream: StreamStarted, statistics: Statistics) -> str:
        """Format the line about a recording.

        Args:
            kind: `HEARD` or `UNFINISHED`.
            stream: The recording.
            statistics: Statistics of the recording.
        """
        raise NotImplementedError

    def reopen(self) -> None:
        """Reopen the file of this name."""
        self._file.reopen()

    def finish(self) -> None:
        """Begin to write the waiting lines, without waiting for it."""
        self._file.finish()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PrintedLines(Lines):
    """Lines that are passed to a function, such as one that prints above a progress bar.

    Args:
        write: Function that takes text with line breaks.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def write(self, *lines: str) -> None:
        """Pass the lines to the function."""
        self._write("".join(f"{line}\n" for line in lines))

    def close(self) -> None:
        """Nothing to release."""


class LineFile(Lines):
    """File of whole lines, each written by one system call, so that a crash leaves no partial line.

    Args:
        path: A file, a named pipe or a device; None for standard output.
        overwrite: Replace an existing file.
        append: Continue an existing file, whose last line must be complete.

    Raises:
        UsageError: The file exists and may not be replaced.
        SinkError: The file cannot be created.
    """

    def __init__(self, path: Path | None, *, overwrite: bool = False, append: bool = False) -> None:
        self.name = "standard output" if path is None else str(path)
        self._owned = path is not None
        if path is None:
            sys.stdout.flush()
            self._descriptor: int | None = sys.stdout.fileno()
            return
        if is_special(path):
            self._descriptor = open_special(path)
        else:
            flags = os.O_TRUNC if overwrite else 0 if append else os.O_EXCL
            self._descriptor = open_to_append(path, flags)

    def write_header(self, line: str) -> None:
        """Write the first line, unless an existing file is continued."""
        if self._owned and self._descriptor is not None and os.fstat(self._descriptor).st_size:
            return
        self.write(line)

    def write(self, *lines: str) -> None:
        """Append lines, given without their line breaks.

        Raises:
            SinkError: The file cannot be written, for example because the disk is full.
            BrokenPipeError: Standard output has lost its reader.
        """
        if self._descriptor is None:
            raise SinkError(f"{self.name}: is closed already")
        text = "".join(f"{line}\n" for line in lines)
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        n_written = 0
        try:
            while n_written < len(data):
                n_written += self._put(data[n_written:])
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                if not self._owned:
                    raise
                raise SinkError(f"{self.name}: nobody reads it any more: start again") from error
            self._undo_partial_write(n_written)
            raise SinkError(
                f"{self.name}: cannot be written: {reason_of(error)}; the lines before are kept"
            ) from error

    def _put(self, data: memoryview) -> int:
        """Write as many bytes as fit; wait also if the descriptor does not block."""
        assert self._descriptor is not None
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                wait_for_room(self._descriptor)

    def _undo_partial_write(self, n_bytes: int) -> None:
        """Cut off the part of the last lines that was written before a failure."""
        if self._descriptor is not None and self._owned and n_bytes:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - n_bytes)

    def close(self) -> None:
        """Close the file; standard output stays open.

        Raises:
            SinkError: The disk reports a failure on closing.
        """
        # Set to None first: even if closing fails, the number may soon belong to another file.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or not self._owned:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            raise SinkError(f"{self.name}: may not be on the disk: {reason_of(error)}") from error
