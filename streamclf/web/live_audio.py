"""Picture and level of one source's newest audio, which cost nothing while nobody looks."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from streamclf.core.records import Block, Gap
from streamclf.pipeline.audio_columns import COLUMN_S, Column, ColumnMaker

KEPT_AUDIO_S = 5.0
"""Seconds of audio that wait to be drawn. Older audio is dropped, so that nobody costs nothing."""
KEPT_COLUMNS = 300
"""Columns kept for whoever comes anew: 30 s, 64 bytes each."""
QUIETEST_DB = -96.0
LEVEL_COLUMNS = 3
HOLD_COLUMNS = 20
MUTED_COLUMNS = 30
_CLIPPED = 0.999


@dataclass(frozen=True, slots=True)
class LiveLevel:
    """Sound level at one moment, in dB re full scale; a sine that reaches from -1 to 1 has 0 dB.

    Attributes:
        db: Level of the last `LEVEL_COLUMNS` tenths of a second.
        peak_db: Highest sample of the last 2 s, which has 0 dB at full scale.
        clipped: Whether a sample reached full scale in the last 2 s.
        muted: Whether every sample of the last 3 s was zero.
    """

    db: float
    peak_db: float
    clipped: bool
    muted: bool


@dataclass(frozen=True, slots=True)
class NumberedColumn:
    """A column with its number.

    Attributes:
        number: Counts columns in the order of time; numbers are left out where audio was not drawn.
        column: The column.
    """

    number: int
    column: Column


class LiveAudio:
    """Newest audio of one source, drawn only when it is asked for.

    `hear` is called in the thread of the audio, all else in any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Block | Gap] = deque()
        self._waiting_s = 0.0
        self._drawing = threading.Lock()
        self._maker: ColumnMaker | None = None
        self._rate = self._drawn_until = 0
        self._columns: deque[NumberedColumn] = deque(maxlen=KEPT_COLUMNS)
        self._n_columns = 0

    def hear(self, item: Block | Gap) -> None:
        """Take mono audio or a gap, and drop what is too old to be drawn."""
        with self._lock:
            self._waiting.append(item)
            self._waiting_s += _length_s(item)
            while len(self._waiting) > 1 and self._waiting_s > KEPT_AUDIO_S:
                self._waiting_s -= _length_s(self._waiting.popleft())

    def draw(self) -> None:
        """Draw the audio that has come since the last call."""
        with self._drawing:
            with self._lock:
                items, self._waiting, self._waiting_s = self._waiting, deque(), 0.0
            for item in items:
                self._columns.extend(self._draw(item))

    def columns(self, after: int = -1) -> list[NumberedColumn]:
        """The columns drawn so far with a higher number, oldest first, as far as they are kept."""
        with self._drawing:
            return [each for each in self._columns if each.number > after]

    def level(self) -> LiveLevel | None:
        """Level of what was drawn last; None without audio, or in a gap."""
        with self._drawing:
            newest = [each.column for each in list(self._columns)[-MUTED_COLUMNS:]]
        latest = [column for column in newest[-LEVEL_COLUMNS:] if not column.missing]
        if not latest or newest[-1].missing:
            return None
        power = sum(column.rms**2 for column in latest) / len(latest)
        peak = max(column.peak for column in newest[-HOLD_COLUMNS:])
        return LiveLevel(
            db=_decibels(2 * power),
            peak_db=_decibels(peak**2),
            clipped=peak >= _CLIPPED,
            muted=len(newest) >= MUTED_COLUMNS and not any(column.peak for column in newest),
        )

    def _draw(self, item: Block | Gap) -> Iterator[NumberedColumn]:
        rate = item.sample_rate
        if self._maker is None or self._rate != rate or self._drawn_until != item.position:
            missed_s = (item.position - self._drawn_until) / rate if self._rate == rate else 0.0
            self._n_columns += min(max(round(missed_s / COLUMN_S), 0), KEPT_COLUMNS)
            self._maker, self._rate = ColumnMaker(rate), rate
        self._drawn_until = item.end
        end_s = item.end / rate
        if isinstance(item, Gap):
            made = self._maker.skip(item.n_samples, end_s)
        else:
            made = self._maker.push(item.waveform[0], end_s)
        for column in made:
            yield NumberedColumn(self._n_columns, column)
            self._n_columns += 1


def _length_s(item: Block | Gap) -> float:
    return (item.end - item.position) / item.sample_rate


def _decibels(power: float) -> float:
    """Convert a power, which is 1 at 0 dB, to decibels; at least `QUIETEST_DB`."""
    return max(10 * math.log10(power), QUIETEST_DB) if power > 0 else QUIETEST_DB
