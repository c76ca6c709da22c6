"""Dates and times as people write them, in the zone of this machine.

::

    now                             this moment
    today, yesterday                a day
    monday, last monday             the latest Monday, today included; the one before today
    7 days ago, 2 weeks ago         a day
    2026-11-01                      a day
    22:00, 22:00:05                 a time of today
    yesterday 22:00                 any day, and a time of it
    90 minutes ago, 3 hours ago     a moment
    2026-11-01T22:00+01:00          ISO 8601

A day begins at midnight. As the end of a range it is whole: ``--until yesterday`` takes all of
yesterday.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from streamclf.core.errors import UsageError

EXAMPLES = "yesterday, monday 22:00, 2026-11-01, 7 days ago"
"""Examples for messages and help."""
EARLIEST, LATEST = date(1970, 1, 1), date(2100, 1, 1)
"""Days between which a date must lie."""

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME = re.compile(r"(?:(?P<day>.+?)(?:\s+|t))??(?P<time>\d{1,2}:\d{2}(?::\d{2})?)")
_AGO = re.compile(r"(\d{1,6})\s+(second|minute|hour|day|week)s?\s+ago")
_PLAIN_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_date(
    text: str,
    option: str,
    *,
    end: bool = False,
    now: datetime | None = None,
    zone: tzinfo | None = None,
) -> datetime:
    """Read a date or time.

    Args:
        text: As the module describes it.
        option: Name in error messages, such as ``--since``.
        end: Whether it ends a range: a day alone then means the midnight after it.
        now: The present, with an offset; the system's clock by default.
        zone: The zone; the machine's own by default.

    Returns:
        The moment, with its offset from UTC.

    Raises:
        UsageError: The text is none of these, or names a day or time that does not exist.
    """
    present = (now or datetime.now(UTC)).astimezone(zone)
    plain = " ".join(text.casefold().split())
    try:
        moment = _read_moment(plain, present, zone)
        if moment is None:
            day, at = _split_time(plain)
            found = _read_day(day, present.date()) if day or at is None else present.date()
            if found is None:
                raise UsageError(f"{option} {text!r}: is no date: write it as in {EXAMPLES}")
            if at is None and end:
                found += timedelta(days=1)
            moment = _in_zone(datetime.combine(found, at or time()), zone)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{option} {text!r}: there is no such day or time: write it as in {EXAMPLES}"
        ) from error
    if not EARLIEST <= moment.date() <= LATEST:
        raise UsageError(f"{option} {text!r}: must lie between {EARLIEST.year} and {LATEST.year}")
    return moment


def midnight(day: date, zone: tzinfo | None = None) -> datetime:
    """Return the moment at which a day begins, with its offset from UTC."""
    return _in_zone(datetime.combine(day, time()), zone)


def _in_zone(wall: datetime, zone: tzinfo | None) -> datetime:
    """Give a wall-clock time its offset.

    Of a time that a clock shows twice this is the first. A time that it leaves out is read by the
    offset before.
    """
    if zone is None:
        return wall.astimezone()
    # By way of UTC, so that a time that the clock leaves out becomes one that it shows.
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)


def _read_moment(text: str, now: datetime, zone: tzinfo | None) -> datetime | None:
    """Read what is a moment by itself; None for days and times of a day."""
    if text == "now":
        return now
    ago = _AGO.fullmatch(text)
    if ago and ago[2] not in ("day", "week"):
        passed = timedelta(**{f"{ago[2]}s": int(ago[1])})
        return (now.astimezone(UTC) - passed).astimezone(zone)
    if _PLAIN_DAY.match(text) and not _PLAIN_DAY.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text.upper())
        except ValueError:
            return None
        return moment.astimezone(zone) if moment.tzinfo else _in_zone(moment, zone)
    return None


def _split_time(text: str) -> tuple[str, time | None]:
    """Split a text into a day, which may be empty, and a time of the day."""
    found = _TIME.fullmatch(text)
    if not found:
        return text, None
    hour, minute, second = map(int, f"{found['time']}:00".split(":")[:3])
    return found["day"] or "", time(hour, minute, second)


def _read_day(text: str, today: date) -> date | None:
    """Read a day; None if the text is none."""
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    if ago := _AGO.fullmatch(text):
        if ago[2] not in ("day", "week"):
            return None
        return today - timedelta(days=int(ago[1]) * (7 if ago[2] == "week" else 1))
    name = text.removeprefix("last ")
    if name in _WEEKDAYS:
        since = (today.weekday() - _WEEKDAYS.index(name)) % 7
        return today - timedelta(days=since or 7 * (name != text))
    if _PLAIN_DAY.fullmatch(text):
        return date.fromisoformat(text)
    return None
