"""What lines are written into by a live run: a file that may fill up or move, a pipe."""

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

HALF_LINE_BYTES = 65_536
"""What is longer than this is no half line of ours."""


class Target(ABC):
    """Somewhere bytes go, called from the writing thread alone once it is open.

    Attributes:
        name: What messages call it.
        header: Begins each new file; with its line break.
    """

    header = b""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def put(self, data: bytes) -> int:
        """Write whole lines, or the rest of one; returns how many bytes were taken.

        Raises:
            OSError: Nothing was taken.
        """

    def is_gone(self, error: OSError) -> bool:
        """Whether what failed so will never succeed again."""
        return False

    def begin(self) -> None:
        """Write the header, where there is none yet.

        Raises:
            OSError: It cannot be written.
        """

    def reopen(self) -> bool:
        """Open the file of this name anew; False where that means nothing.

        Raises:
            OSError: It cannot be opened.
        """
        return False

    def recover(self) -> None:
        """Make ready for another try after a failure.

        Raises:
            OSError: There is no use in trying yet.
        """

    def sync(self) -> None:
        """Have the system bring to the disk what was written.

        Raises:
            OSError: The disk refuses.
        """

    def close(self) -> None:
        """Release the file."""


class FileTarget(Target):
    """A file, which can be set aside for a new one, moved away by others, or be full for a while.

    Args:
        path: The file; a device is written to as it is.
        overwrite: Replace a file that is there.
        append: Go on with a file that is there; half a line at its end is cut off.
        rotation: When to begin a new file.
        tell: Told what was cut off, in a line.
        now: Local time.

    Raises:
        UsageError: The file is there and may neither be replaced nor continued.
        SinkError: It cannot be created.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool = False,
        append: bool = False,
        rotation: Rotation | None = None,
        tell: Callable[[str], None] = lambda message: None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        super().__init__(str(path))
        self._path = path
        self._tell = tell
        self._rotation = rotation or Rotation()
        self._now = now
        replace = os.O_TRUNC if overwrite else 0 if append else os.O_EXCL
        new = os.O_EXCL if not is_there(path) else replace
        self._descriptor: int | None = open_to_append(path, 0 if is_special(path) else new)
        try:
            self._measure()
            too_long = len(self._half_line()) == HALF_LINE_BYTES
        except OSError as error:
            self.close()
            reason = reason_of(error)
            raise SinkError(f"{path}: its end cannot be read to go on there: {reason}") from error
        if too_long:
            self.close()
            raise UsageError(
                f"{path}: cannot be continued: its last {HALF_LINE_BYTES} bytes hold no line "
                "break; name another file"
            )

    @property
    def _number(self) -> int:
        """The open file's.

        Raises:
            OSError: There is none.
        """
        if self._descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptor

    def _open(self, flags: int = 0) -> int:
        flags |= os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        return os.open(self._path, flags, 0o666)

    def _measure(self) -> None:
        """Look at what the file holds; half a line, which a power cut can leave, is cut off."""
        status = os.fstat(self._number)
        self._regular = stat.S_ISREG(status.st_mode)
        self._size = status.st_size if self._regular else 0
        self._begun = datetime.fromtimestamp(status.st_mtime) if self._size else self._now()
        half = self._half_line()
        if 0 < len(half) < HALF_LINE_BYTES:
            self._size -= len(half)
            os.ftruncate(self._number, self._size)
            text = half[:200].decode("utf-8", "backslashreplace")
            self._tell(f"warning: {self.name}: half a line at its end was cut off: {text}")

    def _half_line(self) -> bytes:
        """What stands behind the last line break, at most `HALF_LINE_BYTES`."""
        if not self._size:
            return b""
        with self._path.open("rb") as file:
            file.seek(max(self._size - HALF_LINE_BYTES, 0))
            end = file.read()
        return end[end.rfind(b"\n") + 1 :]

    def put(self, data: bytes) -> int:
        """Append whole lines, all of them or none."""
        now = self._now()
        if self._size <= len(self.header):
            self._begun = now
        elif self._rotation.is_due(self._size, len(data), self._begun, now):
            self._set_aside(now)
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
                n_written += os.write(self._number, data[n_written:])
        except OSError:
            if n_written:
                # What a full disk took of the last lines.
                with contextlib.suppress(OSError):
                    size = os.fstat(self._number).st_size
                    os.ftruncate(self._number, size - n_written)
            raise
        self._size += len(data) if self._regular else 0

    def _set_aside(self, now: datetime) -> None:
        self.sync()
        name = self._rotation.name_for(self._path, self._begun, now)
        self.close()  # Windows gives no file that is open another name
        try:
            self._path.rename(name)
        except FileNotFoundError:
            pass  # others have moved it away
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._tell(
                f"warning: {self.name}: cannot be set aside as {name.name}: {reason}; "
                "it is not rotated any more"
            )
            self._rotation = Rotation()
        self.reopen()
        self._begun = now

    def reopen(self) -> bool:
        """Go on with the file that has the name now, or with a new one."""
        before, self._descriptor = self._descriptor, self._open()
        self._release(before)
        self._measure()
        return True

    def recover(self) -> None:
        """Reopen: the disk may have been taken away and be back."""
        self.reopen()

    def sync(self) -> None:
        """`os.fsync`."""
        if self._regular:
            os.fsync(self._number)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        before, self._descriptor = self._descriptor, None
        self._release(before)

    def _release(self, descriptor: int | None) -> None:
        """Close a file that is written to no more.

        Its number is free whatever the system says of it, and may be another file's next: closed
        once, never again. A disk that fails (NFS tells so only now) is a word, no reason to stop.
        """
        if descriptor is None:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._tell(f"warning: {self.name}: its last lines may not be on the disk: {reason}")
