"""A file that has no path on this machine, such as an object in a store, read in ranges."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from streamclf.core.errors import StreamclfError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class StreamedFile(ABC):
    """A file that is read in ranges.

    Decoders call it from C, where an exception is lost and looks like the end of the file. So a
    range that cannot be had is kept in ``fault``, and whoever decodes must look there.

    Attributes:
        path: Its path in the place where it lies, with as many folders as are known.
        size: Its size in bytes.
        fault: Why a range cannot be had; None as long as all could.
    """

    path: PurePosixPath
    size: int
    fault: StreamclfError | None = None

    @abstractmethod
    def read_at(self, start: int, n_bytes: int) -> bytes:
        """Read a range, which lies within the file.

        Returns:
            At least one byte and at most ``n_bytes``.

        Raises:
            StreamclfError: The range cannot be had; it is not worth while to ask for it again.
        """

    def open(self) -> StreamedHandle:
        """Open the file for reading from its beginning."""
        return StreamedHandle(self)

    def check(self) -> None:
        """Raise the fault, if there is one."""
        if self.fault is not None:
            raise self.fault

    def __str__(self) -> str:
        return str(self.path)


File: TypeAlias = Path | StreamedFile
"""A file on this machine, or elsewhere."""


class StreamedHandle(io.RawIOBase):
    """A place in a streamed file, for reading on; all handles share what was fetched.

    Args:
        file: The file.
    """

    def __init__(self, file: StreamedFile) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, but for the end of the file or a fault, which `StreamedFile` keeps."""
        view = memoryview(buffer).cast("B")
        n_bytes, file = 0, self._file
        while n_bytes < len(view) and self._position < file.size and file.fault is None:
            wanted = min(len(view) - n_bytes, file.size - self._position)
            try:
                data = file.read_at(self._position, wanted)
            except StreamclfError as error:
                file.fault = error
                break
            view[n_bytes : n_bytes + len(data)] = data
            n_bytes += len(data)
            self._position += len(data)
        return n_bytes


def open_binary(file: File) -> io.RawIOBase:
    """Open a file without a buffer.

    Raises:
        OSError: A file on this machine cannot be read.
    """
    return file.open() if isinstance(file, StreamedFile) else file.open("rb", buffering=0)


def pure_path(file: File) -> PurePosixPath | Path:
    """Return the path of a file, from the top where it is known."""
    return file.path if isinstance(file, StreamedFile) else file.absolute()
