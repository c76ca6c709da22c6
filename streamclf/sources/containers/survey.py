"""A file's parts, by their first bytes: whose decoder reads them, and where each ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from streamclf.sources.containers.part import Part

HEAD_BYTES = 64
SAMPLES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b".snd", b"dns.", b"caff")
"""What WAV and its kin begin with."""


def survey(path: Path) -> list[Part]:
    """Find the parts of a file; at least one, which may be anything.

    Args:
        path: A regular file. A part may turn out to be followed by more (see `behind`).

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return list(_parts(file, 0, file.seek(0, 2)))


def behind(path: Path, part: Part, read_to: int) -> list[Part]:
    """Find what follows a FLAC whose promised samples have all been read.

    Args:
        path: The file.
        part: What was read.
        read_to: Byte that its decoder had reached.
    """
    if part.kind != "FLAC":
        return []
    from streamclf.sources.containers import flac

    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = flac.find_next(file, part.start, read_to, size)
        return [] if start is None else list(_parts(file, start, size))


def _parts(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """One part behind the other; each but the first begins with a header of its own.

    What reads other formats than the one at hand is not imported: a short file's start counts.
    """
    file.seek(start)
    head = file.read(HEAD_BYTES)
    if head[:4] == b"OggS":
        from streamclf.sources.containers import ogg

        yield from ogg.survey(file, start, size)
    elif head[:4] == b"fLaC":
        from streamclf.sources.containers import flac

        yield flac.survey(file, start, size)
    elif head[:4] in SAMPLES:
        yield from _samples(file, start, size)
    elif head[:3] == b"ID3" or head[:1] == b"\xff":
        yield _tagged(file, start, size)
    else:
        yield _unknown(file, start, size)


def _samples(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """WAV and its kin."""
    from streamclf.sources.containers.layouts import find_layout
    from streamclf.sources.containers.pcm import make_parts

    layout = find_layout(file, start)
    if layout is None or layout.data > size:
        yield _unknown(file, start, size)
        return
    parts, next_start = make_parts(file, layout, size)
    yield from parts
    if next_start is not None:
        yield from _parts(file, next_start, size)


def _tagged(file: BinaryIO, start: int, size: int) -> Part:
    """Frames of MPEG audio, or whatever follows a tag."""
    from streamclf.sources.containers import flac, mpeg

    audio = mpeg.behind_tag(file, start)
    file.seek(audio)
    head = file.read(HEAD_BYTES)
    if audio > start and head[:4] == b"fLaC":
        return flac.survey(file, audio, size)
    if audio > start or mpeg.is_frame(head):
        return mpeg.survey(file, start, audio)
    return _unknown(file, start, size)


def _unknown(file: BinaryIO, start: int, size: int) -> Part:
    """Anything else."""
    from streamclf.sources.containers.torn import bytes_missing

    n_missing = bytes_missing(file, start, size)
    return Part(start, cut_off=f"{n_missing} bytes are missing" if n_missing else "")
