"""Ogg: the links of a chained file, and a check whether its last page is whole.

A chained file holds several streams one after the other, called links. Each link may have another
codec, sample rate or number of channels (RFC 3533, section 4).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from streamclf.sources.containers.part import Part
from streamclf.sources.containers.streamed_file import StreamedHandle

_MARK = b"OggS"
_HEAD_BYTES = 27
_BEGINS, _ENDS = 2, 4
"""Flags of the first and of the last page of a stream."""
_HOLE_BYTES = 32_768
"""Bytes between two pages from which on they are hidden: FFmpeg searches 64 kB for the next page,
and then gives up."""


@dataclass
class _Link:
    """A link of the chain: one stream, or several multiplexed ones.

    Attributes:
        start: First byte.
        serials: Serial numbers of its streams.
        ended: Serial numbers of the streams whose last page was found.
        is_begun: Whether a page followed the first pages of the streams.
        holes: First byte and end of damaged stretches between its pages.
        has_audio: Whether a page was found on which a packet of audio ends.
        begins_damaged: Whether foreign bytes come before the first of those.
    """

    start: int
    serials: set[bytes]
    ended: set[bytes]
    is_begun: bool = False
    holes: list[tuple[int, int]] = field(default_factory=list)
    has_audio: bool = False
    begins_damaged: bool = False


def find_parts(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Describe the links of an Ogg file, from the headers of its pages.

    Args:
        file: The file. Of a streamed one, a chain counts as one part.
        start: First byte of the Ogg data.
        size: Size of the file in bytes.
    """
    if isinstance(file, StreamedHandle):
        # To walk the pages is to fetch the whole file: its links are found in a copy of it.
        yield Part(start, reader="ffmpeg", kind="OGG")
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        links, end = _walk(data, start, size)
        is_torn = data[end : end + 4] == _MARK[: size - end] if end < size else False
    for link, following in zip(links, [*links[1:], None], strict=True):
        is_last = following is None
        cut_off = ""
        remarks: tuple[str, ...] = ()
        is_ended = link.ended >= link.serials
        if is_last and (is_torn or (end < size and not is_ended)):
            cut_off = "its last page is missing or damaged"
        elif not is_ended:
            remarks = ("its last page has no mark of an end: nothing else says that it is cut",)
        if n_lost := sum(last - first for first, last in link.holes):
            remarks += (f"{n_lost} bytes between its pages are damaged",)
        if is_last and not is_torn and end < size:
            remarks += (f"{size - end} bytes behind its last page are no audio",)
        yield Part(
            link.start,
            following.start if following is not None else None,
            reader="ffmpeg",
            kind="OGG",
            cut_off=cut_off,
            remarks=remarks,
            holes=tuple(link.holes),
            is_single=len(link.serials) == 1,
            begins_damaged=link.begins_damaged,
        )


def _walk(data: mmap.mmap, start: int, size: int) -> tuple[list[_Link], int]:
    """Find the links, and the end of the last whole page."""
    links: list[_Link] = []
    at = end = last = start
    while 0 <= at <= size - _HEAD_BYTES:
        body = at + _HEAD_BYTES + data[at + 26]
        page_end = body + sum(data[at + _HEAD_BYTES : body])
        if data[at : at + 4] != _MARK or page_end > size:
            at = data.find(_MARK, at + 1)
            continue
        flags, serial = data[at + 5], data[at + 14 : at + 18]
        if flags & _BEGINS and (not links or links[-1].is_begun):
            links.append(_Link(at if links else start, set(), set()))
        if links:
            link = links[-1]
            if at - end >= _HOLE_BYTES and end > link.start:
                link.holes.append((end, at))
            if at > end > link.start and not link.has_audio:
                link.begins_damaged = True
            granule = int.from_bytes(data[at + 6 : at + 14], "little", signed=True)
            if granule > 0 and not link.has_audio:
                link.has_audio = _is_whole(data[at:page_end])
                link.begins_damaged = link.begins_damaged or not link.has_audio
            link.serials.add(serial)
            link.is_begun = link.is_begun or not flags & _BEGINS
            if flags & _ENDS:
                link.ended.add(serial)
        last, at, end = at, page_end, page_end
    if not _is_whole(data[last:end]):
        end = last
    return links or [_Link(start, set(), set())], end


def _is_whole(page: bytes) -> bool:
    """Whether the checksum of a page is right (RFC 3533, section 6)."""
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc = (crc << 8 ^ _CRC[crc >> 24 ^ byte]) & 0xFFFF_FFFF
    return crc == int.from_bytes(page[22:26], "little")


def _crc_of(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = crc << 1 ^ (0x04C1_1DB7 if crc >> 31 & 1 else 0)
    return crc & 0xFFFF_FFFF


_CRC = [_crc_of(byte) for byte in range(256)]
