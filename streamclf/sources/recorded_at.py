"""When a recording began, as recorders write it down: into the file, else into its name.

- GUANO (Wildlife Acoustics, Titley, Pettersson, ...): a chunk ``guan``, its ``Timestamp``;
- AudioMoth's comment, ``Recorded at 19:17:30 10/12/2021 (UTC+1) by AudioMoth ...``;
- Broadcast WAV (Zoom, Sound Devices, Tascam, ...): a chunk ``bext``, date and time of origination;
- the name: ``20240601_043000``, ``SITE_2024-06-01_04-30-00``, ``20240601T043000+0200``, ...

Sources: guano-md.org, EBU Tech 3285 (Broadcast WAV), openacousticdevices.info.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO

YEARS = range(1970, 2200)
_MOST_BYTES = 65_536
"""Of a chunk; what is longer says other things than this."""

_MOST_CHUNKS = 1000

_GUANO = re.compile(r"^\s*Timestamp\s*:\s*(\S[^\r\n]*?)\s*$", re.MULTILINE)
_AUDIOMOTH = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(\.\d{1,6})? (\d\d)/(\d\d)/(\d{4})(?: \(UTC([^)]*)\))?"
)
_NAME = re.compile(
    r"(?<!\d)(\d{4})([-_]?)(\d\d)\2(\d\d)(?:[ _-]|(T))(\d\d)([-_.:]?)(\d\d)\7(\d\d)"
    r"(Z|[+-]\d\d:?\d\d)?(?!\d)"
)
_DATE = re.compile(r"(\d{4})[-_:. ](\d\d)[-_:. ](\d\d)(\d\d)[-_:. ](\d\d)[-_:. ](\d\d)")


def recorded_at(path: Path, comment: str = "") -> datetime | None:
    """Time of a recording's first sample.

    Args:
        path: The file.
        comment: In its metadata.

    Returns:
        With the offset from UTC where the recorder tells it; None where nothing tells the time.
    """
    chunks = _read_chunks(path)
    told = (
        _from_guano(chunks.get(b"guan", b"").decode("utf-8", "replace")),
        _from_comment(comment),
        _from_broadcast(chunks.get(b"bext", b"").decode("latin-1")),
        _from_name(path.stem),
    )
    return next((time for time in told if time is not None), None)


def _from_guano(text: str) -> datetime | None:
    found = _GUANO.search(text)
    if found is None:
        return None
    try:
        return _in_reason(datetime.fromisoformat(found[1]))
    except ValueError:
        return None


def _from_comment(comment: str) -> datetime | None:
    found = _AUDIOMOTH.search(comment)
    if found is None:
        return None
    hour, minute, second, fraction, day, month, year, zone = found.groups()
    time = _make((year, month, day, hour, minute, second), "" if zone is None else zone or "Z")
    return time and time + timedelta(seconds=float(fraction or 0))


def _from_broadcast(chunk: str) -> datetime | None:
    found = _DATE.match(chunk[320:338])  # behind description, originator and its reference
    return _make(found.groups()) if found else None


def _from_name(stem: str) -> datetime | None:
    for found in _NAME.finditer(stem):
        year, _, month, day, iso, hour, _, minute, second, zone = found.groups()
        # Behind any other separator than ISO's T a sign and digits are more likely a number.
        time = _make((year, month, day, hour, minute, second), (iso and zone) or "")
        if time is not None:
            return time
    return None


def _make(parts: Sequence[str], zone: str = "") -> datetime | None:
    """From year to second, and the offset; None where there is no such time."""
    year, month, day, hour, minute, second = map(int, parts)
    try:
        return _in_reason(datetime(year, month, day, hour, minute, second, tzinfo=_zone(zone)))
    except ValueError:
        return None


def _zone(text: str) -> timezone | None:
    """``Z``, ``+1``, ``+0100``, ``-5:30``; none where nothing is said."""
    if text in ("", "Z"):
        return UTC if text else None
    found = re.fullmatch(r"([+-])(\d{1,2})(?::?(\d\d))?", text.strip())
    if found is None:
        raise ValueError(text)
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return timezone(-offset if found[1] == "-" else offset)


def _in_reason(time: datetime) -> datetime | None:
    """A recorder whose clock was never set tells no time."""
    return time if time.year in YEARS and (time.year, time.month, time.day) > (1970, 1, 1) else None


def _read_chunks(path: Path) -> dict[bytes, bytes]:
    """What a WAV holds in ``guan`` and ``bext``; nothing of anything else."""
    try:
        with path.open("rb") as file:
            return dict(_walk(file))
    except OSError:
        return {}


def _walk(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return
    data_bytes = 0
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        name, (size,) = head[:4], struct.unpack("<I", head[4:])
        if name in (b"guan", b"bext", b"ds64") and size <= _MOST_BYTES:
            chunk = file.read(size)
            if name == b"ds64" and len(chunk) >= 16:
                (data_bytes,) = struct.unpack("<Q", chunk[8:16])
            yield name, chunk
            file.seek(size % 2, 1)
            continue
        if name == b"data" and size == 0xFFFFFFFF:
            size = min(data_bytes, 2**62)
        file.seek(size + size % 2, 1)
