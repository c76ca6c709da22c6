"""MPEG audio (MP3, MP2, ADTS): how many samples a file says that it holds, where it says so.

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
"""By the version's bits: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5."""
_SEARCHED = 65_536
_HEADER = re.compile(rb"\xff[\xe2-\xff]")
_FRAMES, _BYTES, _TABLE, _QUALITY = 1, 2, 4, 8
"""Flags of a Xing tag: what it holds, in this order."""


@dataclass(frozen=True)
class Frame:
    """An MPEG audio frame, by its header.

    Attributes:
        n_samples: A channel.
        sample_rate: In Hz.
        side_bytes: Between the header and a Xing tag.
        is_free: Whether its length is told by nothing ("free format", which FFmpeg cannot read).
    """

    n_samples: int
    sample_rate: int
    side_bytes: int
    is_free: bool


def behind_tag(file: BinaryIO, start: int) -> int:
    """First byte behind the ID3v2 tags at ``start``."""
    for _ in range(16):
        file.seek(start)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
            break
        size = sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        start += 10 + size + (10 if head[5] & 0x10 else 0)
    return start


def is_frame(head: bytes) -> bool:
    """Whether bytes begin like MPEG audio or ADTS."""
    if len(head) < 4:
        return False
    is_adts = head[0] == 0xFF and head[1] & 0xF6 == 0xF0
    return is_adts or parse(head) is not None


def parse(head: bytes) -> Frame | None:
    """Read a frame's header."""
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


def survey(file: BinaryIO, start: int, audio: int) -> Part:
    """Find what an MPEG audio file promises.

    Args:
        file: The file.
        start: Where it begins.
        audio: Where its first frame is expected, behind tags.
    """
    file.seek(audio)
    head = file.read(_SEARCHED)
    for found in _HEADER.finditer(head):
        frame = parse(head[found.start() : found.start() + 4])
        if frame is None:
            continue
        tag = head[found.start() + 4 : found.start() + 4 + 512]
        promised_s = _counted(tag, frame) / frame.sample_rate
        reader: Reader = "libsndfile" if frame.is_free else "ffmpeg"
        return Part(start, reader=reader, kind="MP3", promised_s=promised_s)
    return Part(start, reader="ffmpeg", kind="MP3")


def _counted(tag: bytes, frame: Frame) -> int:
    """Samples that the first frame counts; 0 where it counts none."""
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
