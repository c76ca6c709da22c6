"""MPEG audio (MP3, MP2, ADTS): number of samples that a file states, where it states one.

Sources: ISO 11172-3, the Xing and LAME tags (gabriel.mp3-tech.org/mp3infotag.html) and
Fraunhofer's VBRI.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from streamclf.sources.containers.part import Part, Reader

_RATES = (44_100, 48_000, 32_000)
_SCALES = {3: 1, 2: 2, 0: 4}
"""Divisor of the sample rate by the bits of the version: 3 is MPEG 1, 2 MPEG 2, 0 MPEG 2.5."""
_SEARCHED_BYTES = 65_536
_HEADER = re.compile(rb"\xff[\xe2-\xff]")
_FRAMES, _BYTES, _TABLE, _QUALITY = 1, 2, 4, 8
"""Flags of a Xing tag for its fields, in the order of the fields."""


@dataclass(frozen=True)
class Frame:
    """Header of an MPEG audio frame.

    Attributes:
        n_samples: Samples a channel.
        sample_rate: Sample rate in Hz.
        side_bytes: Number of bytes between the header and a Xing tag.
        is_free: Whether the frame does not state its length ("free format", which FFmpeg cannot
            read).
    """

    n_samples: int
    sample_rate: int
    side_bytes: int
    is_free: bool


def skip_tags(file: BinaryIO, start: int) -> int:
    """Return the first byte after the ID3v2 tags at ``start``."""
    for _ in range(16):
        file.seek(start)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
            break
        size = sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        start += 10 + size + (10 if head[5] & 0x10 else 0)
    return start


def is_frame(head: bytes) -> bool:
    """Whether bytes begin with a frame of MPEG audio or ADTS."""
    if len(head) < 4:
        return False
    is_adts = head[0] == 0xFF and head[1] & 0xF6 == 0xF0
    return is_adts or parse_frame(head) is not None


def parse_frame(head: bytes) -> Frame | None:
    """Read a frame's header; None if the bytes are not one."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or rate == 3 or bit_rate == 15:
        return None
    is_mono = head[3] >> 6 == 3
    is_first = version == 3
    n_samples = 384 if layer == 1 else 1152 if layer == 2 or is_first else 576
    side = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    return Frame(n_samples, _RATES[rate] // _SCALES[version], side, bit_rate == 0)


def find_part(file: BinaryIO, start: int, audio: int) -> Part:
    """Describe an MPEG audio file, with the length that it states.

    Args:
        file: The file.
        start: First byte of the file.
        audio: Byte at which the first frame is expected, after tags.
    """
    file.seek(audio)
    head = file.read(_SEARCHED_BYTES)
    for found in _HEADER.finditer(head):
        frame = parse_frame(head[found.start() : found.start() + 4])
        if frame is None:
            continue
        tag = head[found.start() + 4 : found.start() + 4 + 512]
        promised_s = _read_count(tag, frame) / frame.sample_rate
        reader: Reader = "libsndfile" if frame.is_free else "ffmpeg"
        return Part(start, reader=reader, kind="MP3", promised_s=promised_s)
    return Part(start, reader="ffmpeg", kind="MP3")


def _read_count(tag: bytes, frame: Frame) -> int:
    """Read the sample count from a tag in the first frame; 0 where there is none."""
    if tag[32:36] == b"VBRI":
        return int.from_bytes(tag[46:50], "big") * frame.n_samples
    xing = tag[frame.side_bytes :]
    if xing[:4] not in (b"Xing", b"Info"):
        return 0
    flags, at = int.from_bytes(xing[4:8], "big"), 8
    if not flags & _FRAMES:
        return 0
    n_samples = int.from_bytes(xing[8:12], "big") * frame.n_samples
    for flag, size in [(_FRAMES, 4), (_BYTES, 4), (_TABLE, 100), (_QUALITY, 4)]:
        at += size if flags & flag else 0
    lame = xing[at : at + 36]
    if lame[:4] in (b"LAME", b"Lavf", b"Lavc") and len(lame) >= 24:
        delay, padding = lame[21] << 4 | lame[22] >> 4, (lame[22] & 15) << 8 | lame[23]
        n_samples -= delay + padding
    return max(n_samples, 0)
