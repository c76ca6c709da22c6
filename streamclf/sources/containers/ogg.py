"""Ogg: its links (a chain of streams, one behind the other) and whether its last page is whole.

Each link may have another codec, rate or number of channels (RFC 3533, section 4).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from streamclf.sources.containers.part import Part

_MARK = b"OggS"
_HEAD = 27
_BEGINS, _ENDS = 2, 4
"""Flags of a page: the first of its stream, the last."""


@dataclass
class _Link:
    """A stream, or several side by side.

    Attributes:
        start: First byte.
        serials: Of its streams.
        ended: Those whose last page was seen.
        is_begun: Whether a page followed those that begin streams.
    """

    start: int
    serials: set[bytes]
    ended: set[bytes]
    is_begun: bool = False


def survey(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Find the links of an Ogg file, by the headers of its pages.

    Args:
        file: The file.
        start: Where it begins.
        size: Of the file.
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        links, end = _walk(data, start, size)
        torn = data[end : end + 4] == _MARK[: size - end] if end < size else False
    for link, following in zip(links, [*links[1:], None], strict=True):
        is_last = following is None
        cut_off = ""
        remarks: tuple[str, ...] = ()
        if is_last and torn:
            cut_off = "its last page is missing or damaged"
        elif not link.ended >= link.serials:
            remarks = ("its last page has no mark of an end: nothing else says that it is cut",)
        if is_last and not torn and end < size:
            remarks += (f"{size - end} bytes behind its last page are no audio",)
        yield Part(
            link.start,
            following.start if following is not None else None,
            reader="ffmpeg",
            kind="OGG",
            cut_off=cut_off,
            remarks=remarks,
        )


def _walk(data: mmap.mmap, start: int, size: int) -> tuple[list[_Link], int]:
    """The links, and where the last whole page ends."""
    links: list[_Link] = []
    at = end = start
    while 0 <= at <= size - _HEAD:
        n_segments = data[at + 26]
        behind = at + _HEAD + n_segments + sum(data[at + _HEAD : at + _HEAD + n_segments])
        if data[at : at + 4] != _MARK or behind > size:
            at = data.find(_MARK, at + 1)
            continue
        flags, serial = data[at + 5], data[at + 14 : at + 18]
        if flags & _BEGINS and (not links or links[-1].is_begun):
            links.append(_Link(at if links else start, set(), set()))
        if links:
            link = links[-1]
            link.serials.add(serial)
            link.is_begun = link.is_begun or not flags & _BEGINS
            if flags & _ENDS:
                link.ended.add(serial)
        at = end = behind
    return links or [_Link(start, set(), set())], end
