"""Length that the head of a file states, for audio from a pipe.

FFmpeg reports no length for audio from a pipe, and delivers the padding of an MP3 as audio.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from streamclf.core.records import Block, Gap, Notice

MAX_PADDING_SAMPLES = 2304
"""Largest number of samples that an MP3 encoder adds at the end: two frames."""

_PLACEHOLDERS = (2**31, 2**32)
_PLACEHOLDER_TOLERANCE = 0x1_0000
"""Sizes near these are placeholders of programs that write a WAV file into a pipe."""

_UNCOMPRESSED = frozenset([1, 3, 6, 7, 0xFFFE])


def promised_samples(head: bytes, rate: int) -> int:
    """Read the number of samples a channel that the head of a WAV, FLAC, WavPack or MP3 states.

    Args:
        head: The first bytes of the file, about 64 kB.
        rate: Sample rate of the audio in Hz.

    Returns:
        The number; 0 where none is stated.
    """
    if head.startswith(b"RIFF"):
        return _wav_samples(head, rate)
    if head.startswith(b"fLaC") and len(head) >= 26:
        return int.from_bytes(head[18:26], "big") & (1 << 36) - 1  # after rate, channels, bits
    if head.startswith(b"wvpk") and len(head) >= 16:
        (n_samples,) = struct.unpack_from("<I", head, 12)
        return 0 if n_samples == 0xFFFFFFFF else int(n_samples)
    return mp3_samples(head)


def _wav_samples(head: bytes, rate: int) -> int:
    place, bytes_a_second = 12, 0
    while place + 8 <= len(head):
        name, (size,) = head[place : place + 4], struct.unpack_from("<I", head, place + 4)
        if name == b"fmt " and place + 20 <= len(head):
            (coding,) = struct.unpack_from("<H", head, place + 8)
            if coding in _UNCOMPRESSED:
                (bytes_a_second,) = struct.unpack_from("<I", head, place + 16)
        if name == b"data":
            piped = any(abs(size - near) <= _PLACEHOLDER_TOLERANCE for near in _PLACEHOLDERS)
            return 0 if piped or not bytes_a_second else size * rate // bytes_a_second
        place += 8 + size + size % 2
    return 0


def mp3_samples(head: bytes) -> int:
    """Read the samples a channel from the Xing or LAME tag in an MP3's first frame; 0 for none."""
    place = 0
    if head[:3] == b"ID3" and len(head) >= 10:  # its size is in seven bits of each byte
        place = 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
    frame = head[place : place + 256]
    if len(frame) < 256 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:  # layer III
        return 0
    first_version, mono = frame[1] & 0x18 == 0x18, frame[3] >> 6 == 3
    side = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
    tag = frame[4 + side[first_version, mono] :]
    if tag[:4] not in (b"Xing", b"Info") or not tag[7] & 1:
        return 0
    flags, n_frames = struct.unpack_from(">II", tag, 4)
    encoder = tag[12 + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8) :]
    if encoder[:3] not in (b"LAM", b"Lav"):
        return 0
    delays = int.from_bytes(encoder[21:24], "big")
    n_added = (delays >> 12) + (delays & 0xFFF)
    return int(max(n_frames * (1152 if first_version else 576) - n_added, 0))


def remove_padding(
    items: Iterator[Block | Gap | Notice], promised: Callable[[], int]
) -> Iterator[Block | Gap | Notice]:
    """Remove the samples after the stated end of an MP3, if they are no more than padding.

    Args:
        items: Records as decoded.
        promised: Returns the stated samples a channel, 0 to remove nothing; called when the first
            record has come.
    """
    held: list[Block] = []
    end: int | None = None
    for item in items:
        end = promised() if end is None else end
        held += [item] if isinstance(item, Block) else []
        padded = isinstance(item, Block) and 0 < item.end - end <= MAX_PADDING_SAMPLES and end > 0
        if padded:
            continue
        if not isinstance(item, Block) or item.end > end:
            end = 0  # there is more audio than stated, as in joined files: nothing is removed
        yield from held
        held.clear()
        if not isinstance(item, Block):
            yield item
    for block in held:
        n_samples = (end or 0) - block.position
        if n_samples > 0:
            yield Block(block.position, block.waveform[:, :n_samples], block.sample_rate)
