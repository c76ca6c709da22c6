"""What a header of samples promises against what the file holds.

Sizes are claims: never updated (0, 44, all ones), wrapped above 4 GiB, stale, or too large. What
follows the promised samples and is no chunk is audio, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, NamedTuple

from streamclf.sources.containers.chunks import look_behind
from streamclf.sources.containers.layouts import Layout
from streamclf.sources.containers.part import NEXT_TO_NOTHING_S, Part

PLACEHOLDER_BYTES = 64
"""A size up to this was never updated: 0, 8 or the header's own length."""


class _Samples(NamedTuple):
    """What a file holds.

    Attributes:
        end: Byte behind the last sample.
        more: First and last byte of samples in further chunks.
        next_start: Where another file begins.
        remarks: What was done, a line each.
    """

    end: int
    more: tuple[tuple[int, int], ...] = ()
    next_start: int | None = None
    remarks: tuple[str, ...] = ()


def make_parts(file: BinaryIO, layout: Layout, size: int) -> tuple[list[Part], int | None]:
    """Describe how samples are to be read, and where another file follows.

    Args:
        file: The file.
        layout: What its header says.
        size: Of the file.
    """
    found = _find_samples(file, layout, size)
    n_bytes = found.end - layout.data
    claimed = layout.claimed or 0
    remarks = found.remarks
    promised = max(layout.n_samples(claimed), layout.promised_samples)
    missing_s = (claimed - (size - layout.data)) / layout.bytes_per_second
    if layout.promised_samples > layout.n_samples(max(claimed, n_bytes)):
        missing_bytes = (layout.promised_samples * layout.unit_bytes) - n_bytes
        missing_s = missing_bytes / layout.bytes_per_second
    if missing_s < NEXT_TO_NOTHING_S:
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
        if missing_s >= NEXT_TO_NOTHING_S and not is_read
        else "",
        remarks=remarks,
    )
    is_plain = layout.start == 0 and found.next_start is None and not found.more
    if is_plain and claimed >= n_bytes and n_bytes >= layout.unit_bytes:
        parts = [part]
    else:
        parts = [part.behind(layout.header(file, n_bytes), layout.data, found.end)]
    for start, end in found.more:
        whole = replace(part, promised_samples=0, cut_off="", remarks=())
        parts.append(whole.behind(layout.header(file, end - start), start, end))
    return parts, found.next_start


def _find_samples(file: BinaryIO, layout: Layout, size: int) -> _Samples:
    if layout.claimed is None:
        return _Samples(size)
    claimed_end = layout.data + layout.claimed
    if claimed_end >= size:
        return _Samples(size)
    for end in _possible_ends(layout, size):
        behind = look_behind(file, layout.dialect, end, size) if layout.dialect else None
        if behind is None:
            continue
        remarks: tuple[str, ...] = (
            (tell_more(layout, end - claimed_end),) if end > claimed_end else ()
        )
        if behind.next_start is not None:
            remarks += (f"another {layout.kind} is joined to it: both are heard",)
        if behind.more:
            remarks += (f"samples in {1 + len(behind.more)} chunks: all are heard",)
        if behind.n_rest:
            remarks += (f"{behind.n_rest} bytes behind its last chunk are left out",)
        return _Samples(end, behind.more, behind.next_start, remarks)
    n_more = size - claimed_end
    if layout.claimed > PLACEHOLDER_BYTES and _is_zero(file, claimed_end):
        return _Samples(claimed_end, remarks=(f"{n_more} zeros behind the samples are left out",))
    if n_more / layout.bytes_per_second >= NEXT_TO_NOTHING_S or not layout.claimed:
        return _Samples(size, remarks=(tell_more(layout, n_more),))
    text = f"{n_more} bytes behind the samples are no chunk, and left out"
    return _Samples(claimed_end, remarks=(text,) if n_more >= layout.unit_bytes else ())


def _is_zero(file: BinaryIO, start: int) -> bool:
    """Whether nothing but zeros follows: what a recorder or a disk filled up."""
    file.seek(start)
    while data := file.read(1 << 20):
        if data.count(0) != len(data):
            return False
    return True


def _possible_ends(layout: Layout, size: int) -> Iterator[int]:
    """Where the samples may end: at the size told, or at that and what 32 bits have no room for."""
    end = layout.data + (layout.claimed or 0)
    while end < size:
        yield end
        end += 2**32


def tell_more(layout: Layout, n_bytes: int) -> str:
    """That samples lie behind those that a header promises."""
    claimed_s = (layout.claimed or 0) / layout.bytes_per_second
    more_s = n_bytes / layout.bytes_per_second
    return (
        f"the header promises {claimed_s:.2f} s, {more_s:.2f} s more follow that are no chunk: "
        "they are heard"
    )
