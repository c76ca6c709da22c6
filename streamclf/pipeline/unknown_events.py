"""Averages that name nothing -> events of unknown sounds and of silence, beside the known ones.

What an average says is told by `streamclf.core.unknown.judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from streamclf.core.card import Unknown
from streamclf.core.records import Average, EventBegan, EventOngoing, Gap, Result, SoundEvent
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL, judge
from streamclf.pipeline.events import Found, Timing, Told


def name_unknown(
    found: Iterable[Found], unknown: Unknown, timing: Callable[[], Timing]
) -> Iterator[Result]:
    """Add events ``unknown`` and ``silence`` to the results; all of them pass through.

    Silence is where the silent windows are, and is told of at once. An unknown sound is where the
    averages say so, each standing for a hop around its newest window's centre, and where no known
    event lies: it is told of once it has lasted as long as an average looks back, by when what is
    known has its name. A begin follows the average that made it known, an end the average that
    ended it; all of them end before a gap, as the events of `streamclf.pipeline.events.detect` do.

    Args:
        found: Of one stream, in order.
        unknown: Of the model's card.
        timing: Gives the lengths in force.
    """
    naming = _Naming(unknown)
    for each in found:
        if isinstance(each.item, Average):
            yield each.item
            yield from naming.heed(each.told)
            yield from each.told
            yield from naming.add(each.item, timing())
        else:
            if each.item is None or isinstance(each.item, Gap):
                yield from naming.break_off()
            yield from each.results()


@dataclass(slots=True)
class _Stretch:
    """An event of this module in the making."""

    label: str
    onset: int
    offset: int
    score: float
    newest: float = 0.0
    told: int | None = None


class _Naming:
    """What is unknown or silent, and where known events lie."""

    def __init__(self, unknown: Unknown) -> None:
        self._unknown = unknown
        self._open: set[str] = set()
        self._known_until = 0
        self._since: int | None = None  # since when averages say that a sound is unknown
        self._stretch: _Stretch | None = None
        self._heard, self._short = 0, False

    def heed(self, told: list[Told]) -> Iterator[Told]:
        """Make room for known events; an unknown sound ends where one begins."""
        for record in told:
            if isinstance(record, SoundEvent):
                self._open.discard(record.id)
                self._known_until = max(self._known_until, record.offset)
            elif isinstance(record, EventBegan):
                self._open.add(record.id)
            stretch = self._stretch
            if stretch is None or stretch.label != UNKNOWN_LABEL:
                continue
            if isinstance(record, EventBegan):
                # What was told cannot be taken back: some of it stays.
                least = stretch.onset + (stretch.told is not None)
                stretch.offset = max(least, min(stretch.offset, record.onset))
                yield from self.end()

    def add(self, average: Average, timing: Timing) -> Iterator[Told]:
        """Take the next average."""
        self._heard, self._short = average.end, average.scores.short
        now = self._look(average, timing.hop)
        stretch = self._stretch
        if stretch and now and stretch.label == now.label:
            stretch.offset, stretch.newest = now.offset, now.score
            stretch.score = max(stretch.score, now.score)
        else:
            yield from self.end()
            self._stretch = stretch = now
        if stretch is not None:
            hold = 0 if stretch.label == SILENCE_LABEL else timing.average
            yield from self._go_on(stretch, timing, hold)

    def _go_on(self, stretch: _Stretch, timing: Timing, hold: int) -> Iterator[Told]:
        """Tell of what has lasted long enough; end it and begin it anew in time."""
        if stretch.told is None and self._heard - stretch.onset >= hold:
            yield self._begin(stretch)
        most = timing.max_duration
        while stretch.told is not None and most and stretch.offset - stretch.onset > most:
            end = stretch.onset + most
            yield SoundEvent(stretch.label, stretch.onset, end, stretch.score)
            stretch.onset, stretch.score = end, stretch.newest
            yield self._begin(stretch)
        every = timing.ongoing
        if stretch.told is not None and every and self._heard - stretch.told >= every:
            stretch.told += (self._heard - stretch.told) // every * every
            yield EventOngoing(stretch.label, stretch.onset, stretch.score, self._heard)

    def break_off(self) -> Iterator[Told]:
        """End what is going on, as the audio ends here."""
        self._since = None
        self._open.clear()
        yield from self.end()

    def end(self) -> Iterator[Told]:
        """End what is going on."""
        stretch, self._stretch = self._stretch, None
        if stretch is not None and stretch.offset > stretch.onset:
            if stretch.told is None:
                yield self._begin(stretch)
            place = (stretch.onset, stretch.offset)
            yield SoundEvent(stretch.label, *place, stretch.score, self._short)

    def _begin(self, stretch: _Stretch) -> EventBegan:
        stretch.told = self._heard
        return EventBegan(stretch.label, stretch.onset, stretch.score, self._heard)

    def _look(self, average: Average, hop: int) -> _Stretch | None:
        verdict, score = judge(average, self._unknown)
        if verdict == SILENCE_LABEL:
            self._since = None
            return _Stretch(verdict, average.position, average.end, score, score)
        if verdict == "known":
            self._since = None
            return None
        centre = (average.position + average.end - hop) // 2
        if self._since is None:
            self._since = max(0, centre)
        # While a known event may still be going on, it is; behind its end the sound was unknown.
        onset, offset = max(self._known_until, self._since), centre + hop
        if self._open or offset <= onset:
            return None
        return _Stretch(verdict, onset, offset, score, score)
