"""Truncated containers: Matroska, MP4, ASF and AVI files that end before their header says.

The audio may be complete nevertheless; only decoding shows that.
Sources: RFC 8794 (EBML), ISO 14496-12 (boxes), Microsoft's ASF and AVI.
"""

from __future__ import annotations

from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp")
_MAX_BOXES = 1_000_000


def count_missing_bytes(file: BinaryIO, start: int, size: int) -> int:
    """Count the bytes that a container lacks at its end; 0 where its header does not tell.

    Args:
        file: The file.
        start: First byte of the container.
        size: Size of the file in bytes.
    """
    file.seek(start)
    head = file.read(64)
    try:
        if head[:4] == _EBML:
            return max(_end_of_segment(file, start) - size, 0)
        if head[4:8] in _BOXES:
            return max(_end_of_boxes(file, start, size) - size, 0)
        if head[:16] == _ASF:
            return max(_end_of_asf(file, start) - size, 0)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return max(start + 8 + int.from_bytes(head[4:8], "little") - size, 0)
    except IndexError:
        pass  # a truncated header: nothing can be decoded anyway
    return 0


def _end_of_segment(file: BinaryIO, start: int) -> int:
    file.seek(start + 4)
    length, n_bytes = _variable(file.read(8))
    at = start + 4 + n_bytes + length
    file.seek(at)
    head = file.read(12)
    if head[:4] != _SEGMENT:
        return 0
    length, n_bytes = _variable(head[4:])
    is_unknown = length == 2 ** (7 * n_bytes) - 1  # in files written while they were recorded
    return 0 if is_unknown else at + 4 + n_bytes + length


def _variable(data: bytes) -> tuple[int, int]:
    """Read a number and its length in bytes, which is one more than its leading zero bits."""
    n_bytes = 9 - data[0].bit_length()
    value = int.from_bytes(data[:n_bytes], "big")
    return value & (2 ** (7 * n_bytes) - 1), n_bytes


def _end_of_boxes(file: BinaryIO, start: int, size: int) -> int:
    at = start
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8 or not head[4:8].isalnum():
            break
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            break
        at += length
        if at > size:
            return at
    return 0


def _end_of_asf(file: BinaryIO, start: int) -> int:
    file.seek(start + 16)
    head = file.read(12)
    length, n_objects = int.from_bytes(head[:8], "little"), int.from_bytes(head[8:], "little")
    at = start + 30
    for _ in range(min(n_objects, 1000)):
        file.seek(at)
        head = file.read(48)
        if head[:16] == _FILE_PROPERTIES:
            return start + int.from_bytes(head[40:48], "little")
        at += max(int.from_bytes(head[16:24], "little"), 24)
        if at >= start + length:
            break
    return 0
