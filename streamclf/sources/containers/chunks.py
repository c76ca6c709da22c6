"""Chunks, one behind the other: an identifier, a size, and as many bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_MOST_CHUNKS = 10_000
_NAME = re.compile(rb"[ -~]{4}")
_NAMES = (
    "LIST fact PEAK bext guan wamd iXML _PMX aXML axml chna cue_ smpl inst plst labl note ltxt "
    "acid cart JUNK junk PAD_ FLLR fake id3_ ID3_ umid LGWV levl minf elm1 regn strc afsp DISP "
    "SAUR SNDM olym MARK COMT APPL NAME AUTH ANNO (c)_ MIDI INST AESD r64m info strg midi uuid "
    "ovwf list"
)
_KNOWN = frozenset(name.replace("_", " ").encode() for name in _NAMES.split()) | {b"_PMX"}


class Dialect(NamedTuple):
    """How chunks are written.

    Attributes:
        id_bytes: Length of an identifier.
        size_format: Of the size, for `struct`.
        align: Chunks begin at multiples of so many bytes.
        counts_itself: Whether the size counts identifier and size, too.
        begins: What a whole file begins with.
    """

    id_bytes: int
    size_format: str
    align: int
    counts_itself: bool = False
    begins: tuple[bytes, ...] = ()

    @property
    def head_bytes(self) -> int:
        """Length of identifier and size."""
        return self.id_bytes + struct.calcsize(self.size_format)

    def read_head(self, file: BinaryIO, at: int) -> tuple[bytes, int] | None:
        """Identifier and size of the chunk at a byte; None at the end."""
        try:
            file.seek(at)
        except (OSError, OverflowError):
            return None  # farther than any file of this disk
        head = file.read(self.head_bytes)
        if len(head) < self.head_bytes:
            return None
        (size,) = struct.unpack(self.size_format, head[self.id_bytes :])
        return head[: self.id_bytes], size - (self.head_bytes if self.counts_itself else 0)

    def walk(self, file: BinaryIO, at: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield identifier, first byte and size of each chunk."""
        for _ in range(_MOST_CHUNKS):
            head = self.read_head(file, at)
            if head is None:
                return
            name, size = head
            at += self.head_bytes
            yield name, at, size
            if size < 0:
                return
            at += size + -size % self.align


class Behind(NamedTuple):
    """What lies behind the samples: chunks and tags alone.

    Attributes:
        more: First and last byte of further chunks of samples.
        next_start: Where another file begins.
        n_rest: Bytes behind the last chunk that are none.
    """

    more: tuple[tuple[int, int], ...] = ()
    next_start: int | None = None
    n_rest: int = 0


def look_behind(file: BinaryIO, dialect: Dialect, at: int, size: int) -> Behind | None:
    """Follow chunks from a byte to the file's end; None if there is no chunk at that byte.

    A chunk of an unknown name counts if the chunks from it on end where the file does.
    """
    for start in dict.fromkeys((at + -at % dialect.align, at)):
        behind = _follow(file, dialect, start, size)
        if behind is not None:
            return behind
    return None


def _follow(file: BinaryIO, dialect: Dialect, at: int, size: int) -> Behind | None:
    is_sure, begin = False, at
    more: tuple[tuple[int, int], ...] = ()
    while at < size:
        file.seek(at)
        head = file.read(16)
        if head[:4] in dialect.begins and head[8:12] in _FORMS:
            return Behind(more, next_start=at)
        if _is_tag(head, size - at):
            return Behind(more)
        found = dialect.read_head(file, at)
        name = found[0][:4] if found else b""
        if found is None or not _NAME.fullmatch(name) or found[1] < 0:
            break
        is_sure = is_sure or name in _KNOWN
        body, end = at + dialect.head_bytes, at + dialect.head_bytes + found[1]
        if end > size and name not in _KNOWN:
            # Of an unknown name it is more likely sound than a chunk that is cut short.
            break
        if name == b"data" and found[1]:
            more += ((body, end),)
        at = end + -end % dialect.align
    if at >= size or (at > begin and size - at < dialect.head_bytes):
        return Behind(more)
    return Behind(more, n_rest=size - at) if is_sure else None


_FORMS = (b"WAVE", b"AIFF", b"AIFC")


def _is_tag(head: bytes, n_left: int) -> bool:
    return (head[:3] == b"TAG" and n_left == 128) or head[:8] == b"APETAGEX" or head[:4] == b"ID3\3"
