"""Seconds heard and sound levels, minute by minute of the local clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from streamclf.core.records import Block, StreamStarted, rescale
from streamclf.pipeline.levels import LevelPiece, Levels, LevelSummary

MINUTE_US = 60_000_000
N_RECENT = 3
"""Newest minutes to which what is measured may still be added."""
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
        n_changes: Number of changes to it.
    """

    position: int
    end: int
    minute_us: int | None
    utc_offset_min: int | None
    heard: int = 0
    n_changes: int = 0
    _summary: LevelSummary | None = field(default_factory=LevelSummary)
    _levels: Levels | None = None

    def count(self, n_samples: int) -> None:
        """Count samples that were heard."""
        self.heard += n_samples
        self.n_changes += 1

    def measure(self, piece: LevelPiece) -> None:
        """Add what was measured in a second of it."""
        if self._summary is not None:
            self._summary.add(piece)
            self.n_changes += 1

    def levels(self) -> Levels | None:
        """Levels of the minute, in dBFS; None if nothing was measured."""
        return self._levels if self._summary is None else self._summary.levels()

    def settle(self) -> None:
        """Keep the levels alone, and not the values that they are made from."""
        if self._summary is not None:
            self._levels, self._summary = self._summary.levels(), None


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
    """Counter of the samples that are heard in each minute of a stream, and of their levels.

    What is measured may come before or after the samples are counted, by seconds.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: StreamStarted) -> None:
        self._stream = stream
        self._minute: Minute | None = None
        self._recent: deque[Minute] = deque()
        self._ahead: deque[LevelPiece] = deque()

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
            minute.count(n_samples)
            position += n_samples
            self._place_pieces()
            yield minute

    def measure(self, piece: LevelPiece) -> Iterator[Minute]:
        """Take what was measured in a second of the source's audio.

        Yields:
            Each minute that has changed.
        """
        self._ahead.append(piece)
        yield from self._place_pieces()

    def _place_pieces(self) -> list[Minute]:
        """Add each piece to the minute in which it begins, once that is counted."""
        changed = []
        while self._ahead and self._minute is not None:
            piece = self._ahead[0]
            position = rescale(piece.position, piece.sample_rate, self._stream.sample_rate)
            if position >= self._minute.end:
                break
            self._ahead.popleft()
            # A piece that lies between two minutes by rounding belongs to the one before.
            begun = [minute for minute in self._recent if minute.position <= position]
            minute = begun[-1] if begun else self._recent[0]
            minute.measure(piece)
            changed.append(minute)
        return changed

    def _open(self, position: int) -> Minute:
        minute = self._time(position)
        self._recent.append(minute)
        if len(self._recent) > N_RECENT:
            self._recent.popleft().settle()
        return minute

    def _time(self, position: int) -> Minute:
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
