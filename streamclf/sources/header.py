"""What a recording's header promises, where libsndfile quietly counts what is there instead."""

from __future__ import annotations

import os
import re
from pathlib import Path

import soundfile

_PIPED_NEAR = (2**31, 2**32)
_PIPED_WITHIN = 0x1_0000
"""Programs that pipe a WAV write a size near these: it is not a promise."""
_LONGEST = 2**48
_W64_HEAD = 24
_BYTES = {
    "U8": 1,
    "S8": 1,
    "16": 2,
    "24": 3,
    "32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
    "ULAW": 1,
    "ALAW": 1,
}


def promised_frames(file: soundfile.SoundFile) -> int:
    """Samples per channel that the header promises; 0 where it makes no promise.

    libsndfile's log says it, in words of each format's own.
    """
    if file.format == "MP3" and not _counts_frames(Path(os.fsdecode(file.name))):
        return 0
    return max(int(file.frames), _frames_of_header(file))


def lacks_end(file: soundfile.SoundFile) -> bool:
    """Whether an Ogg stream breaks off before its last page (how much is missing is unknown)."""
    log = file.extra_info
    return file.format == "OGG" and ("lacks an end-of-stream" in log or "Junk after" in log)


def _counts_frames(path: Path) -> bool:
    """Whether an MP3's first frame counts the others; else its length is but an estimate."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # its size is in seven bits of each byte
            file.seek(sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:10])), 1)
            head = b""
        head += file.read(256)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def _frames_of_header(file: soundfile.SoundFile) -> int:
    if file.format in ("WAV", "WAVEX"):
        return _frames_in(file, _number(r"^data\s*: (\d+) \(should be \d+\)", file))
    if file.format == "AU":
        return _frames_in(file, _number(r"Data Size\s*: (\d+) \(should be \d+\)", file))
    if file.format == "W64":
        return _frames_in(file, max(_number(r"^data\s*: (\d+)", file) - _W64_HEAD, 0))
    if file.format == "RF64":
        return _believed(_number(r"value from 'ds64' chunk of (\d+)", file))
    if file.format == "AIFF":
        return _believed(_number(r"read from 'COMM' chunk \((\d+)\)", file))
    return 0


def _number(pattern: str, file: soundfile.SoundFile) -> int:
    found = re.search(pattern, file.extra_info, re.MULTILINE)
    return int(found.group(1)) if found else 0


def _believed(frames: int) -> int:
    return frames if frames < _LONGEST else 0


def _frames_in(file: soundfile.SoundFile, n_bytes: int) -> int:
    if any(abs(n_bytes - size) < _PIPED_WITHIN for size in _PIPED_NEAR):
        return 0
    width = _BYTES.get(str(file.subtype).removeprefix("PCM_"))
    if width is not None:
        return _believed(n_bytes // (width * int(file.channels)))
    per_block = _number(r"Samples/Block\s*: (\d+)", file)
    return _believed(n_bytes // max(_number(r"Block Align\s*: (\d+)", file), 1) * per_block)
