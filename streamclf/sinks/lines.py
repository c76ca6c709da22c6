"""A file, or standard output, written in whole lines."""

from __future__ import annotations

import contextlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from pathlib import Path

from streamclf.core.errors import SinkError
from streamclf.core.standard_streams import wait_for_room
from streamclf.core.stats import Statistics
from streamclf.sinks.base import Sink, StreamInfo
from streamclf.sinks.output_files import is_special, open_special, open_to_append, reason_of

HEARD, UNFINISHED = "heard", "unfinished"
"""The type of a line or row about a recording that was heard to its end, or was not."""


class Lines(ABC):
    """Something that takes whole lines.

    Attributes:
        describe_loss: Writes a line about so many lost ones, in their place; None writes none.
    """

    describe_loss: Callable[[int], str] | None = None

    @property
    def n_lost(self) -> int:
        """Lines that could not be written, and will not be."""
        return 0

    def write_header(self, line: str) -> None:
        """Begin a file with a line, and each other one that takes its place."""
        self.write(line)

    @abstractmethod
    def write(self, *lines: str) -> None:
        """Append lines, given without their line breaks."""

    def reopen(self) -> None:
        """Open the file of this name anew, where another may have moved it away."""

    def finish(self) -> None:
        """Begin to end; does not wait."""

    @abstractmethod
    def close(self) -> None:
        """Finish."""


class LineSink(Sink):
    """A sink whose results become lines; the subclass says which.

    Args:
        file: Where the lines go.
        marks: Which lines about recordings are written: `HEARD`, `UNFINISHED`.
    """

    def __init__(self, file: Lines, *, marks: Collection[str] = ()) -> None:
        self._file = file
        self._marks = marks
        self._stream: StreamInfo | None = None

    @property
    def n_lost(self) -> int:
        """Lines that could not be written, and will not be."""
        return self._file.n_lost

    def begin(self, stream: StreamInfo) -> None:
        """Take note of the stream."""
        self._stream = stream

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """Write a line about the recording, where that was asked for."""
        stream, self._stream = self._stream, None
        kind = HEARD if whole else UNFINISHED
        if stream is not None and kind in self._marks:
            self._file.write(self.mark(kind, stream, statistics))

    def mark(self, kind: str, stream: StreamInfo, statistics: Statistics) -> str:
        """The line that says how far a recording was heard."""
        raise NotImplementedError

    def reopen(self) -> None:
        """Open the file of this name anew."""
        self._file.reopen()

    def finish(self) -> None:
        """Let what waits be written."""
        self._file.finish()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PrintedLines(Lines):
    """Lines handed to a function, such as one that prints above a progress bar.

    Args:
        write: Takes text with its line breaks.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def write(self, *lines: str) -> None:
        """Hand the lines on."""
        self._write("".join(f"{line}\n" for line in lines))

    def close(self) -> None:
        """Nothing to release."""


class LineFile(Lines):
    """Appends whole lines, each handed to the system at once, so that a crash leaves no half.

    Args:
        path: The file, None for standard output; a named pipe or a device is written to as it is.
        overwrite: Replace a file that is there.
        append: Go on with a file that is there, whose last line is whole.

    Raises:
        UsageError: The file is there and may not be replaced.
        SinkError: It cannot be created.
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
            how = os.O_TRUNC if overwrite else 0 if append else os.O_EXCL
            self._descriptor = open_to_append(path, how)

    def write_header(self, line: str) -> None:
        """Begin the file with a line, where it is not gone on with."""
        if self._owned and self._descriptor is not None and os.fstat(self._descriptor).st_size:
            return
        self.write(line)

    def write(self, *lines: str) -> None:
        """Append lines, given without their line breaks.

        Raises:
            SinkError: The disk is full, nobody reads the pipe any more, ...
            BrokenPipeError: Nobody reads standard output any more.
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
            self._take_back(n_written)
            raise SinkError(
                f"{self.name}: cannot be written: {reason_of(error)}; the lines before are kept"
            ) from error

    def _put(self, data: memoryview) -> int:
        """Write what there is room for, though who shares the descriptor set it not to wait."""
        assert self._descriptor is not None
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                wait_for_room(self._descriptor)

    def _take_back(self, n_bytes: int) -> None:
        """Cut off what a full disk took of the last lines."""
        if self._descriptor is not None and self._owned and n_bytes:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - n_bytes)

    def close(self) -> None:
        """Close the file; standard output stays open.

        Raises:
            SinkError: The disk failed, and tells so only now.
        """
        # Forgotten first: its number may be another file's, even where closing fails.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or not self._owned:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            raise SinkError(f"{self.name}: may not be on the disk: {reason_of(error)}") from error
