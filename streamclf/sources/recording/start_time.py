"""Time at which a recording began, which recorders write into the file or into its name.

These are tried in turn:

- GUANO (Wildlife Acoustics, Titley, Pettersson, ...): a chunk ``guan``, its ``Timestamp``;
- WAMD (Song Meters, EMTouch): a chunk ``wamd``, its field 5;
- AudioMoth's comment, ``Recorded at 19:17:30 10/12/2021 (UTC+1) by AudioMoth ...``;
- Broadcast WAV (Zoom, Sound Devices, Tascam, ...): a chunk ``bext``, date and time of origination;
- the name (`streamclf.sources.recording.times_in_names`): ``20240601_043000``, ``5F0E1A2C``, ...

Sources: guano-md.org and its wamd2guano (fields of WAMD), EBU Tech 3285 (Broadcast WAV),
openacousticdevices.info.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import BinaryIO, cast

from streamclf.sources.containers.streamed_file import File, StreamedFile, pure_path
from streamclf.sources.recording.times_in_names import make_time, plausible_time, time_in_name

_MAX_CHUNK_BYTES = 65_536
"""Largest chunk that is read; a longer one does not hold the time."""

_MAX_CHUNKS = 1000

_WAMD_TIME = 5
_GUANO = re.compile(r"^\s*Timestamp\s*:\s*(\S[^\r\n]*?)\s*$", re.MULTILINE)
_OFFSET = re.compile(r"(?<=\d) ?(?:UTC)?([+-])(\d\d?)(?::?(\d\d))?$")
_AUDIOMOTH = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(\.\d{1,6})? (\d\d)/(\d\d)/(\d{4})(?: \(UTC([^)]*)\))?"
)
_DATE = re.compile(r"(\d{4})[-_:. ](\d\d)[-_:. ](\d\d)(\d\d)[-_:. ](\d\d)[-_:. ](\d\d)")


def recorded_at(path: File, comment: str = "") -> datetime | None:
    """Find the time of a recording's first sample.

    Args:
        path: The file.
        comment: Comment in its metadata.

    Returns:
        The time, with an offset from UTC where the recorder wrote one; None where the time is not
        known.
    """
    chunks = _read_chunks(path)
    times = (
        _from_guano(chunks.get(b"guan", b"").decode("utf-8", "replace")),
        _from_wamd(chunks.get(b"wamd", b"")),
        _from_comment(comment),
        _from_broadcast(chunks.get(b"bext", b"").decode("latin-1")),
        time_in_name(pure_path(path)),
    )
    return next((time for time in times if time is not None), None)


def _from_guano(text: str) -> datetime | None:
    found = _GUANO.search(text)
    return _from_iso(found[1]) if found else None


def _from_wamd(chunk: bytes) -> datetime | None:
    """Read the time from fields of a number, a length and that many bytes."""
    at = 0
    while at + 6 <= len(chunk):
        number, size = struct.unpack_from("<HI", chunk, at)
        at += 6
        if number == _WAMD_TIME:
            return _from_iso(chunk[at : at + size].decode("latin-1").strip("\0 "))
        at += size
    return None


def _from_iso(text: str) -> datetime | None:
    """Read ISO 8601, also with an offset of one digit or behind a space: ``+1:00``, `` -5:30``."""
    found = _OFFSET.search(text, 11)  # behind the date, whose hyphens are none
    if found is not None:
        sign, hours, minutes = found.groups()
        text = f"{text[: found.start()]}{sign}{int(hours):02}:{minutes or '00'}"
    try:
        return plausible_time(datetime.fromisoformat(text))
    except ValueError:
        return None


def _from_comment(comment: str) -> datetime | None:
    found = _AUDIOMOTH.search(comment)
    if found is None:
        return None
    hour, minute, second, fraction, day, month, year, zone = found.groups()
    time = make_time((year, month, day, hour, minute, second), "" if zone is None else zone or "Z")
    return time and time + timedelta(seconds=float(fraction or 0))


def _from_broadcast(chunk: str) -> datetime | None:
    found = _DATE.match(chunk[320:338])  # after the description, originator and reference
    return make_time(found.groups()) if found else None


def _read_chunks(path: File) -> dict[bytes, bytes]:
    """Read the chunks that may hold the time of a WAV file; empty for other files."""
    try:
        if isinstance(path, StreamedFile):
            with path.open() as streamed:
                return dict(_walk(cast(BinaryIO, streamed)))
        with path.open("rb") as file:
            return dict(_walk(file))
    except OSError:
        return {}


def _walk(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return
    data_bytes = 0
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        name, (size,) = head[:4], struct.unpack("<I", head[4:])
        if name in (b"guan", b"wamd", b"bext", b"ds64") and size <= _MAX_CHUNK_BYTES:
            chunk = file.read(size)
            if name == b"ds64" and len(chunk) >= 16:
                (data_bytes,) = struct.unpack("<Q", chunk[8:16])
            yield name, chunk
            file.seek(size % 2, 1)
            continue
        if name == b"data" and size == 0xFFFFFFFF:
            size = min(data_bytes, 2**62)
        file.seek(size + size % 2, 1)
