"""Averaged scores -> sound events.

The average says *whether* there is a sound, the windows say *where*:

- A class turns on when its averaged score reaches ``on``, and off when it falls below ``off``.
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

A sound longer than a window is thus found where it lies, to about a hop; a much shorter one
becomes an event about as long as a window, with the sound in the middle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamclf.card import Thresholds
from streamclf.records import Average, Change, Gap, Notice, SoundEvent

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
    """

    window: int
    hop: int
    average: int
    min_duration: int = 0
    max_gap: int = 0


def detect(
    items: Iterable[Average | Gap | Notice | Change],
    labels: list[str],
    thresholds: Thresholds,
    timing: Timing,
) -> Iterator[Average | SoundEvent | Gap | Notice | Change]:
    """Find events; averages, gaps, notices and changes pass through.

    An event follows the average that ended it; all open events end before a gap and at the
    stream's end. Events that end together come in the order of their onsets.
    """
    segment = _Segment(labels, thresholds, timing)
    for item in items:
        if isinstance(item, Average):
            yield item
            yield from segment.add(item)
        elif isinstance(item, Gap):
            yield from segment.finish()
            yield item
            segment = _Segment(labels, thresholds, timing)
        else:
            if isinstance(item, Change):
                thresholds = item.thresholds
                timing = replace(timing, hop=item.hop, average=item.average)
                segment.retune(thresholds, timing)
            yield item
    yield from segment.finish()


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
    """

    onset: int
    offset: int
    sure: bool = False
    peak: float = 0.0


@dataclass(slots=True)
class _Track:
    """What is known of one class: whether its average is on, and its open event."""

    on: bool = False
    run: _Run | None = None


class _Segment:
    """The events between two gaps."""

    def __init__(self, labels: list[str], thresholds: Thresholds, timing: Timing) -> None:
        self._labels = labels
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
        self._off = np.array([t.off for t in per_class], dtype=np.float32)
        self._timing = timing

    def add(self, average: Average) -> list[SoundEvent]:
        """Take the next average; give the events that it ended."""
        cell = self._cell(average)
        self._last = average
        ended: list[tuple[int, _Run]] = []
        for risen in np.flatnonzero(average.values >= self._on):
            self._tracks.setdefault(int(risen), _Track())
        for index, track in list(self._tracks.items()):
            ended += [(index, run) for run in self._advance(index, track, cell, average)]
            if track.run is None and not track.on:
                del self._tracks[index]
        return self._events(ended)

    def finish(self) -> list[SoundEvent]:
        """Give the events still open, as the audio ends here."""
        if self._last is None:
            return []
        runs = [(k, track.run) for k, track in self._tracks.items() if track.run and track.run.sure]
        for _, run in runs:
            run.offset = self._last.end if run.offset == self._cells[-1].end else run.offset
        self._tracks.clear()
        return self._events(runs)

    def _cell(self, average: Average) -> _Cell:
        timing = self._timing
        end = average.position + timing.window // 2 + (timing.hop + 1) // 2
        if self._last is None:
            self._start = average.position
        start = self._cells[-1].end if self._cells else self._start
        cell = _Cell(start, end, average.scores.values)
        self._cells.append(cell)
        horizon = end - LOOK_BACK * max(timing.average, timing.window)
        while len(self._cells) > 1 and self._cells[0].end <= horizon:
            self._cells.popleft()
        return cell

    def _advance(self, index: int, track: _Track, cell: _Cell, average: Average) -> Iterator[_Run]:
        score = float(average.values[index])
        if not track.on and score >= self._on[index]:
            track.on = True
            yield from self._look_back(index, track, score)
        elif track.on and score < self._off[index]:
            track.on = False
        elif track.on:
            yield from self._extend(index, track, cell)
        run = track.run
        if run is None:
            return
        if track.on:
            run.peak = max(run.peak, score)
        # Looked at from where the next cell will begin: then no pause can be bridged any more.
        if self._has_ended(run, cell.end):
            yield from self._close(index, track, run)

    def _look_back(self, index: int, track: _Track, score: float) -> Iterator[_Run]:
        """Find where, in the windows up to now, the sound lies that turned the average on."""
        known_until = track.run.offset if track.run else self._told_until.get(index, self._start)
        fresh = [cell for cell in self._cells if cell.start >= known_until]
        since = self._cells[-1].end - self._timing.average
        explained = False
        for cell in fresh:
            for run in self._extend(index, track, cell):
                # What ended before the average began is not what turned it on.
                if run.offset > since:
                    explained = True
                    run.peak = max(run.peak, score)
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

    def _events(self, runs: list[tuple[int, _Run]]) -> list[SoundEvent]:
        end = self._last.end if self._last else 0
        short = self._last is not None and self._last.scores.short
        events = [
            SoundEvent(self._labels[index], run.onset, min(run.offset, end), run.peak, short)
            for index, run in sorted(runs, key=lambda pair: (pair[1].onset, pair[0]))
        ]
        return [e for e in events if e.offset - e.onset >= self._timing.min_duration]
