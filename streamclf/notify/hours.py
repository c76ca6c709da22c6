"""Hours of the day by the place's own clock, such as ``22:00-06:00``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

from streamclf.core.errors import UsageError

_DAY_MIN = 24 * 60
_MINUTE_US = 60_000_000
_RANGE = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Hours:
    """Ranges of the day; each holds its first minute and not its last.

    Attributes:
        ranges: Pairs of minutes from midnight. Where the second is not above the first, the range
            goes over midnight.
    """

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls, text: str) -> Hours:
        """Read a text such as ``22:00-06:00`` or ``06:00-08:30, 17:00-22:00``.

        Raises:
            UsageError: It is none. The message begins with ``hours``.
        """
        ranges = []
        for part in text.split(","):
            found = _RANGE.fullmatch(part.strip())
            times = [int(found[i]) * 60 + int(found[i + 1]) for i in (1, 3)] if found else []
            fine = found and int(found[2]) < 60 and int(found[4]) < 60
            if not fine or times[0] >= _DAY_MIN or times[1] > _DAY_MIN or times[0] == times[1]:
                raise UsageError(
                    f"hours {text}: must be a time of the day such as 22:00-06:00, or several with "
                    "commas between them"
                )
            ranges.append((times[0], times[1] % _DAY_MIN))
        return cls(tuple(ranges))

    def hold(self, moment_us: int, utc_offset_min: int) -> bool:
        """Whether a moment lies within them.

        Args:
            moment_us: Microseconds since 1970-01-01 UTC.
            utc_offset_min: The place's offset from UTC at that moment, in minutes.
        """
        minute = _minute_of_day(moment_us, utc_offset_min)
        return any(
            first <= minute < end if first < end else minute >= first or minute < end
            for first, end in self.ranges
        )

    def next_us(self, moment_us: int, utc_offset_min: int) -> int:
        """The moment itself if it lies within them; else the next at which a range begins."""
        if self.hold(moment_us, utc_offset_min):
            return moment_us
        minute = _minute_of_day(moment_us, utc_offset_min)
        wait_min = min((first - minute) % _DAY_MIN for first, _ in self.ranges)
        return moment_us // _MINUTE_US * _MINUTE_US + wait_min * _MINUTE_US


def _minute_of_day(moment_us: int, utc_offset_min: int) -> int:
    return (moment_us // _MINUTE_US + utc_offset_min) % _DAY_MIN


def local_moment(moment_us: int, utc_offset_min: int) -> datetime:
    """A moment as the place's clock shows it, with its offset from UTC."""
    moment = _EPOCH + timedelta(microseconds=moment_us)
    return moment.astimezone(timezone(timedelta(minutes=utc_offset_min)))


def local_day(moment_us: int, utc_offset_min: int) -> date:
    """The day of a moment by the place's clock."""
    return local_moment(moment_us, utc_offset_min).date()
