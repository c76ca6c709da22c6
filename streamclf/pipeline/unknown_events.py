"""Events of unknown sounds and of silence, added to the events of the model's own classes.

`streamclf.core.unknown.judge` decides whether an average is known, unknown or silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from streamclf.core.records import Average, EventBegan, EventOngoing, Gap, Result, SoundEvent
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL, judge
from streamclf.core.unknown_rule import UnknownRule
from streamclf.pipeline.events import Detections, EventRecord, Timing


def name_unknown(
    detections: Iterable[Detections], unknown: UnknownRule, timing: Callable[[], Timing]
) -> Iterator[Result]:
    """Add events ``unknown`` and ``silence`` to the results; all given results pass through.

    A ``silence`` event covers the silent windows and is announced at once. An ``unknown`` event
    covers the averages that are unknown and lie outside all known events; each average stands for
    one hop around the centre of its newest window. It is announced once it has lasted the length
    of an average, because by then a known sound has turned its class on. Records follow the average
    that caused them, and all events end before a gap, as in `streamclf.pipeline.events.detect`.

    Args:
        detections: One stream, in order.
        unknown: The model's rule for unknown sounds.
        timing: Returns the lengths in force.
    """
    tracker = _UnknownTracker(unknown)
    for detection in detections:
        if isinstance(detection.item, Average):
            yield detection.item
            yield from tracker.take_known(detection.records)
            yield from detection.records
            yield from tracker.add(detection.item, timing())
        else:
            if detection.item is None or isinstance(detection.item, Gap):
                yield from tracker.break_off()
            yield from detection.results()


@dataclass(slots=True)
class _OpenEvent:
    """An event ``unknown`` or ``silence`` that has not ended."""

    label: str
    onset: int
    offset: int
    score: float
    newest: float = 0.0
    announced_until: int | None = None


class _UnknownTracker:
    """The open event ``unknown`` or ``silence``, and the places of known events."""

    def __init__(self, unknown: UnknownRule) -> None:
        self._unknown = unknown
        self._open_ids: set[str] = set()
        self._known_until = 0
        self._unknown_since: int | None = None  # position since which the averages are unknown
        self._event: _OpenEvent | None = None
        self._audio_end, self._short = 0, False

    def take_known(self, records: list[EventRecord]) -> Iterator[EventRecord]:
        """Take the records of known events; end an unknown event where a known one begins."""
        for record in records:
            if isinstance(record, SoundEvent):
                self._open_ids.discard(record.id)
                self._known_until = max(self._known_until, record.offset)
            elif isinstance(record, EventBegan):
                self._open_ids.add(record.id)
            event = self._event
            if event is None or event.label != UNKNOWN_LABEL:
                continue
            if isinstance(record, EventBegan):
                # An announced event cannot be withdrawn: it keeps at least one sample.
                least = event.onset + (event.announced_until is not None)
                event.offset = max(least, min(event.offset, record.onset))
                yield from self.end()

    def add(self, average: Average, timing: Timing) -> Iterator[EventRecord]:
        """Take the next average, and yield the records that it causes."""
        self._audio_end, self._short = average.end, average.scores.short
        now = self._judge(average, timing.hop)
        event = self._event
        if event and now and event.label == now.label:
            event.offset, event.newest = now.offset, now.score
            event.score = max(event.score, now.score)
        else:
            yield from self.end()
            self._event = event = now
        if event is not None:
            hold = 0 if event.label == SILENCE_LABEL else timing.average
            yield from self._announce(event, timing, hold)

    def _announce(self, event: _OpenEvent, timing: Timing, hold: int) -> Iterator[EventRecord]:
        """Announce an event that has lasted ``hold``; split it at the maximum duration."""
        if event.announced_until is None and self._audio_end - event.onset >= hold:
            yield self._begin(event)
        most = timing.max_duration
        while event.announced_until is not None and most and event.offset - event.onset > most:
            end = event.onset + most
            yield SoundEvent(event.label, event.onset, end, event.score)
            event.onset, event.score = end, event.newest
            yield self._begin(event)
        every = timing.ongoing
        if (
            event.announced_until is not None
            and every
            and self._audio_end - event.announced_until >= every
        ):
            event.announced_until += (self._audio_end - event.announced_until) // every * every
            yield EventOngoing(event.label, event.onset, event.score, self._audio_end)

    def break_off(self) -> Iterator[EventRecord]:
        """End the open event, and forget known ones, because the audio ends here."""
        self._unknown_since = None
        self._open_ids.clear()
        yield from self.end()

    def end(self) -> Iterator[EventRecord]:
        """End the open event."""
        event, self._event = self._event, None
        if event is not None and event.offset > event.onset:
            if event.announced_until is None:
                yield self._begin(event)
            place = (event.onset, event.offset)
            yield SoundEvent(event.label, *place, event.score, self._short)

    def _begin(self, event: _OpenEvent) -> EventBegan:
        event.announced_until = self._audio_end
        return EventBegan(event.label, event.onset, event.score, self._audio_end)

    def _judge(self, average: Average, hop: int) -> _OpenEvent | None:
        verdict, score = judge(average, self._unknown)
        if verdict == SILENCE_LABEL:
            self._unknown_since = None
            return _OpenEvent(verdict, average.position, average.end, score, score)
        if verdict == "known":
            self._unknown_since = None
            return None
        centre = (average.position + average.end - hop) // 2
        if self._unknown_since is None:
            self._unknown_since = max(0, centre)
        # Unknown audio begins after the last known event has ended.
        onset, offset = max(self._known_until, self._unknown_since), centre + hop
        if self._open_ids or offset <= onset:
            return None
        return _OpenEvent(verdict, onset, offset, score, score)
