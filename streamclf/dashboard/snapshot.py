"""Snapshot of one moment: all that the widgets need to draw it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card, Thresholds
from streamclf.core.unknown import Verdict
from streamclf.dashboard.history import AveragePoint, Entry, History
from streamclf.pipeline.audio_columns import COLUMN_S, Column

SPECTRUM_COLUMNS = 400
TIMELINE_S = 300.0
HOLD_S = 2.0
LEVEL_COLUMNS = 3
MUTED_S = 3.0
QUIETEST_DB = -96.0


@dataclass(frozen=True, slots=True)
class Level:
    """Sound level, in dB relative to full scale.

    Attributes:
        peak_db: Peak of the last `LEVEL_COLUMNS` tenths of a second.
        rms_db: Root mean square of the same time.
        hold_db: Highest peak of the last 2 s.
        clipped: Whether full scale was reached in the last 2 s.
        muted: Whether every sample of the last 3 s was zero.
        missing: Whether there is no audio at this moment.
    """

    peak_db: float = QUIETEST_DB
    rms_db: float = QUIETEST_DB
    hold_db: float = QUIETEST_DB
    clipped: bool = False
    muted: bool = False
    missing: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """State of a session at one moment.

    Attributes:
        card: Card of the model.
        time_s: The moment, in seconds from the session's start.
        values: ``(classes,)`` averaged scores; None before the first window.
        on: ``(classes,)`` thresholds at which an event begins; infinite where none is ever told.
        level: Sound level.
        columns: Columns of the last seconds, the newest last.
        averages: Averaged scores of the last minutes, the newest last.
        entries: Events, gaps and notices known at the moment, the newest last.
        verdict: Whether the sound is known, unknown or silence, and the score of that verdict.
        counts: Number of events by display name in this session, the most frequent first.
    """

    card: Card
    time_s: float
    values: npt.NDArray[np.float32] | None
    on: npt.NDArray[np.float32]
    level: Level
    columns: list[Column]
    averages: list[AveragePoint]
    entries: list[Entry]
    verdict: tuple[Verdict, float] = ("known", 1.0)
    counts: list[tuple[str, int]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Display names of the classes, in their order."""
        return [self.card.display_name(label) for label in self.card.labels]

    @property
    def above(self) -> npt.NDArray[np.bool_]:
        """``(classes,)`` bool: whether each class is at or above its threshold."""
        if self.values is None or self.card.task == "regression":
            return np.zeros(len(self.on), dtype=np.bool_)
        return np.asarray(self.values >= self.on)

    @property
    def active_classes(self) -> set[int]:
        """Indices of the classes with an event at this moment; else of those above their threshold.

        Beside an event stand no classes that are only above their threshold: the event is told by
        the narrowest of them, and by a common name, so that they say the same in other words.
        """
        indices = {name: index for index, name in enumerate(self.names)}
        now = {
            indices[entry.label]
            for entry in self.entries
            if entry.kind == "event"
            and entry.onset_s <= self.time_s <= entry.offset_s
            and entry.label in indices
        }
        return now or {int(index) for index in np.flatnonzero(self.above)}


def take_snapshot(
    history: History, card: Card, thresholds: Thresholds, time_s: float, known_s: float
) -> Snapshot:
    """Take a snapshot of a moment in the history.

    Args:
        history: Audio and results of the session.
        card: Card of the model.
        thresholds: Current thresholds.
        time_s: The moment, in seconds from the session's start.
        known_s: Time up to which entries are listed; events of a recording may lie ahead of
            ``time_s``, to jump to.
    """
    with history.lock:
        columns = history.columns.between(time_s - SPECTRUM_COLUMNS * COLUMN_S, time_s)
        averages = history.averages.between(time_s - TIMELINE_S, time_s)
        heard_s = history.end_s
        entries = [e.at(known_s, heard_s) for e in history.entries if e.known_s <= known_s]
        counts = history.counts(entries)
    newest = averages[-1] if averages else None
    values = newest.values if newest and newest.values.size == len(card.labels) else None
    never = set(thresholds.never)  # no score of theirs is a threshold's
    limits = [np.inf if label in never else thresholds.of(label).on for label in card.labels]
    on = np.array(limits, dtype=np.float32)
    level = measure(columns, time_s)
    verdict = newest.verdict if newest else ("known", 1.0)
    return Snapshot(card, time_s, values, on, level, columns, averages, entries, verdict, counts)


def measure(columns: list[Column], time_s: float) -> Level:
    """Measure the level at a moment, from the columns before it."""
    recent = [column for column in columns[-40:] if column.time_s > time_s - MUTED_S - COLUMN_S]
    if not recent or recent[-1].missing or recent[-1].time_s < time_s - 1.0:
        return Level()
    held = [column for column in recent if column.time_s > time_s - HOLD_S]
    latest = recent[-LEVEL_COLUMNS:]
    power = sum(column.rms**2 for column in latest) / len(latest)
    hold = max(column.peak for column in held) if held else 0.0
    return Level(
        peak_db=decibels(max(column.peak for column in latest)),
        rms_db=decibels(math.sqrt(power)),
        hold_db=decibels(hold),
        clipped=hold >= 0.999,
        muted=len(recent) >= MUTED_S / COLUMN_S and not any(column.peak for column in recent),
        missing=False,
    )


def decibels(amplitude: float) -> float:
    """Convert an amplitude to dB relative to full scale, at least `QUIETEST_DB`."""
    return max(20 * math.log10(amplitude), QUIETEST_DB) if amplitude > 0 else QUIETEST_DB
