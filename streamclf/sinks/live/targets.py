"""Targets for the lines of a live run: files whose disk may be full and which others may move."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from streamclf.core.errors import SinkError, UsageError
from streamclf.sinks.live.rotation import Rotation
from streamclf.sinks.output_files import is_special, is_there, open_to_append, reason_of

MAX_UNFINISHED_LINE = 65_536
"""Longest unfinished line, in bytes, at the end of a file that can be continued."""


class Target(ABC):
    """Destination of bytes; once it is open, only the writing thread uses it.

    Attributes:
        name: Name in messages.
        header: First line of each new file, with its line break.
    """

    header = b""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def put(self, data: bytes) -> int:
        """Write whole lines, or the rest of one.

        Returns:
            Number of bytes written.

        Raises:
            OSError: Nothing was written.
        """

    def is_permanent(self, error: OSError) -> bool:
        """Whether writing will never succeed again after this error."""
        return False

    def begin(self) -> None:
        """Write the header, unless it has been written.

        Raises:
            OSError: The header cannot be written.
        """

    def reopen(self) -> bool:
        """Reopen the file of this name; False if this target cannot be reopened.

        Raises:
            OSError: The file cannot be opened.
        """
        return False

    def recover(self) -> None:
        """Prepare for another try after a failure.

        Raises:
            OSError: The failure persists.
        """

    def sync(self) -> None:
        """Flush the written data to the disk.

        Raises:
            OSError: The disk fails.
        """

    def close(self) -> None:
        """Release the file."""


class FileTarget(Target):
    """A file that can be rotated, may be moved away by others, and whose disk may be full.

    Args:
        path: The file, or a device.
        overwrite: Replace an existing file.
        append: Continue an existing file; an unfinished line at its end is cut off.
        rotation: Condition for starting a new file; None for no rotation.
        report: Called with one line about each failure, and about a line that was cut off.
        now: Returns local time.

    Raises:
        UsageError: The file exists and may neither be replaced nor continued.
        SinkError: The file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool = False,
        append: bool = False,
        rotation: Rotation | None = None,
        report: Callable[[str], None] = lambda message: None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        super().__init__(str(path))
        self._path = path
        self._report = report
        self._rotation = rotation or Rotation()
        self._now = now
        replace = os.O_TRUNC if overwrite else 0 if append else os.O_EXCL
        new = os.O_EXCL if not is_there(path) else replace
        self._descriptor: int | None = open_to_append(path, 0 if is_special(path) else new)
        try:
            self._measure()
            too_long = len(self._unfinished_line()) == MAX_UNFINISHED_LINE
        except OSError as error:
            self.close()
            reason = reason_of(error)
            raise SinkError(f"{path}: its end cannot be read to go on there: {reason}") from error
        if too_long:
            self.close()
            raise UsageError(
                f"{path}: cannot be continued: its last {MAX_UNFINISHED_LINE} bytes hold no line "
                "break; name another file"
            )

    @property
    def _open_descriptor(self) -> int:
        """The descriptor of the open file.

        Raises:
            OSError: No file is open.
        """
        if self._descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptor

    def _open(self, flags: int = 0) -> int:
        flags |= os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        return os.open(self._path, flags, 0o666)

    def _measure(self) -> None:
        """Measure the file, and cut off an unfinished line, which a power cut may have left."""
        status = os.fstat(self._open_descriptor)
        self._regular = stat.S_ISREG(status.st_mode)
        self._size = status.st_size if self._regular else 0
        self._started = datetime.fromtimestamp(status.st_mtime) if self._size else self._now()
        unfinished = self._unfinished_line()
        if 0 < len(unfinished) < MAX_UNFINISHED_LINE:
            self._size -= len(unfinished)
            os.ftruncate(self._open_descriptor, self._size)
            text = unfinished[:200].decode("utf-8", "backslashreplace")
            self._report(f"warning: {self.name}: half a line at its end was cut off: {text}")

    def _unfinished_line(self) -> bytes:
        """Return the bytes after the last line break, at most `MAX_UNFINISHED_LINE`."""
        if not self._size:
            return b""
        with self._path.open("rb") as file:
            file.seek(max(self._size - MAX_UNFINISHED_LINE, 0))
            end = file.read()
        return end[end.rfind(b"\n") + 1 :]

    def put(self, data: bytes) -> int:
        """Append whole lines, all of them or none; rotate before if that is due."""
        now = self._now()
        if self._size <= len(self.header):
            self._started = now
        elif self._rotation.is_due(self._size, len(data), self._started, now):
            self._rotate(now)
        self.begin()
        self._append(data)
        return len(data)

    def begin(self) -> None:
        """Write the header into an empty file."""
        if not self._size and self.header:
            self._append(self.header)

    def _append(self, data: bytes) -> None:
        n_written = 0
        try:
            while n_written < len(data):
                n_written += os.write(self._open_descriptor, data[n_written:])
        except OSError:
            if n_written:
                # Remove the part of the lines that fit on a full disk.
                with contextlib.suppress(OSError):
                    size = os.fstat(self._open_descriptor).st_size
                    os.ftruncate(self._open_descriptor, size - n_written)
            raise
        self._size += len(data) if self._regular else 0

    def _rotate(self, now: datetime) -> None:
        self.sync()
        name = self._rotation.name_for(self._path, self._started, now)
        self.close()  # Windows does not rename open files
        try:
            self._path.rename(name)
        except FileNotFoundError:
            pass  # somebody has moved it away
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._report(
                f"warning: {self.name}: cannot be set aside as {name.name}: {reason}; "
                "it is not rotated any more"
            )
            self._rotation = Rotation()
        self.reopen()
        self._started = now

    def reopen(self) -> bool:
        """Continue with the file that has the name now, or with a new one."""
        before, self._descriptor = self._descriptor, self._open()
        self._release(before)
        self._measure()
        return True

    def recover(self) -> None:
        """Reopen the file, because the disk may have been removed and be back."""
        self.reopen()

    def sync(self) -> None:
        """Flush the file to the disk with `os.fsync`."""
        if self._regular:
            os.fsync(self._open_descriptor)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        before, self._descriptor = self._descriptor, None
        self._release(before)

    def _release(self, descriptor: int | None) -> None:
        """Close a descriptor once.

        The descriptor is free even after an error, and may belong to another file next, so it must
        not be closed twice. An error of the disk (NFS reports some only now) is reported, and the
        run goes on.
        """
        if descriptor is None:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._report(f"warning: {self.name}: its last lines may not be on the disk: {reason}")
