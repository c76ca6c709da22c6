"""Sounds inside the files that games keep theirs in: zip archives, and Ogg streams in any file."""

from __future__ import annotations

import zipfile
from pathlib import Path

from train.datasets.decode import AUDIO_ENDINGS

ZIPPED = frozenset([".zip", ".wz", ".pk3", ".pk4", ".dpk", ".jar", ".oxt"])
CARVED = frozenset([".rcc"])
"""Qt's resources: what is compressed already lies in them as it is."""

SMALLEST_OGG = 3000
"""Bytes; shorter streams are clicks."""


def open_archives(folder: Path) -> None:
    """Unpack the sounds of all archives below a folder, each beside its archive."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix.lower() in ZIPPED:
            unzip_sounds(path)
        elif path.suffix.lower() in CARVED:
            carve_ogg(path)


def unzip_sounds(path: Path) -> None:
    """Unpack the sounds of a zip archive into a folder of its name; nothing if it is none."""
    target = path.with_name(path.stem)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                inner = Path(name)
                if inner.suffix.lower() in AUDIO_ENDINGS and ".." not in inner.parts:
                    archive.extract(name, target)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
        return


def carve_ogg(path: Path) -> None:
    """Cut the Ogg streams out of a file, into a folder of its name."""
    content = path.read_bytes()
    for number, stream in enumerate(ogg_streams(content)):
        if len(stream) >= SMALLEST_OGG:
            target = path.with_name(path.stem)
            target.mkdir(exist_ok=True)
            (target / f"{path.stem}-n{number:04d}.ogg").write_bytes(stream)


def ogg_streams(content: bytes) -> list[bytes]:
    """All whole Ogg streams in a file's bytes, pages of which lie one behind the other.

    Source: RFC 3533, section 6: a page is 27 bytes, a table of segments, and those.
    """
    streams, begin, place = [], -1, content.find(b"OggS")
    while place >= 0 and place + 27 <= len(content):
        version, flags, n_segments = content[place + 4], content[place + 5], content[place + 26]
        if version or flags > 7:  # these four letters alone
            place = content.find(b"OggS", place + 4)
            continue
        lengths = content[place + 27 : place + 27 + n_segments]
        end = place + 27 + n_segments + sum(lengths)
        if flags & 2:  # the first page of a stream
            begin = place
        if flags & 4 and begin >= 0:  # its last
            streams.append(content[begin:end])
            begin = -1
        follows = content[end : end + 4] == b"OggS"
        if not follows and not flags & 4:
            begin = -1
        place = end if follows else content.find(b"OggS", max(end, place + 4))
    return streams
