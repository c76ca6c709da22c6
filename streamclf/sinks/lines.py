"""A file, or standard output, written in whole lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from streamclf.errors import SinkError, UsageError


class Lines(Protocol):
    """Something that takes whole lines."""

    def write(self, *lines: str) -> None:
        """Append lines, given without their line breaks."""

    def close(self) -> None:
        """Finish."""


class PrintedLines:
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


class LineFile:
    """Appends whole lines, each handed to the system at once, so that a crash leaves no half.

    Args:
        path: The file, or None for standard output.
        overwrite: Replace a file that is there.

    Raises:
        UsageError: The file is there and may not be replaced.
        SinkError: It cannot be created.
    """

    def __init__(self, path: Path | None, *, overwrite: bool = False) -> None:
        self.name = "standard output" if path is None else str(path)
        self._owned = path is not None
        if path is None:
            sys.stdout.flush()
            self._descriptor: int | None = sys.stdout.fileno()
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        flags |= os.O_TRUNC if overwrite else os.O_EXCL
        try:
            self._descriptor = os.open(path, flags, 0o666)
        except FileExistsError as error:
            raise UsageError(
                f"{path}: exists already: add --overwrite to replace it, or name another file"
            ) from error
        except OSError as error:
            raise SinkError(f"{path}: cannot be created: {error.strerror}") from error

    def write(self, *lines: str) -> None:
        """Append lines, given without their line breaks.

        Raises:
            SinkError: The disk is full, the pipe closed, ...
        """
        if self._descriptor is None:
            raise SinkError(f"{self.name}: is closed already")
        data = memoryview("".join(f"{line}\n" for line in lines).encode())
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SinkError(f"{self.name}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._descriptor is not None and self._owned:
            os.close(self._descriptor)
        self._descriptor = None
