"""Time at which a recording began, read from its name as recorders and their programs write it.

These forms are recognised:

- date and time of day, with any separators: ``20240601_043000`` (AudioMoth, Song Meter SM3, SM4,
  Mini, Swift), ``SITE_20110601$043000`` (Song Meter SM2, triggered), ``2024-06-01 04.30.00``,
  ``2024_06_01_04_30_00`` (Frigate's exports), ``20240601043000`` (cameras), ``2024-06-01 at
  4.30.00 PM`` (macOS);
- the same without seconds, as Arbimon wrote it: ``SITE-2014-03-21_10-30``;
- in ISO 8601, with a fraction and an offset: ``20190621T043000+1000_REC`` and
  ``S20240815T094310.617350+1000`` (Frontier Labs' BAR-LT), ``20240601T043000Z`` (BirdNET-Go,
  hydrophones), ``ID_20230601T043000123Z`` (Arbimon, RFCx);
- ``2022-07-08-birdnet-14:26:11`` and ``2022-07-08-birdnet-RTSP_1-14:26:11`` (BirdNET-Pi);
- ``5F0E1A2C.WAV``, seconds of UTC in hexadecimal (AudioMoth before 2019);
- ``5146.240601043000`` (SoundTrap): its serial number, and a year of two digits;
- ``front-1717216200.123456-x7k2p9`` (Frigate's events), and folders with the date:
  ``2024-06-01/04/CAMERA/30.00.mp4`` (Frigate), ``2024-06-01/04-30-00.mp4`` (motionEye).

Other names with a year of two digits are ambiguous and are ignored: ``240601_0001`` is the first
recording of a day from one maker and a minute from another, and ``010624`` is a day in 2001 or in
2024. Numbers followed by letters are ignored as well, and so is a date without a time of day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePath

YEARS = range(1970, 2200)

_SECONDS = r"(?P<h>\d\d)(?P<colon>[-_.:]?)(?P<m>\d\d)(?P=colon)(?P<s>\d\d)"
_DATE = r"(?<!\d)(?P<Y>\d{4})(?P<dash>[-_.]?)(?P<M>\d\d)(?P=dash)(?P<D>\d\d)"

_ISO = re.compile(
    _DATE + "T" + _SECONDS + r"(?:[.,](?P<f>\d{1,6})|(?P<ms>\d{3})(?=Z))?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?(?!\d)"
)
# Where the separator is not ISO's T, a minus with digits is more likely a number than an offset.
_PLAIN = re.compile(
    _DATE + r"(?:[ _$-]| at )" + _SECONDS + r"(?:\.(?P<f>\d{3}(?:\d{3})?))?"
    r"(?P<zone>\+(?:0\d|1[0-4]):?(?:00|15|30|45))?(?!\d)(?![ \u202f]?[AaPp][Mm](?![A-Za-z]))"
)
_HALF_DAY = re.compile(
    _DATE + r"(?:[ _-]| at )(?P<h>\d\d?)(?P<colon>[-_.:])(?P<m>\d\d)(?P=colon)(?P<s>\d\d)"
    r"[ \u202f]?(?P<half>[AaPp])[Mm](?![A-Za-z])"
)
_MINUTES = re.compile(r"(?<!\d)(?P<Y>\d{4})-(?P<M>\d\d)-(?P<D>\d\d)_(?P<h>\d\d)-(?P<m>\d\d)$")
_BIRDNET = re.compile(_DATE + r"-birdnet-(?:[A-Za-z]+_?\d+-)?" + _SECONDS + r"(?!\d)")
_DIGITS = re.compile(
    r"(?<!\d)(?P<Y>(?:19[89]|20\d)\d)(?P<M>\d\d)(?P<D>\d\d)(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)(?!\d)"
)
_SOUNDTRAP = re.compile(
    r"\d{3,10}\.(?P<Y>[1-3]\d)(?P<M>\d\d)(?P<D>\d\d)(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)"
)
_HEXADECIMAL = re.compile(r"(?=.*[A-F])[5-7][0-9A-F]{7}")
_FRIGATE_EVENT = re.compile(r"[\w-]+-(?P<epoch>1\d{9}\.\d{1,6})-[a-z0-9]{6}")
_DAY = re.compile(r"(?P<Y>\d{4})-(?P<M>\d\d)-(?P<D>\d\d)")
_HOUR = re.compile(r"\d\d")
_MINUTE_ALONE = re.compile(r"(?P<m>\d\d)\.(?P<s>\d\d)")
_TIME_ALONE = re.compile(r"(?P<h>\d\d)(?P<colon>[-_.])(?P<m>\d\d)(?P=colon)(?P<s>\d\d)")

_EARLIEST_AUDIOMOTH = datetime(2016, 1, 1, tzinfo=UTC)
_LATEST = datetime(2038, 1, 1, tzinfo=UTC)


def time_in_name(path: PurePath) -> datetime | None:
    """Read the time of a recording's first sample from its name or its folders.

    Args:
        path: The file, with as many folders above it as are known.

    Returns:
        The time, with an offset from UTC where the name holds one; None where it holds no time.
    """
    return next((time for time in _candidates(path) if time is not None), None)


def _candidates(path: PurePath) -> Iterator[datetime | None]:
    stem = path.stem
    for pattern in (_ISO, _BIRDNET, _PLAIN, _HALF_DAY, _DIGITS, _MINUTES):
        for found in pattern.finditer(stem):
            yield _time_of(found)
    if serial := _SOUNDTRAP.fullmatch(stem):
        yield _time_of(serial)
    if _HEXADECIMAL.fullmatch(stem):
        yield _since_1970(int(stem, 16))
    if event := _FRIGATE_EVENT.fullmatch(stem):
        yield _since_1970(float(event["epoch"]))
    yield _by_folders(path)


def _by_folders(path: PurePath) -> datetime | None:
    above = [folder.name for folder in path.parents[:3]]
    day = _DAY.fullmatch(above[0]) if above else None
    if day and (time := _TIME_ALONE.fullmatch(path.stem)):
        return make_time([*day.group("Y", "M", "D"), *time.group("h", "m", "s")])
    day = _DAY.fullmatch(above[2]) if len(above) == 3 else None
    if day and _HOUR.fullmatch(above[1]) and (time := _MINUTE_ALONE.fullmatch(path.stem)):
        return make_time([*day.group("Y", "M", "D"), above[1], *time.group("m", "s")], "Z")
    return None


def _time_of(found: re.Match[str]) -> datetime | None:
    fields = found.groupdict()
    year, hour, second = found["Y"], int(found["h"]), fields.get("s") or "00"
    if half := fields.get("half"):  # AM or PM
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half in "Pp")
    year = f"20{year}" if len(year) == 2 else year
    parts = [year, *found.group("M", "D"), str(hour), found["m"], second]
    # An impossible offset is a number with another meaning.
    time = make_time(parts, fields.get("zone") or "") or make_time(parts)
    fraction = fields.get("f") or fields.get("ms") or ""
    return time and time + timedelta(microseconds=int(fraction.ljust(6, "0")))


def _since_1970(seconds: float) -> datetime | None:
    time = datetime.fromtimestamp(seconds, UTC)
    return time if _EARLIEST_AUDIOMOTH <= time < _LATEST else None


def make_time(parts: Sequence[str], zone: str = "") -> datetime | None:
    """Make a time of its parts.

    Args:
        parts: Six numbers from year to second.
        zone: Offset from UTC: ``Z``, ``+1``, ``+0100``, ``-5:30``; empty for none.

    Returns:
        The time; None where the parts are not a valid or plausible time.
    """
    year, month, day, hour, minute, second = map(int, parts)
    try:
        return plausible_time(datetime(year, month, day, hour, minute, second, tzinfo=_zone(zone)))
    except ValueError:
        return None


def plausible_time(time: datetime) -> datetime | None:
    """Return the time if it is plausible; None where a recorder's clock was not set."""
    return time if time.year in YEARS and (time.year, time.month, time.day) > (1970, 1, 1) else None


def _zone(text: str) -> timezone | None:
    if text in ("", "Z"):
        return UTC if text else None
    found = re.fullmatch(r"([+-])(\d{1,2})(?::?(\d\d))?", text.strip())
    if found is None:
        raise ValueError(text)
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return timezone(-offset if found[1] == "-" else offset)
