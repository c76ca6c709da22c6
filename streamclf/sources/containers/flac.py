"""FLAC (RFC 9639): check of the header's sample count against the first and last frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from streamclf.sources.containers.part import Part

_MARK = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""Beginning of a stream: the mark, and the header of its first block, which has 34 bytes."""
_HEAD_BYTES = 4 + 4 + 34
_MAX_BLOCKS = 10_000
_TAIL_BYTES = 131_072
_READ_AHEAD_BYTES = 65_536
"""Bytes; a decoder never reads further ahead of the samples that it delivers."""


@dataclass(frozen=True)
class StreamInfo:
    """Fields of the first block (STREAMINFO).

    Attributes:
        block_samples: Samples a channel in each block but the last, where all have the same size.
        max_frame_bytes: Size of the largest frame in bytes; 0 if unknown.
        n_samples: Samples a channel in the stream; 0 if unknown.
    """

    block_samples: int
    max_frame_bytes: int
    n_samples: int


def find_part(file: BinaryIO, start: int, size: int) -> Part:
    """Describe a FLAC stream and choose its decoder.

    libsndfile needs a correct sample count, and a first frame with number 0; FFmpeg reads the
    others.

    Args:
        file: The file.
        start: First byte of the stream, after any tags.
        size: Size of the file in bytes.
    """
    info, audio = _read_head(file, start)
    if info is None:
        return Part(start, reader="any", kind="FLAC")
    file.seek(audio)
    first = _parse_frame(file.read(16), info)
    # A stream cut out of a longer one still states the length of the longer one.
    if not info.n_samples or first is None or first[0]:
        return Part(start, reader="ffmpeg", kind="FLAC")
    last = _find_last(file, audio, size, info)
    if last > info.n_samples:
        return Part(start, reader="ffmpeg", kind="FLAC")
    return Part(start, reader="any", kind="FLAC", promised_samples=info.n_samples)


def find_next(file: BinaryIO, start: int, read_to: int, size: int) -> int | None:
    """Find another FLAC stream after one that has been read.

    Args:
        file: The file.
        start: First byte of the stream that has been read.
        read_to: Byte that its decoder has reached.
        size: Size of the file in bytes.

    Returns:
        First byte of the other stream; None if there is none.
    """
    at = max(read_to - _READ_AHEAD_BYTES, start + _HEAD_BYTES)
    keep = b""
    file.seek(at)
    while at < size:
        chunk = file.read(1 << 20)
        if not chunk:
            break
        found = _MARK.search(keep + chunk)
        if found is not None:
            return at - len(keep) + found.start()
        at, keep = at + len(chunk), chunk[-7:]
    return None


def _read_head(file: BinaryIO, mark: int) -> tuple[StreamInfo | None, int]:
    """Read the first block, and find the byte at which the frames begin."""
    file.seek(mark)
    head = file.read(_HEAD_BYTES)
    if (
        len(head) < _HEAD_BYTES
        or head[:4] != b"fLaC"
        or head[4] & 0x7F
        or head[5:8] != b"\x00\x00\x22"
    ):
        return None, mark
    info = head[8:]
    n_samples = (info[13] & 15) << 32 | int.from_bytes(info[14:18], "big")
    found = StreamInfo(
        int.from_bytes(info[0:2], "big"), int.from_bytes(info[7:10], "big"), n_samples
    )
    is_last, at = bool(head[4] & 0x80), mark + _HEAD_BYTES
    for _ in range(_MAX_BLOCKS):
        if is_last:
            break
        file.seek(at)
        block = file.read(4)
        if len(block) < 4:
            return None, mark
        is_last = bool(block[0] & 0x80)
        at += 4 + int.from_bytes(block[1:], "big")
    return found, at


def _find_last(file: BinaryIO, audio: int, size: int, info: StreamInfo) -> int:
    """Find the end of the last frame of a file, as a position in samples; 0 if none is found."""
    at = max(audio, size - max(_TAIL_BYTES, 2 * info.max_frame_bytes))
    file.seek(at)
    tail = file.read(size - at)
    where = len(tail)
    while (where := tail.rfind(b"\xff", 0, where)) >= 0:
        frame = _parse_frame(tail[where : where + 16], info)
        if frame is not None:
            return frame[0] + frame[1]
    return 0


def _parse_frame(head: bytes, info: StreamInfo) -> tuple[int, int] | None:
    """Read the position of a frame's first sample and its length; None where there is no frame."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    coded, rate = head[2] >> 4, head[2] & 15
    if not coded or rate == 15 or head[3] >> 4 > 10:
        return None
    number, at = _coded_number(head)
    if number < 0:
        return None
    extra = {6: 1, 7: 2}.get(coded, 0)
    n_samples = _block_samples(coded, head[at : at + extra])
    at += extra + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    return number * (1 if head[1] & 1 else info.block_samples), n_samples


def _block_samples(coded: int, extra: bytes) -> int:
    if extra:
        return int.from_bytes(extra, "big") + 1
    if coded == 1:
        return 192
    return 576 << coded - 2 if coded < 6 else 256 << coded - 8


def _coded_number(head: bytes) -> tuple[int, int]:
    """Read the number at byte 4, coded like UTF-8, and the byte after it; -1 for no number."""
    first = head[4]
    n_ones = 8 - (first ^ 0xFF).bit_length()
    if n_ones == 0:
        return first, 5
    rest = head[5 : 4 + n_ones]
    if n_ones == 1 or n_ones == 8 or len(rest) < n_ones - 1 or any(b >> 6 != 2 for b in rest):
        return -1, 5
    number = first & (0x7F >> n_ones)
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, 4 + n_ones


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
