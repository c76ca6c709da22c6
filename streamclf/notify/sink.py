"""Sink that turns the records of a stream into what rules and targets are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streamclf.core.records import (
    Average,
    EventBegan,
    EventOngoing,
    Gap,
    Result,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.stats import Statistics
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.happenings import AudioHeard, Happening, Phase, SoundHappened
from streamclf.sinks.base import Sink
from streamclf.store.minutes import to_us

HEARD_EVERY_S = 1.0
"""Seconds of audio that are told together, where nothing else happens."""
LEAST_RISE = 0.01
"""Rise of an event's score that is told while it goes on."""


@dataclass(slots=True)
class _Open:
    """An event that sounds: what its begin said."""

    event_id: str
    onset_us: int
    utc_offset_min: int
    score: float


class HappeningSink(Sink):
    """Sink of one source, which never waits.

    A begin is told the moment it is known. Audio counts as heard once it was scored, because only
    then is it known that nothing was in it.

    Args:
        name: Name of the source.
        take: Takes what happened, without waiting; called in the stream's thread.
        now_us: Returns microseconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        name: str,
        take: Callable[[Happening], None],
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._name, self._take, self._now_us = name, take, now_us
        self._stream: StreamStarted | None = None
        self._vocabulary: Vocabulary | None = None
        self._index: dict[str, int] = {}  # of each label among the scores
        self._open: dict[tuple[str, int], _Open] = {}
        self._from: int | None = None  # position of the first sample that was not told as heard
        self._until = 0
        self._from_us = 0

    def begin(self, stream: StreamStarted) -> None:
        """Note the stream; events of one before end."""
        self._end_events()
        self._stream = stream
        self._vocabulary = Vocabulary.of_stream(stream)
        self._index = {label: index for index, label in enumerate(stream.labels)}
        self._from = None

    def write(self, result: Result) -> None:
        """Tell of a result."""
        if self._stream is None:
            return
        if isinstance(result, Average):
            self._hear(self._stream, result)
        elif isinstance(result, Gap):
            self._tell_heard(self._stream)
            self._from = None
        elif isinstance(result, EventBegan):
            self._begin_event(self._stream, result)
        elif isinstance(result, EventOngoing):
            opened = self._open.get((result.label, result.onset))
            if opened is not None:
                opened.score = result.score
                self._tell(self._stream, "ongoing", result.label, opened)
        elif isinstance(result, SoundEvent):
            self._end_event(self._stream, result)

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """End the events that nobody ended."""
        self._end_events()

    def close(self) -> None:
        """End the events that nobody ended; nothing is left to release."""
        self._end_events()

    def _begin_event(self, stream: StreamStarted, event: EventBegan | SoundEvent) -> None:
        self._tell_heard(stream)
        onset_us, offset_min = to_us(stream.moment(event.onset))
        if onset_us is None:
            onset_us = self._now_us()
        opened = _Open(stream.event_id(event.id), onset_us, offset_min or 0, event.score)
        self._open[event.label, event.onset] = opened
        self._tell(stream, "begin", event.label, opened)

    def _end_event(self, stream: StreamStarted, event: SoundEvent) -> None:
        self._tell_heard(stream)
        key = (event.label, event.onset)
        if key not in self._open:
            self._begin_event(stream, event)
        opened = self._open.pop(key)
        opened.score = event.score
        length_us = (event.offset - event.onset) * 1_000_000 // stream.sample_rate
        self._tell(stream, "end", event.label, opened, opened.onset_us + length_us)

    def _end_events(self) -> None:
        """End events whose end nobody will tell, where a run fails in the middle of them."""
        stream = self._stream
        if stream is None:
            return
        self._tell_heard(stream)
        for (label, onset), opened in self._open.items():
            n_samples = max(self._until - onset, 0)
            length_us = n_samples * 1_000_000 // stream.sample_rate
            self._tell(stream, "end", label, opened, opened.onset_us + length_us)
        self._open.clear()

    def _tell(
        self,
        stream: StreamStarted,
        phase: Phase,
        label: str,
        opened: _Open,
        offset_us: int | None = None,
    ) -> None:
        self._take(
            SoundHappened(
                phase=phase,
                event_id=opened.event_id,
                source=self._name,
                label=label,
                name=stream.display_name(label),
                score=opened.score,
                onset_us=opened.onset_us,
                known_us=self._now_us(),
                offset_us=offset_us,
                utc_offset_min=opened.utc_offset_min,
                sureness=stream.tell_sureness(label, opened.score),
                vocabulary=self._vocabulary,
            )
        )

    def _hear(self, stream: StreamStarted, average: Average) -> None:
        """Count the audio of a window as heard."""
        if self._from is None:
            self._from = average.position
            self._from_us = self._us(stream, average.position)
        self._until = max(average.end, self._from)
        self._raise_scores(stream, average)
        if self._until - self._from >= HEARD_EVERY_S * stream.sample_rate:
            self._tell_heard(stream)

    def _raise_scores(self, stream: StreamStarted, average: Average) -> None:
        """Tell of events whose score has risen, because a rule may wait for a higher one."""
        for (label, _), opened in self._open.items():
            index = self._index.get(label)
            score = float(average.values[index]) if index is not None else 0.0
            if score >= opened.score + LEAST_RISE or (
                score > opened.score
                and stream.tell_sureness(label, score) != stream.tell_sureness(label, opened.score)
            ):
                opened.score = score
                self._tell(stream, "ongoing", label, opened)

    def _tell_heard(self, stream: StreamStarted) -> None:
        """Tell of the audio since the last time."""
        if self._from is None or self._until <= self._from:
            return
        until_us = self._us(stream, self._until)
        from_us = self._from_us
        if until_us <= from_us:  # the clock was set back
            from_us = until_us - (self._until - self._from) * 1_000_000 // stream.sample_rate
        _, offset_min = to_us(stream.moment(self._until))
        self._take(AudioHeard(self._name, from_us, until_us, offset_min or 0))
        # What follows joins it, also where the clock has become more exact meanwhile.
        self._from, self._from_us = self._until, until_us

    def _us(self, stream: StreamStarted, position: int) -> int:
        moment_us, _ = to_us(stream.moment(position))
        return self._now_us() if moment_us is None else moment_us
