"""Seconds heard, minute by minute of the local clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from streamclf.core.records import Block, StreamStarted

MINUTE_US = 60_000_000
NEAR_US = 1_000_000
"""Microseconds before a full minute that count as it: a live clock corrects itself a little."""


@dataclass
class Minute:
    """What was heard in one minute.

    Attributes:
        position: Position of its first sample.
        end: Position at which the next minute begins.
        minute_us: Full minute of the clock, in microseconds UTC; None where the time is unknown.
        utc_offset_min: The place's offset from UTC in minutes; None where the time is unknown.
        heard: Samples heard so far.
    """

    position: int
    end: int
    minute_us: int | None
    utc_offset_min: int | None
    heard: int = 0


def to_us(moment: datetime | None) -> tuple[int | None, int | None]:
    """Convert a time to microseconds UTC, and to its offset from UTC in minutes.

    A time without an offset is taken for one of this machine's zone.
    """
    if moment is None:
        return None, None
    offset = moment.utcoffset()
    if offset is None:
        try:
            moment = moment.astimezone()
        except (OverflowError, OSError, ValueError):  # a year that no clock knows
            return None, None
        offset = moment.utcoffset()
        assert offset is not None
    seconds = (moment.replace(microsecond=0) - _EPOCH).total_seconds()
    return round(seconds) * 1_000_000 + moment.microsecond, round(offset.total_seconds() / 60)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class MinuteCounter:
    """Counter of the samples that are heard in each minute of a stream.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: StreamStarted) -> None:
        self._stream = stream
        self._minute: Minute | None = None

    def add(self, block: Block) -> Iterator[Minute]:
        """Count a block of audio at the model's rate.

        Yields:
            Each minute that it lies in, with the samples counted.
        """
        position = block.position
        while position < block.end:
            minute = self._minute
            if minute is None or not minute.position <= position < minute.end:
                minute = self._minute = self._open(position)
            n_samples = min(block.end, minute.end) - position
            minute.heard += n_samples
            position += n_samples
            yield minute

    def _open(self, position: int) -> Minute:
        length = 60 * self._stream.sample_rate
        us, offset_min = to_us(self._stream.moment(position))
        if us is None:
            return Minute(position, position // length * length + length, None, None)
        minute_us = us // MINUTE_US * MINUTE_US
        if self._minute is not None and minute_us + MINUTE_US - us < NEAR_US:
            minute_us += MINUTE_US
        left_us = minute_us + MINUTE_US - us
        end = position + max(round(left_us * self._stream.sample_rate / 1e6), 1)
        return Minute(position, end, minute_us, offset_min)
