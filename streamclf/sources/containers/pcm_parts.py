"""Correction of headers: the samples that a header states against those that the file holds.

The size in a header is not reliable. It may never have been updated (0, 44, all ones), wrapped
above 4 GiB, out of date, or too large. Bytes after the stated samples that are not chunks are
audio as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, NamedTuple

from streamclf.sources.containers.chunks import read_trailer
from streamclf.sources.containers.padded_samples import read_padding
from streamclf.sources.containers.part import NEGLIGIBLE_S, Part
from streamclf.sources.containers.pcm_headers import Layout

PLACEHOLDER_BYTES = 64
"""A size up to this was never updated: it is 0, 8 or the length of the header."""


class _Samples(NamedTuple):
    """Samples that a file holds.

    Attributes:
        end: Byte after the last sample.
        more: First byte and end of samples in further chunks.
        next_start: First byte of another file joined to this one; None for none.
        remarks: Oddities found, one line each.
    """

    end: int
    more: tuple[tuple[int, int], ...] = ()
    next_start: int | None = None
    remarks: tuple[str, ...] = ()


def make_parts(file: BinaryIO, layout: Layout, size: int) -> tuple[list[Part], int | None]:
    """Describe how to read the samples of a file.

    Args:
        file: The file.
        layout: Layout that its header states.
        size: Size of the file in bytes.

    Returns:
        The parts, and the first byte of another file joined to this one; None for none.
    """
    found = _find_samples(file, layout, size)
    layout, recoding, remark = read_padding(file, layout, found.end)
    n_bytes = found.end - layout.data
    claimed = layout.claimed or 0
    remarks = (*found.remarks, remark) if remark else found.remarks
    promised = max(layout.n_samples(claimed), layout.promised_samples)
    missing_s = (claimed - (size - layout.data)) / layout.bytes_per_second
    if layout.promised_samples > layout.n_samples(max(claimed, n_bytes)):
        missing_bytes = (layout.promised_samples * layout.unit_bytes) - n_bytes
        missing_s = missing_bytes / layout.bytes_per_second
    if missing_s < NEGLIGIBLE_S:
        promised = 0
        if missing_s > 0:
            remarks += (f"the header promises {missing_s * 1000:.1f} ms more than the file holds",)
    is_read = layout.by_libsndfile and layout.unit_samples
    part = Part(
        layout.start,
        reader="any" if layout.by_libsndfile else "ffmpeg",
        kind=layout.kind,
        promised_samples=promised if is_read else 0,
        cut_off=f"{missing_s:.2f} s of its bytes are missing"
        if missing_s >= NEGLIGIBLE_S and not is_read
        else "",
        remarks=remarks,
        recoding=recoding,
    )
    is_plain = (
        layout.start == 0 and not layout.changes and found.next_start is None and not found.more
    )
    if is_plain and claimed >= n_bytes and n_bytes >= layout.unit_bytes:
        parts = [part]
    else:
        parts = [part.with_header(layout.header(file, n_bytes), layout.data, found.end)]
    for start, end in found.more:
        whole = replace(part, promised_samples=0, cut_off="", remarks=())
        parts.append(whole.with_header(layout.header(file, end - start), start, end))
    return parts, found.next_start


def _find_samples(file: BinaryIO, layout: Layout, size: int) -> _Samples:
    if layout.claimed is None:
        return _Samples(size)
    claimed_end = layout.data + layout.claimed
    if claimed_end >= size:
        return _Samples(size)
    for end in _possible_ends(layout, size):
        trailer = (
            read_trailer(file, layout.chunk_format, end, size) if layout.chunk_format else None
        )
        if trailer is None:
            continue
        remarks: tuple[str, ...] = (
            (describe_extra(layout, end - claimed_end),) if end > claimed_end else ()
        )
        if trailer.next_start is not None:
            remarks += (f"another {layout.kind} is joined to it: both are heard",)
        if trailer.more:
            remarks += (f"samples in {1 + len(trailer.more)} chunks: all are heard",)
        if trailer.n_rest:
            remarks += (f"{trailer.n_rest} bytes behind its last chunk are left out",)
        return _Samples(end, trailer.more, trailer.next_start, remarks)
    n_more = size - claimed_end
    if layout.claimed > PLACEHOLDER_BYTES and _is_zero(file, claimed_end):
        return _Samples(claimed_end, remarks=(f"{n_more} zeros behind the samples are left out",))
    if n_more / layout.bytes_per_second >= NEGLIGIBLE_S or not layout.claimed:
        return _Samples(size, remarks=(describe_extra(layout, n_more),))
    text = f"{n_more} bytes behind the samples are no chunk, and left out"
    return _Samples(claimed_end, remarks=(text,) if n_more >= layout.unit_bytes else ())


def _is_zero(file: BinaryIO, start: int) -> bool:
    """Whether only zeros follow, with which a recorder or a file system filled the file."""
    file.seek(start)
    while data := file.read(1 << 20):
        if data.count(0) != len(data):
            return False
    return True


def _possible_ends(layout: Layout, size: int) -> Iterator[int]:
    """Yield the bytes at which the samples may end: the stated size plus multiples of 4 GiB."""
    end = layout.data + (layout.claimed or 0)
    while end < size:
        yield end
        end += 2**32


def describe_extra(layout: Layout, n_bytes: int) -> str:
    """Describe samples after those that the header states.

    Args:
        layout: Layout that the header states.
        n_bytes: Number of bytes after them.
    """
    claimed_s = (layout.claimed or 0) / layout.bytes_per_second
    more_s = n_bytes / layout.bytes_per_second
    return (
        f"the header promises {claimed_s:.2f} s, {more_s:.2f} s more follow that are no chunk: "
        "they are heard"
    )
