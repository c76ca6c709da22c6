"""Bytes that wait in memory, and then in a temporary file that may have no room."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.spill_buffer import SpillBuffer


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes; the system says so as it does of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=30), in_memory=st.integers(0, 300)
)
def test_what_was_written_is_read_wherever_it_lies(pieces, in_memory):
    buffer, places, end = SpillBuffer(in_memory), [], 0
    for piece in pieces:
        buffer.write(end, piece)
        places.append(end)
        end += len(piece)
    for place, piece in zip(places, pieces, strict=True):
        assert buffer.read(place, len(piece)) == piece
    buffer.clear()
    assert buffer.read(0, 100) == b""
    buffer.close()
    buffer.close()
    assert buffer.closed


@pytest.mark.parametrize("in_memory", [100, 5000, 30_000])
def test_a_full_disk_takes_nothing_and_loses_nothing(in_memory):
    """Not even what lay in a buffer, which is told one write too late."""
    buffer = SpillBuffer(in_memory)
    pieces = [bytes([number]) * 999 for number in range(60)]
    written: list[int] = []

    def fill() -> None:
        for number, piece in enumerate(pieces):
            buffer.write(999 * number, piece)
            written.append(number)

    with largest_file(20_500), pytest.raises(OSError, match="File too large"):
        fill()
    n_written = len(written)
    assert n_written == max(20_500, in_memory) // 999
    for number in range(n_written):
        assert buffer.read(999 * number, 999) == pieces[number]
    for number in range(n_written, 60):  # there is room again
        buffer.write(999 * number, pieces[number])
    assert buffer.read(0, 999 * 60) == b"".join(pieces)
    buffer.close()


def test_what_nobody_closed_leaves_no_file_open():
    """Warnings are errors: a file that was forgotten would be one."""
    buffer = SpillBuffer(10)
    buffer.write(0, bytes(100))
    del buffer
