"""Averaged scores -> sound events: when they begin, and when they have ended.

The average says *whether* there is a sound, the windows say *where*:

- A class turns on when its averaged score reaches ``on``, or sooner where the windows alone are
  sure (`streamclf.pipeline.evidence`), and off when the average falls below ``off``.
- An average lags behind: it still holds what sounded ``average`` seconds ago. So the place of
  an event is taken from the windows' own scores: it is where they stay at ``off`` or above,
  across pauses of up to ``max_gap``. Once the average is on, that is also looked for in the
  windows before, as far back as `LOOK_BACK` says: a sound that is hard to hear turns the average on
  late. Of several such stretches those count of which a window reached ``on`` by itself; if none
  did, the last.
- A window is longer than a hop, and a sound is heard from some moment after it enters a window
  until some moment before it has left, on average while it reaches the window's centre. So a
  window's score stands for one hop around its centre, its cell, and an event reaches from its
  first window's cell to its last one's. The first and the last window of a stretch of audio
  stand for the rest of it on their side as well.

An event is told of as soon as its class is on, and it is sure to last ``min_duration``: its onset
is final by then, since only what has been heard already is looked back upon. It ends once no pause
can be bridged any more.

A sound longer than a window is thus found where it lies, to about a hop; a much shorter one
becomes an event about as long as a window, with the sound in the middle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Thresholds
from streamclf.core.records import (
    Average,
    Change,
    EventBegan,
    EventOngoing,
    Gap,
    Notice,
    SoundEvent,
)
from streamclf.core.settings import Begin
from streamclf.pipeline.evidence import RULES, Evidence

LOOK_BACK = 3
"""So many averages, or windows where they are longer, are looked through for an event's begin."""


@dataclass(frozen=True)
class Timing:
    """The lengths that place an event, in samples.

    Attributes:
        window: Length of a window.
        hop: Distance between windows.
        average: How far back the average looks.
        min_duration: Shorter events are dropped.
        max_gap: Pauses up to this long are bridged.
        max_duration: Events end and begin anew when they have lasted so long; 0: they last.
        ongoing: Between two `EventOngoing` of an event; 0: there are none.
        begin: Whether a class turns on by its average alone, or by sure windows as well.
    """

    window: int
    hop: int
    average: int
    min_duration: int = 0
    max_gap: int = 0
    max_duration: int = 0
    ongoing: int = 0
    begin: Begin = "sure"


Told: TypeAlias = EventBegan | EventOngoing | SoundEvent
Item: TypeAlias = Average | Gap | Notice | Change


@dataclass(frozen=True, slots=True)
class Found:
    """What one item made known.

    Attributes:
        item: An average, gap, notice or change; None at the stream's end.
        told: What became known by it, in the order of onsets: behind an average, before a gap.
    """

    item: Item | None
    told: list[Told]

    def results(self) -> Iterator[Item | Told]:
        """All of it, in order."""
        if not isinstance(self.item, Average):
            yield from self.told
        if self.item is not None:
            yield self.item
        if isinstance(self.item, Average):
            yield from self.told


def detect(
    items: Iterable[Item], labels: list[str], thresholds: Thresholds, timing: Timing
) -> Iterator[Item | Told]:
    """Find events; averages, gaps, notices and changes pass through.

    An event's begin follows the average that made it known, its end the average that ended it; all
    open events end before a gap and at the stream's end. What becomes known together comes in the
    order of onsets. Each `EventBegan` is followed by one `SoundEvent` with the same onset.
    """
    for found in find(items, labels, thresholds, timing):
        yield from found.results()


def find(
    items: Iterable[Item], labels: list[str], thresholds: Thresholds, timing: Timing
) -> Iterator[Found]:
    """Find events, as `detect` does; what each item made known comes together."""
    segment = _Segment(labels, thresholds, timing)
    for item in items:
        told: list[Told] = []
        if isinstance(item, Average):
            told = segment.add(item)
        elif isinstance(item, Gap):
            told = segment.finish()
            segment = _Segment(labels, thresholds, timing)
        elif isinstance(item, Change):
            thresholds = item.thresholds
            timing = replace(timing, hop=item.hop, average=item.average)
            segment.retune(thresholds, timing)
        yield Found(item, told)
    yield Found(None, segment.finish())


@dataclass(slots=True)
class _Cell:
    """The stretch of audio that a window's score stands for."""

    start: int
    end: int
    scores: npt.NDArray[np.float32]


