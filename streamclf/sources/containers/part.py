"""A stretch of a file that one decoder reads from its beginning to its end."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Reader = Literal["libsndfile", "ffmpeg", "any"]
"""Who reads it: one library alone; ``any`` tries libsndfile, then FFmpeg."""


NEXT_TO_NOTHING_S = 0.05
"""Audio shorter than this is next to nothing: less than any window, and than two frames of MP3."""


@dataclass(frozen=True)
class Part:
    """Where audio lies in a file, and how it is to be read.

    Attributes:
        start: First byte.
        end: Byte behind the last one; None for the end of the file.
        head: Header to read in place of all bytes before ``start``; empty where the part brings
            its own.
        reader: Who reads it.
        kind: Short name of the format (``WAV``, ``FLAC``, ...); empty if unknown.
        promised_samples: Samples a channel that the header promises; 0 for no promise.
        promised_s: The same in seconds, where samples cannot be told.
        cut_off: Why the last bytes show that the file is cut short; empty if they do not.
        remarks: What is odd about it, a line each; nothing is missing for it.
    """

    start: int = 0
    end: int | None = None
    head: bytes = b""
    reader: Reader = "any"
    kind: str = ""
    promised_samples: int = 0
    promised_s: float = 0.0
    cut_off: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def is_whole_file(self) -> bool:
        """Whether a decoder may simply be given the path."""
        return self.start == 0 and self.end is None and not self.head

    def behind(self, head: bytes, start: int, end: int) -> Part:
        """The same, with another header before its bytes."""
        return replace(self, head=head, start=start, end=end)

    def open(self, path: Path) -> PartFile:
        """Open it as a file of its own."""
        return PartFile(path, self.start, self.end, self.head)


class PartFile(io.RawIOBase):
    """A header, then a stretch of a file, to be read as one file."""

    def __init__(self, path: Path, start: int, end: int | None, head: bytes = b"") -> None:
        self._file = path.open("rb", buffering=0)
        self._head = head
        size = os.fstat(self._file.fileno()).st_size
        self._start = start
        self._size = len(head) + max((size if end is None else min(end, size)) - start, 0)
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def __len__(self) -> int:
        return self._size

    def tell(self) -> int:
        """Position from the beginning of the header."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read as many bytes as there is room for, fewer at the header's end."""
        view = memoryview(buffer).cast("B")
        if self._position < len(self._head):
            data = self._head[self._position : self._position + len(view)]
            view[: len(data)] = data
            n_bytes = len(data)
        else:
            n_wanted = max(min(len(view), self._size - self._position), 0)
            self._file.seek(self._start + self._position - len(self._head))
            n_bytes = self._file.readinto(view[:n_wanted]) or 0
        self._position += n_bytes
        return n_bytes

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()
