"""Chunks of RIFF and its relatives: an identifier, a size, and that many bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_MAX_CHUNKS = 10_000
_NAME = re.compile(rb"[ -~]{4}")
_NAMES = (
    "LIST fact PEAK bext guan wamd iXML _PMX aXML axml chna cue_ smpl inst plst labl note ltxt "
    "acid cart JUNK junk PAD_ FLLR fake id3_ ID3_ umid LGWV levl minf elm1 regn strc afsp DISP "
    "SAUR SNDM olym MARK COMT APPL NAME AUTH ANNO (c)_ MIDI INST AESD r64m info strg midi uuid "
    "ovwf list"
)
_KNOWN = frozenset(name.replace("_", " ").encode() for name in _NAMES.split()) | {b"_PMX"}


class ChunkFormat(NamedTuple):
    """Layout of chunks in one family of formats.

    Attributes:
        id_bytes: Length of an identifier in bytes.
        size_format: Format of the size for `struct`.
        align: Chunks begin at multiples of this number of bytes.
        counts_itself: Whether the size includes the identifier and the size field.
        begins: Identifiers with which a file of this family begins.
    """

    id_bytes: int
    size_format: str
    align: int
    counts_itself: bool = False
    begins: tuple[bytes, ...] = ()

    @property
    def head_bytes(self) -> int:
        """Length of identifier and size field in bytes."""
        return self.id_bytes + struct.calcsize(self.size_format)

    def read_head(self, file: BinaryIO, at: int) -> tuple[bytes, int] | None:
        """Read the identifier and size of the chunk at byte ``at``; None at the end of the file."""
        try:
            file.seek(at)
        except (OSError, OverflowError):
            return None  # beyond the largest offset of this file system
        head = file.read(self.head_bytes)
        if len(head) < self.head_bytes:
            return None
        (size,) = struct.unpack(self.size_format, head[self.id_bytes :])
        return head[: self.id_bytes], size - (self.head_bytes if self.counts_itself else 0)

    def walk(self, file: BinaryIO, at: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield the identifier, first byte and size of each chunk, from byte ``at`` on."""
        for _ in range(_MAX_CHUNKS):
            head = self.read_head(file, at)
            if head is None:
                return
            name, size = head
            at += self.head_bytes
            yield name, at, size
            if size < 0:
                return
            at += size + -size % self.align


class Trailer(NamedTuple):
    """Content of a file after its samples, where this is only chunks and tags.

    Attributes:
        more: First byte and end of further chunks of samples.
        next_start: First byte of another file joined to this one; None for none.
        n_rest: Number of bytes after the last chunk that are not a chunk.
    """

    more: tuple[tuple[int, int], ...] = ()
    next_start: int | None = None
    n_rest: int = 0


def read_trailer(file: BinaryIO, chunk_format: ChunkFormat, at: int, size: int) -> Trailer | None:
    """Follow the chunks from byte ``at`` to the end of the file.

    A chunk of an unknown name counts as one if the chunks from it on end with the file.

    Args:
        file: The file.
        chunk_format: Layout of its chunks.
        at: Byte after the samples; padding may follow it.
        size: Size of the file in bytes.

    Returns:
        The content; None if there is no chunk at that byte.
    """
    for start in dict.fromkeys((at + -at % chunk_format.align, at)):
        trailer = _follow(file, chunk_format, start, size)
        if trailer is not None:
            return trailer
    return None


def _follow(file: BinaryIO, chunk_format: ChunkFormat, at: int, size: int) -> Trailer | None:
    is_sure, begin = False, at
    more: tuple[tuple[int, int], ...] = ()
    while at < size:
        file.seek(at)
        head = file.read(16)
        if head[:4] in chunk_format.begins and head[8:12] in _FORMS:
            return Trailer(more, next_start=at)
        if _is_tag(head, size - at):
            return Trailer(more)
        found = chunk_format.read_head(file, at)
        name = found[0][:4] if found else b""
        if found is None or not _NAME.fullmatch(name) or found[1] < 0:
            break
        is_sure = is_sure or name in _KNOWN
        body, end = at + chunk_format.head_bytes, at + chunk_format.head_bytes + found[1]
        if end > size and name not in _KNOWN:
            # It ends after the file: with an unknown name it is more likely sound than a chunk.
            break
        if name == b"data" and found[1]:
            more += ((body, end),)
        at = end + -end % chunk_format.align
    if at >= size or (at > begin and size - at < chunk_format.head_bytes):
        return Trailer(more)
    return Trailer(more, n_rest=size - at) if is_sure else None


_FORMS = (b"WAVE", b"AIFF", b"AIFC")


def _is_tag(head: bytes, n_left: int) -> bool:
    return (head[:3] == b"TAG" and n_left == 128) or head[:8] == b"APETAGEX" or head[:4] == b"ID3\3"
