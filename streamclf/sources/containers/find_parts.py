"""Division of a file into parts by their first bytes, with a decoder and an end for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, cast

from streamclf.sources.containers.part import Part
from streamclf.sources.containers.streamed_file import File, StreamedFile

HEAD_BYTES = 64
SAMPLES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b".snd", b"dns.", b"caff")
"""First bytes of WAV and related formats."""


def find_parts(path: File) -> list[Part]:
    """Find the parts of a file.

    Args:
        path: A regular file, or a streamed one.

    Returns:
        At least one part, which may be of any format. Decoding may reveal more, see
        `find_parts_after`.

    Raises:
        OSError: The file cannot be read.
    """
    with _open(path) as file:
        return list(_parts_from(file, 0, file.seek(0, 2)))


def find_parts_after(path: File, part: Part, read_to: int) -> list[Part]:
    """Find the parts after a FLAC stream whose stated samples have all been read.

    Args:
        path: The file.
        part: The part that was read.
        read_to: Byte that its decoder has reached.

    Returns:
        The parts; none for other formats.

    Raises:
        OSError: The file cannot be read.
    """
    if part.kind != "FLAC":
        return []
    from streamclf.sources.containers import flac

    with _open(path) as file:
        size = file.seek(0, 2)
        start = flac.find_next(file, part.start, read_to, size)
        return [] if start is None else list(_parts_from(file, start, size))


def _open(file: File) -> BinaryIO:
    return cast(BinaryIO, file.open()) if isinstance(file, StreamedFile) else file.open("rb")


def _parts_from(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Yield the parts from byte ``start`` on; each but the first begins with its own header.

    Modules of other formats are not imported, because start-up time matters for short files.
    """
    file.seek(start)
    head = file.read(HEAD_BYTES)
    if head[:4] == b"OggS":
        from streamclf.sources.containers import ogg

        yield from ogg.find_parts(file, start, size)
    elif head[:4] == b"fLaC":
        from streamclf.sources.containers import flac

        yield flac.find_part(file, start, size)
    elif head[:4] in SAMPLES:
        yield from _samples(file, start, size)
    elif head[:3] == b"ID3" or head[:1] == b"\xff":
        yield _tagged(file, start, size)
    else:
        yield _unknown(file, start, size)


def _samples(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Yield the parts of WAV and related formats."""
    from streamclf.sources.containers.pcm_headers import read_layout
    from streamclf.sources.containers.pcm_parts import make_parts

    layout = read_layout(file, start)
    if layout is None or layout.data > size:
        yield _unknown(file, start, size)
        return
    parts, next_start = make_parts(file, layout, size)
    yield from parts
    if next_start is not None:
        yield from _parts_from(file, next_start, size)


def _tagged(file: BinaryIO, start: int, size: int) -> Part:
    """Describe MPEG audio, or another format after a tag."""
    from streamclf.sources.containers import flac, mpeg

    audio = mpeg.skip_tags(file, start)
    file.seek(audio)
    head = file.read(HEAD_BYTES)
    if audio > start and head[:4] == b"fLaC":
        return flac.find_part(file, audio, size)
    if audio > start or mpeg.is_frame(head):
        return mpeg.find_part(file, start, audio)
    return _unknown(file, start, size)


def _unknown(file: BinaryIO, start: int, size: int) -> Part:
    """Describe a part of any other format."""
    from streamclf.sources.containers.truncated import count_missing_bytes

    n_missing = count_missing_bytes(file, start, size)
    return Part(start, cut_off=f"{n_missing} bytes are missing" if n_missing else "")
