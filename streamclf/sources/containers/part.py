"""Parts of files, each of which one decoder reads from its beginning to its end."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from streamclf.sources.containers.streamed_file import File, StreamedFile, open_binary

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from streamclf.sources.containers.padded_samples import Recoding

Reader = Literal["libsndfile", "ffmpeg", "any"]
"""The library that decodes a part; ``any`` tries libsndfile, then FFmpeg."""

NEGLIGIBLE_S = 0.05
"""Missing audio below this length in seconds is ignored; it is less than two frames of MP3, and
less than any window."""


@dataclass(frozen=True)
class Part:
    """A part of a file that holds audio, and how to read it.

    Attributes:
        start: First byte.
        end: Byte after the last one; None for the end of the file.
        head: Header to read in place of all bytes before ``start``; empty where the part has its
            own.
        reader: The library that decodes it.
        kind: Short name of the format (``WAV``, ``FLAC``, ...); empty if unknown.
        promised_samples: Samples a channel that the header states; 0 if it states none.
        promised_s: Length in seconds that the header states, where samples cannot be known; else 0.
        cut_off: Evidence in the last bytes that the file is truncated, in words; empty for none.
        remarks: Oddities that cost no audio, one line each.
        holes: First byte and end of damaged stretches that its decoder is not shown.
        is_single: Whether it is known to be one stream of Ogg, whose last page tells its length.
        begins_damaged: Whether there are foreign bytes where its first audio should be.
        recoding: How to make plain samples of those behind ``head``; None where they are plain.
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
    holes: tuple[tuple[int, int], ...] = ()
    is_single: bool = False
    begins_damaged: bool = False
    recoding: Recoding | None = None

    @property
    def is_whole_file(self) -> bool:
        """Whether the part is the whole file, so that a decoder can open it by its path."""
        return self.start == 0 and self.end is None and not self.head and not self.holes

    def with_header(self, head: bytes, start: int, end: int) -> Part:
        """Return the same part with another header, first byte and end."""
        return replace(self, head=head, start=start, end=end)

    def open(self, file: File) -> PartFile:
        """Open the part as a file."""
        return PartFile(file, self.start, self.end, self.head, self.holes, self.recoding)


class PartFile(io.RawIOBase):
    """A header followed by a range of a file, readable as one file.

    Args:
        file: The file.
        start: First byte of the range.
        end: Byte after the range; None for the end of the file.
        head: Header that comes before it.
        holes: First byte and end of stretches that are left out, in order.
        recoding: How to make plain samples of those in the range; None to read it as it is.

    Attributes:
        name: Name of the file, by whose ending FFmpeg tells some formats.
    """

    def __init__(
        self,
        file: File,
        start: int,
        end: int | None,
        head: bytes = b"",
        holes: Sequence[tuple[int, int]] = (),
        recoding: Recoding | None = None,
    ) -> None:
        self._file = open_binary(file)
        self.name = file.path.name if isinstance(file, StreamedFile) else "<none>"
        self._head = head
        self._recoding = recoding
        size = self._file.seek(0, os.SEEK_END)
        stop = max(size if end is None else min(end, size), start)
        begins, ends = [start, *(hole[1] for hole in holes)], [*(hole[0] for hole in holes), stop]
        self._pieces = list(zip(begins, ends, strict=True))
        self._size = len(head) + sum(last - first for first, last in self._pieces)
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def __len__(self) -> int:
        return self._size

    def tell(self) -> int:
        """Return the position in bytes from the beginning of the header."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer; a read ends with the header and at a hole, whatever room there is."""
        view = memoryview(buffer).cast("B")
        if self._position < len(self._head):
            data = self._head[self._position : self._position + len(view)]
            view[: len(data)] = data
            n_bytes = len(data)
        elif self._recoding is not None:
            data = self._read_plain(self._recoding, len(view))
            view[: len(data)] = data
            n_bytes = len(data)
        else:
            at, n_left = self._find(self._position - len(self._head))
            self._file.seek(at)
            n_bytes = self._file.readinto(view[: min(len(view), n_left)]) or 0
        self._position += n_bytes
        return n_bytes

    def _read_plain(self, recoding: Recoding, n_bytes: int) -> bytes:
        """Read at most ``n_bytes`` of plain samples; a range with padded ones has no holes."""
        position, width = self._position - len(self._head), recoding.n_bytes
        n_before = position % width
        at, n_left = self._find(position - n_before)
        self._file.seek(at)
        data = self._file.read(min(n_before + n_bytes + -(n_before + n_bytes) % width, n_left))
        whole = len(data or b"") // width * width
        plain = recoding.apply((data or b"")[:whole])
        return plain[n_before : n_before + n_bytes]

    def _find(self, position: int) -> tuple[int, int]:
        """Return the byte of the file at a position behind the header, and the bytes to its end."""
        for first, last in self._pieces:
            if position < last - first:
                return first + position, last - first - position
            position -= last - first
        return last, 0

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()
