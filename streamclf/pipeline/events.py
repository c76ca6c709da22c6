"""Detection of sound events in averaged scores.

The averages decide *whether* a class sounds, the scores of single windows decide *where*:

- A class turns on when its averaged score reaches ``on``, or sooner when the evidence of single
  windows suffices (`streamclf.pipeline.evidence`). It turns off when the average falls below
  ``off``.
- An average lags: it still holds the sound of ``average`` samples ago. The limits of an event
  therefore come from the windows' own scores. An event covers the windows that score ``off`` or
  more, and bridges pauses of up to ``max_gap``. A faint sound turns the average on late, so the
  detector then also searches the windows before, as far back as `LOOK_BACK`. If it finds several
  runs of windows there, it keeps each run in which a window reached ``on`` by itself, or else the
  last run.
- A window is longer than a hop. A sound is detected, on average, while it reaches the centre of
  the window. The score of a window therefore stands for one hop around its centre, its cell, and an
  event reaches from the cell of its first window to the cell of its last. After a gap, the first
  cell starts where the audio starts; before a gap, the last cell ends where the audio ends.

An event is announced when its class is on and it has lasted ``min_duration``. Its onset is final
then, because the detector searches backwards only at the moment when the class turns on. The event
ends when the pause after it is longer than ``max_gap``.

Where labels have broader ones (a police siren is a siren, too), the narrowest that is on is the
event: while it is on, its broader labels count as silent. One that had begun before ends then.
Kinds that are told by a common name (a bark is a dog) have no events: their scores are those of
the sound, stretched so that the thresholds meet.

The limits of a sound longer than a window are right to about one hop. A much shorter sound becomes
an event about as long as a window, with the sound in its middle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
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
"""How far back to search for an onset, in lengths of the average or of the window, whichever is
longer."""


@dataclass(frozen=True)
class Timing:
    """Lengths that the detection of events uses, in samples.

    Attributes:
        window: Length of a window.
        hop: Distance between the starts of two windows.
        average: Length of the averaging; 0 for none.
        min_duration: Shorter events are dropped.
        max_gap: Pauses up to this long do not end an event.
        max_duration: A longer event is split into events of this length; 0 for no limit.
        ongoing: Distance between two `EventOngoing` of one event; 0 for none.
        begin: ``patient`` turns a class on by its average alone; ``sure`` and ``eager`` also
            by the evidence of single windows.
    """

    window: int
    hop: int
    average: int
    min_duration: int = 0
    max_gap: int = 0
    max_duration: int = 0
    ongoing: int = 0
    begin: Begin = "sure"


EventRecord: TypeAlias = EventBegan | EventOngoing | SoundEvent
Item: TypeAlias = Average | Gap | Notice | Change
Broader: TypeAlias = Mapping[str, Collection[str]]
Values: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Detections:
    """One item of the stream, and the event records that it caused.

    Attributes:
        item: An average, gap, notice or change; None at the end of the stream.
        records: Event records in the order of onsets. They follow an average and precede a gap.
    """

    item: Item | None
    records: list[EventRecord]

    def results(self) -> Iterator[Item | EventRecord]:
        """Yield the item and its records in the order of the output stream."""
        if not isinstance(self.item, Average):
            yield from self.records
        if self.item is not None:
            yield self.item
        if isinstance(self.item, Average):
            yield from self.records


def detect(
    items: Iterable[Item],
    labels: list[str],
    thresholds: Thresholds,
    timing: Timing,
    broader: Broader | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Iterator[Item | EventRecord]:
    """Detect events; averages, gaps, notices and changes pass through.

    An event record follows the average that caused it. All open events end before a gap and at the
    end of the stream. Records of one average come in the order of onsets. Each `EventBegan` is
    followed by one `SoundEvent` with the same onset.

    Args:
        items: One stream, in order; averages hold ``(classes,)`` scores in 0..1.
        labels: Names of the classes, in the order of the scores.
        thresholds: ``on`` and ``off`` scores, until a `Change`.
        timing: Lengths in samples; a `Change` replaces its hop and average.
        broader: For a label all labels that are broader, however far; none of them is an event
            while it is one.
        kinds: Labels that count as others, and these (`streamclf.core.sound_kinds`).
    """
    for detections in detect_grouped(items, labels, thresholds, timing, broader, kinds):
        yield from detections.results()


def detect_grouped(
    items: Iterable[Item],
    labels: list[str],
    thresholds: Thresholds,
    timing: Timing,
    broader: Broader | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Iterator[Detections]:
    """Detect events as `detect` does, and yield each item together with its records."""
    segment = _Segment(labels, thresholds, timing, broader or {}, kinds or {})
    for item in items:
        records: list[EventRecord] = []
        if isinstance(item, Average):
            records = segment.add(item)
        elif isinstance(item, Gap):
            records = segment.finish()
            segment = _Segment(labels, thresholds, timing, broader or {}, kinds or {})
        elif isinstance(item, Change):
            thresholds = item.thresholds
            timing = replace(timing, hop=item.hop, average=item.average)
            segment.retune(thresholds, timing)
        yield Detections(item, records)
    yield Detections(None, segment.finish())


@dataclass(slots=True)
class _Cell:
    """The piece of audio that a window's score stands for: one hop around the window's centre."""

    start: int
    end: int
    scores: npt.NDArray[np.float32]


@dataclass(slots=True)
class _OpenEvent:
    """An event that has not ended.

    Attributes:
        onset: Start of its first window's cell.
        offset: End of its last window's cell.
        confirmed: Whether one of its windows, or the average, reached ``on``.
        peak: Its highest average.
        newest: Its newest average.
        newest_evidence: The newest average, or the newest window's score if that is higher and the
            evidence of single windows sufficed.
        announced_until: End of the audio when its last `EventBegan` or `EventOngoing` was due; None
            before it is announced.
    """

    onset: int
    offset: int
    confirmed: bool = False
    peak: float = 0.0
    newest: float = 0.0
    newest_evidence: float = 0.0
    announced_until: int | None = None

    def update(self, score: float, turn_on_score: float) -> None:
        """Note the newest average, and the newest score that can turn the class on."""
        self.newest, self.newest_evidence, self.peak = score, turn_on_score, max(self.peak, score)


@dataclass(slots=True)
class _ClassState:
    """The state of one class.

    Attributes:
        on: Whether the class is on.
        rising: Whether it turned on by single windows, while its average is still below ``off``.
        event: Its open event.
    """

    on: bool = False
    rising: bool = False
    event: _OpenEvent | None = None


class _Segment:
    """Detector for the audio between two gaps."""

    def __init__(
        self,
        labels: list[str],
        thresholds: Thresholds,
        timing: Timing,
        broader: Broader,
        kinds: Mapping[str, str],
    ) -> None:
        self._labels = labels
        places = {label: index for index, label in enumerate(labels)}
        self._broader = {
            places[label]: [places[other] for other in others] for label, others in broader.items()
        }
        self._kinds = np.array([places[kind] for kind in kinds], dtype=np.intp)
        self._common = np.array([places[name] for name in kinds.values()], dtype=np.intp)
        rule = RULES.get(timing.begin)
        self._evidence = Evidence(len(labels), rule) if rule else None
        self.retune(thresholds, timing)
        self._cells: deque[_Cell] = deque()
        self._states: dict[int, _ClassState] = {}
        self._last: Average | None = None
        self._start = 0
        self._last_offsets: dict[int, int] = {}  # class index -> offset of its last event

    def retune(self, thresholds: Thresholds, timing: Timing) -> None:
        """Use other thresholds and lengths from now on; open events stay open."""
        per_class = [thresholds.of(label) for label in self._labels]
        self._on = np.array([t.on for t in per_class], dtype=np.float32)
        self._kind_on, self._common_on = self._on[self._kinds], self._on[self._common]
        self._on[[label in thresholds.never for label in self._labels]] = np.inf
        self._off = np.array([t.off for t in per_class], dtype=np.float32)
        self._timing = timing
        if self._evidence is not None:
            self._evidence.retune(self._on)

    def add(self, average: Average) -> list[EventRecord]:
        """Take the next average, and return the event records that it causes."""
        average = self._join_kinds(average)
        cell = self._cell(average)
        turn_on_scores = self._turn_on_scores(average)
        self._last = average
        values, turn_on_scores = self._silence_broader(average.values, turn_on_scores, cell)
        ended: list[tuple[int, _OpenEvent]] = []
        for index_on in np.flatnonzero(turn_on_scores >= self._on):
            self._states.setdefault(int(index_on), _ClassState())
        for index, state in list(self._states.items()):
            scores = float(values[index]), float(turn_on_scores[index])
            ended += [(index, event) for event in self._advance(index, state, cell, *scores)]
            if state.event is None and not state.on:
                del self._states[index]
        return self._report(ended)

    def finish(self) -> list[EventRecord]:
        """End all open events, because the audio ends here, and return their records."""
        if self._last is None:
            return []
        events = [
            (k, state.event)
            for k, state in self._states.items()
            if state.event and state.event.confirmed
        ]
        for _, event in events:
            event.offset = self._last.end if event.offset == self._cells[-1].end else event.offset
        self._states.clear()
        return self._report(events)

    def _join_kinds(self, average: Average) -> Average:
        """Give each sound the score of the kind that is surest, and kinds none.

        A kind that reaches its threshold reaches that of the sound; what lies below and above is
        stretched in proportion.
        """
        if not self._kinds.size:
            return average
        scores = replace(average.scores, values=self._join(average.scores.values))
        return replace(average, values=self._join(average.values), scores=scores)

    def _join(self, values: Values) -> Values:
        own, kind_on, common_on = values[self._kinds], self._kind_on, self._common_on
        with np.errstate(divide="ignore", invalid="ignore"):  # a threshold may be 0 or 1
            below = own * (common_on / kind_on)
            above = 1 - (1 - own) * ((1 - common_on) / (1 - kind_on))
        as_common = np.where(own < kind_on, below, np.where(own < 1, above, 1))
        joined = values.copy()
        joined[self._kinds] = 0
        np.maximum.at(joined, self._common, as_common.astype(np.float32))
        return joined

    def _silence_broader(
        self, values: Values, turn_on_scores: Values, cell: _Cell
    ) -> tuple[Values, Values]:
        """Averages and scores that can turn a class on, nought for labels broader than one on.

        The scores of the newest cell become so, too.
        """
        if not self._broader:
            return values, turn_on_scores
        on = {index for index, state in self._states.items() if state.on}
        on.update(np.flatnonzero(turn_on_scores >= self._on).tolist())
        covered = sorted({broad for index in on for broad in self._broader.get(index, ())})
        if not covered:
            return values, turn_on_scores
        kept = np.ones(len(values), np.float32)
        kept[covered] = 0
        cell.scores = cell.scores * kept
        return values * kept, turn_on_scores * kept

    def _turn_on_scores(self, average: Average) -> npt.NDArray[np.float32]:
        """Return the scores that can turn a class on, ``(classes,)``.

        They are the averages, or the newest window's scores where these are higher and the evidence
        of single windows suffices.
        """
        if self._evidence is None:
            return average.values
        held = {index for index, end in self._last_offsets.items() if end > average.position}
        for index, state in self._states.items():
            event = state.event
            if (
                event is not None
                and event.announced_until is not None
                and event.offset > average.position
            ):
                held.add(index)
        other_event = np.full(len(self._labels), bool(held))
        if len(held) == 1:
            other_event[held.pop()] = False
        hop, window = self._timing.hop, self._timing.window
        new = hop if self._last is None else min(average.position - self._last.position, hop)
        sure = self._evidence.add(average.scores.values, new / window, other_event)
        return np.maximum(average.values, sure)

    def _cell(self, average: Average) -> _Cell:
        timing = self._timing
        end = average.position + timing.window // 2 + (timing.hop + 1) // 2
        if self._last is None:
            self._start = average.position
        start = self._cells[-1].end if self._cells else self._start
        # After a change to a shorter hop the cell before may reach beyond the end of this one.
        cell = _Cell(start, max(end, start + 1), average.scores.values)
        self._cells.append(cell)
        horizon = end - LOOK_BACK * max(timing.average, timing.window)
        while len(self._cells) > 1 and self._cells[0].end <= horizon:
            self._cells.popleft()
        return cell

    def _advance(
        self, index: int, state: _ClassState, cell: _Cell, score: float, turn_on_score: float
    ) -> Iterator[_OpenEvent]:
        if not state.on and turn_on_score >= self._on[index]:
            state.on, state.rising = True, True
            yield from self._look_back(index, state, score, turn_on_score)
        elif state.on and self._turns_off(index, state, cell, score):
            state.on = False
        elif state.on:
            yield from self._extend(index, state, cell)
        state.rising &= score < self._off[index]
        event = state.event
        if event is None:
            return
        if state.on:
            event.update(score, turn_on_score)
        # The next cell begins at cell.end: if the pause up to there is too long, the event is over.
        if self._has_ended(event, cell.end):
            yield from self._close(index, state, event)

    def _turns_off(self, index: int, state: _ClassState, cell: _Cell, score: float) -> bool:
        """Whether the average has fallen below ``off``.

        A class that single windows turned on stays on while its average has yet to rise and its
        windows score ``off`` or more.
        """
        below = score < self._off[index]
        return bool(below and not (state.rising and cell.scores[index] >= self._off[index]))

    def _look_back(
        self, index: int, state: _ClassState, score: float, turn_on_score: float
    ) -> Iterator[_OpenEvent]:
        """Find the windows up to now that hold the sound which turned the class on."""
        known_until = (
            state.event.offset if state.event else self._last_offsets.get(index, self._start)
        )
        fresh = [cell for cell in self._cells if cell.start >= known_until]
        cell = self._cells[-1]
        since = cell.end - self._timing.average if score >= self._on[index] else cell.start
        explained = False
        for cell in fresh:
            for event in self._extend(index, state, cell):
                # An event that ended before the average began did not turn the class on.
                if event.offset > since:
                    explained = True
                    event.update(score, turn_on_score)
                    yield event
        if state.event is None and fresh and not explained:
            # An exponential average may reach `on` through windows before the searched ones.
            loudest = max(fresh, key=lambda cell: float(cell.scores[index]))
            state.event = _OpenEvent(loudest.start, loudest.end)
        if state.event is not None and not explained:
            state.event.confirmed = True

    def _extend(self, index: int, state: _ClassState, cell: _Cell) -> Iterator[_OpenEvent]:
        score, event = cell.scores[index], state.event
        if event is not None and self._has_ended(event, cell.start):
            yield from self._close(index, state, event)
            event = None
        if score >= self._off[index]:
            event = state.event = event or _OpenEvent(cell.start, cell.end)
            event.offset = cell.end
            event.confirmed |= bool(score >= self._on[index])

    def _close(self, index: int, state: _ClassState, event: _OpenEvent) -> Iterator[_OpenEvent]:
        state.event = None
        if event.confirmed:
            self._last_offsets[index] = event.offset
            yield event

    def _has_ended(self, event: _OpenEvent, position: int) -> bool:
        """Whether the pause from the event's offset to a position is longer than ``max_gap``."""
        pause = position - event.offset
        return pause > self._timing.max_gap

    def _report(self, ended: list[tuple[int, _OpenEvent]]) -> list[EventRecord]:
        """Return the records that are due now, of ended and of open events, by onset."""
        due: list[tuple[int, int, EventRecord]] = []
        for index, event in ended:
            records = [*self._announce(index, event), *self._end(index, event)]
            due += [(record.onset, index, record) for record in records]
        for index, state in self._states.items():
            if (open_event := state.event) is not None and open_event.confirmed:
                records = [
                    *self._announce(index, open_event),
                    *self._repeat_ongoing(index, open_event),
                ]
                due += [(record.onset, index, record) for record in records]
        return [record for _, _, record in sorted(due, key=lambda each: each[:2])]

    def _announce(self, index: int, event: _OpenEvent) -> Iterator[EventRecord]:
        """Announce an event that has lasted ``min_duration``, and split it at ``max_duration``."""
        label, timing, position = self._labels[index], self._timing, self._audio_end
        while True:
            lasted = min(event.offset, position) - event.onset
            if event.announced_until is None and lasted >= timing.min_duration:
                event.announced_until = position
                yield EventBegan(
                    label, event.onset, max(event.peak, event.newest_evidence), position
                )
            if (
                event.announced_until is None
                or not timing.max_duration
                or lasted <= timing.max_duration
            ):
                break
            yield SoundEvent(label, event.onset, event.onset + timing.max_duration, event.peak)
            event.onset, event.announced_until = event.onset + timing.max_duration, None
            event.peak = event.newest

    def _repeat_ongoing(self, index: int, event: _OpenEvent) -> Iterator[EventRecord]:
        every = self._timing.ongoing
        if (
            event.announced_until is not None
            and every
            and self._audio_end - event.announced_until >= every
        ):
            event.announced_until += (self._audio_end - event.announced_until) // every * every
            yield EventOngoing(self._labels[index], event.onset, event.peak, self._audio_end)

    def _end(self, index: int, event: _OpenEvent) -> Iterator[EventRecord]:
        """Yield the `SoundEvent` of an event that was announced."""
        if event.announced_until is not None:
            offset = min(event.offset, self._audio_end)
            short = self._last is not None and self._last.scores.short
            yield SoundEvent(self._labels[index], event.onset, offset, event.peak, short)

    @property
    def _audio_end(self) -> int:
        """Position just after the last sample so far."""
        return self._last.end if self._last else 0