@dataclass(slots=True)
class _Run:
    """An event in the making.

    Attributes:
        onset: Of its first window's cell.
        offset: Of its last one's.
        sure: Whether one of its windows, or the average, reached ``on``.
        peak: Its highest average.
        newest: Its newest average.
        told_by: The newest average, or the newest window's score where that is sure by itself.
        told: Until where it was told of: when it began, or was last said to go on; None: never.
    """

    onset: int
    offset: int
    sure: bool = False
    peak: float = 0.0
    newest: float = 0.0
    told_by: float = 0.0
    told: int | None = None

    def take(self, score: float, best: float) -> None:
        """Take the newest average, and what speaks for the event now."""
        self.newest, self.told_by, self.peak = score, best, max(self.peak, score)


@dataclass(slots=True)
class _Track:
    """What is known of one class.

    Attributes:
        on: Whether it is on.
        rising: Whether it is, although the average has not reached ``off`` yet.
        run: Its open event.
    """

    on: bool = False
    rising: bool = False
    run: _Run | None = None


class _Segment:
    """The events between two gaps."""

    def __init__(self, labels: list[str], thresholds: Thresholds, timing: Timing) -> None:
        self._labels = labels
        rule = RULES.get(timing.begin)
        self._evidence = Evidence(len(labels), rule) if rule else None
        self.retune(thresholds, timing)
        self._cells: deque[_Cell] = deque()
        self._tracks: dict[int, _Track] = {}
        self._last: Average | None = None
        self._start = 0
        self._told_until: dict[int, int] = {}  # where each class's last event ended

    def retune(self, thresholds: Thresholds, timing: Timing) -> None:
        """Go on with other thresholds and lengths; open events stay open until they end."""
        per_class = [thresholds.of(label) for label in self._labels]
        self._on = np.array([t.on for t in per_class], dtype=np.float32)
        self._on[[label in thresholds.never for label in self._labels]] = np.inf
        self._off = np.array([t.off for t in per_class], dtype=np.float32)
        self._timing = timing
        if self._evidence is not None:
            self._evidence.retune(self._on)

    def add(self, average: Average) -> list[Told]:
        """Take the next average; give what it made known."""
        cell = self._cell(average)
        best = self._best(average)
        self._last = average
        ended: list[tuple[int, _Run]] = []
        for risen in np.flatnonzero(best >= self._on):
            self._tracks.setdefault(int(risen), _Track())
        for index, track in list(self._tracks.items()):
            scores = float(average.values[index]), float(best[index])
            ended += [(index, run) for run in self._advance(index, track, cell, *scores)]
            if track.run is None and not track.on:
                del self._tracks[index]
        return self._tell(ended)

    def finish(self) -> list[Told]:
        """Give the events still open, as the audio ends here."""
        if self._last is None:
            return []
        runs = [(k, track.run) for k, track in self._tracks.items() if track.run and track.run.sure]
        for _, run in runs:
            run.offset = self._last.end if run.offset == self._cells[-1].end else run.offset
        self._tracks.clear()
        return self._tell(runs)

    def _best(self, average: Average) -> npt.NDArray[np.float32]:
        """``(classes,)``: averages, or the newest window's scores where they are sure at once."""
        if self._evidence is None:
            return average.values
        held = {index for index, end in self._told_until.items() if end > average.position}
        for index, track in self._tracks.items():
            run = track.run
            if run is not None and run.told is not None and run.offset > average.position:
                held.add(index)
        beside = np.full(len(self._labels), bool(held))
        if len(held) == 1:
            beside[held.pop()] = False
        hop, window = self._timing.hop, self._timing.window
        new = hop if self._last is None else min(average.position - self._last.position, hop)
        sure = self._evidence.add(average.scores.values, new / window, beside)
        return np.maximum(average.values, sure)

    def _cell(self, average: Average) -> _Cell:
        timing = self._timing
        end = average.position + timing.window // 2 + (timing.hop + 1) // 2
        if self._last is None:
            self._start = average.position
        start = self._cells[-1].end if self._cells else self._start
        # Behind a change to a shorter hop the last window's cell may reach beyond this one's.
        cell = _Cell(start, max(end, start + 1), average.scores.values)
        self._cells.append(cell)
        horizon = end - LOOK_BACK * max(timing.average, timing.window)
        while len(self._cells) > 1 and self._cells[0].end <= horizon:
            self._cells.popleft()
        return cell

    def _advance(
        self, index: int, track: _Track, cell: _Cell, score: float, best: float
    ) -> Iterator[_Run]:
        if not track.on and best >= self._on[index]:
            track.on, track.rising = True, True
            yield from self._look_back(index, track, score, best)
        elif track.on and self._turns_off(index, track, cell, score):
            track.on = False
        elif track.on:
            yield from self._extend(index, track, cell)
        track.rising &= score < self._off[index]
        run = track.run
        if run is None:
            return
        if track.on:
            run.take(score, best)
        # Looked at from where the next cell will begin: then no pause can be bridged any more.
        if self._has_ended(run, cell.end):
            yield from self._close(index, track, run)

    def _turns_off(self, index: int, track: _Track, cell: _Cell, score: float) -> bool:
        """Whether the average has fallen; one that still has to rise is waited for."""
        below = score < self._off[index]
        return bool(below and not (track.rising and cell.scores[index] >= self._off[index]))

    def _look_back(self, index: int, track: _Track, score: float, best: float) -> Iterator[_Run]:
        """Find where, in the windows up to now, the sound lies that turned the class on."""
        known_until = track.run.offset if track.run else self._told_until.get(index, self._start)
        fresh = [cell for cell in self._cells if cell.start >= known_until]
        cell = self._cells[-1]
        since = cell.end - self._timing.average if score >= self._on[index] else cell.start
        explained = False
        for cell in fresh:
            for run in self._extend(index, track, cell):
                # What ended before the average began is not what turned it on.
                if run.offset > since:
                    explained = True
                    run.take(score, best)
                    yield run
        if track.run is None and fresh and not explained:
            # An exponential average may reach `on` through windows further back than it looks.
            loudest = max(fresh, key=lambda cell: float(cell.scores[index]))
            track.run = _Run(loudest.start, loudest.end)
        if track.run is not None and not explained:
            track.run.sure = True

    def _extend(self, index: int, track: _Track, cell: _Cell) -> Iterator[_Run]:
        score, run = cell.scores[index], track.run
        if run is not None and self._has_ended(run, cell.start):
            yield from self._close(index, track, run)
            run = None
        if score >= self._off[index]:
            run = track.run = run or _Run(cell.start, cell.end)
            run.offset = cell.end
            run.sure |= bool(score >= self._on[index])

    def _close(self, index: int, track: _Track, run: _Run) -> Iterator[_Run]:
        track.run = None
        if run.sure:
            self._told_until[index] = run.offset
            yield run

    def _has_ended(self, run: _Run, position: int) -> bool:
        """Whether the pause from an event to a position is too long to bridge."""
        pause = position - run.offset
        return pause > self._timing.max_gap

    def _tell(self, ended: list[tuple[int, _Run]]) -> list[Told]:
        """What is to be told now of events that ended, and of those that are open."""
        told: list[tuple[int, int, Told]] = []
        for index, run in ended:
            records = [*self._go_on(index, run), *self._end(index, run)]
            told += [(record.onset, index, record) for record in records]
        for index, track in self._tracks.items():
            if track.run is not None and track.run.sure:
                records = [*self._go_on(index, track.run), *self._say_ongoing(index, track.run)]
                told += [(record.onset, index, record) for record in records]
        return [record for _, _, record in sorted(told, key=lambda each: each[:2])]

    def _go_on(self, index: int, run: _Run) -> Iterator[Told]:
        """Tell of an event once it has lasted long enough; end it and begin it anew in time."""
        label, timing, position = self._labels[index], self._timing, self._heard
        while True:
            lasted = min(run.offset, position) - run.onset
            if run.told is None and lasted >= timing.min_duration:
                run.told = position
                yield EventBegan(label, run.onset, max(run.peak, run.told_by), position)
            if run.told is None or not timing.max_duration or lasted <= timing.max_duration:
                break
            yield SoundEvent(label, run.onset, run.onset + timing.max_duration, run.peak)
            run.onset, run.told = run.onset + timing.max_duration, None
            run.peak = run.newest

    def _say_ongoing(self, index: int, run: _Run) -> Iterator[Told]:
        every = self._timing.ongoing
        if run.told is not None and every and self._heard - run.told >= every:
            run.told += (self._heard - run.told) // every * every
            yield EventOngoing(self._labels[index], run.onset, run.peak, self._heard)

    def _end(self, index: int, run: _Run) -> Iterator[Told]:
        """Tell the end of what was told of."""
        if run.told is not None:
            offset = min(run.offset, self._heard)
            short = self._last is not None and self._last.scores.short
            yield SoundEvent(self._labels[index], run.onset, offset, run.peak, short)

    @property
    def _heard(self) -> int:
        """How much has been heard."""
        return self._last.end if self._last else 0
