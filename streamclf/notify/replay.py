"""The past heard again: what rules would have told of the events in the store."""

from __future__ import annotations

import heapq
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.vocabulary import Vocabulary
from streamclf.notify.happenings import AudioHeard, Happening, Phase, SoundHappened
from streamclf.notify.hours import local_moment
from streamclf.notify.joined_sounds import FOLLOWS_US
from streamclf.notify.messages import Message
from streamclf.notify.rulebook import RuleBook
from streamclf.notify.rules import Rule
from streamclf.notify.store_history import StoreHistory
from streamclf.store.database import connect_to_read, reason_of
from streamclf.store.heard_spans import heard_spans, utc_offsets
from streamclf.store.listing import StoredEvent, list_events
from streamclf.store.names import list_labels, list_sources, read_vocabulary
from streamclf.store.question import Question

PIECE_US = 3_600_000_000
"""Longest audio that is told at once, because the place's offset from UTC may change."""


@dataclass(frozen=True, slots=True)
class WouldTell:
    """A message that a rule would have told.

    Attributes:
        message: The message; ``told_us`` is the moment that it is about.
        clip: Path of the event's clip; None where there is none.
    """

    message: Message
    clip: str | None


def replay(
    store: Path,
    rules: Sequence[Rule],
    since_us: int,
    until_us: int,
    heard: Mapping[str, Sequence[StoredEvent]] | None = None,
    vocabulary: Vocabulary | None = None,
) -> list[WouldTell]:
    """Find what rules would have told of the past, whatever was told then.

    Args:
        store: The store.
        rules: The rules.
        since_us: First moment of a message, in microseconds since 1970-01-01 UTC.
        until_us: Moment after the last.
        heard: Events by the names of live sources, in the order of their onsets, in place of those
            in the store.
        vocabulary: What names mean to the model of these events; None for the store's models.

    Returns:
        The messages, in the order of their moments.

    Raises:
        StoreError: The store cannot be read.
    """
    found: list[WouldTell] = []
    try:
        with closing(connect_to_read(store)) as connection:
            for source in list_sources(connection):
                about = [rule for rule in rules if rule.hears(source.name) and rule.on != "lost"]
                begin_us = _begin_us(connection, source.id, about, since_us)
                book = RuleBook(about, StoreHistory(store, told=False, until_us=begin_us))
                clips: dict[str | None, str] = {}  # of the events that are there
                own = None if heard is None else heard.get(source.name, ())
                for happening, clip in recall(
                    connection, source.id, about, since_us, until_us, own, vocabulary
                ):
                    if isinstance(happening, SoundHappened) and clip is not None:
                        clips[happening.event_id] = clip
                    for message in book.feed(happening):
                        found.append(WouldTell(message, clips.get(message.event_id)))
                    if isinstance(happening, SoundHappened) and happening.phase == "end":
                        clips.pop(happening.event_id, None)
    except sqlite3.Error as error:
        raise StoreError(f"{store}: cannot be read: {reason_of(error)}") from error
    told = [
        WouldTell(replace(each.message, told_us=each.message.moment_us or 0), each.clip)
        for each in found
        if since_us <= (each.message.moment_us or 0) < until_us
    ]
    return sorted(told, key=lambda each: (each.message.told_us, each.message.rule))


def recall(
    connection: sqlite3.Connection,
    source_id: int,
    rules: Sequence[Rule],
    since_us: int,
    until_us: int,
    heard: Sequence[StoredEvent] | None = None,
    vocabulary: Vocabulary | None = None,
) -> Iterator[tuple[Happening, str | None]]:
    """Yield what happened at a source, as the store knows it.

    It begins earlier than asked, as far as the rules look back by themselves.

    Args:
        connection: The store.
        source_id: Row of the source.
        rules: The rules that ask.
        since_us: Begin of the time, in microseconds since 1970-01-01 UTC.
        until_us: Its end.
        heard: Events in place of those in the store.
        vocabulary: What names mean to the model of these events; None for the store's models.

    Yields:
        What happened, in order, and the path of the event's clip, if there is one.
    """
    vocabulary = vocabulary or read_vocabulary(connection, (each.label for each in heard or ()))
    labels = _find_labels(connection, rules, heard, vocabulary)
    (source,) = connection.execute("SELECT name FROM sources WHERE id = ?", (source_id,)).fetchone()
    offsets = utc_offsets(connection, source_id)
    begin_us = _begin_us(connection, source_id, rules, since_us)
    audio = _Audio(source, list(heard_spans(connection, source_id, begin_us, until_us)), offsets)
    if heard is None:
        question = Question(
            since=_moment(begin_us),
            until=_moment(until_us),
            labels=tuple(labels) or ("",),  # none of its sounds matters to a rule
            source_ids=(source_id,),
        )
        events = list_events(connection, question)
    else:
        events = (
            each
            for each in heard
            if each.label in labels and begin_us <= (each.onset_us or 0) < until_us
        )
    yield from _put_in_order(events, source, vocabulary, audio)
    yield from audio.until(until_us)


def _find_labels(
    connection: sqlite3.Connection,
    rules: Sequence[Rule],
    heard: Sequence[StoredEvent] | None,
    vocabulary: Vocabulary,
) -> list[str]:
    """Find the labels that matter to a rule, of all that are known."""
    known = [*list_labels(connection), *(each.label for each in heard or ())]
    return [
        label
        for label in dict.fromkeys(known)
        if any(not rule.labels or vocabulary.asked(rule.labels, label) for rule in rules)
    ]


def _put_in_order(
    events: Iterable[StoredEvent], source: str, vocabulary: Vocabulary, audio: _Audio
) -> Iterator[tuple[Happening, str | None]]:
    """Yield begins and ends of events in the order in which they were known, and audio between."""
    sounding: list[tuple[int, int, StoredEvent]] = []
    for number, event in enumerate(_as_known(events)):
        onset_us = event.onset_us
        assert onset_us is not None
        while sounding and _is_told(sounding[0][2], event):
            yield from _end(heapq.heappop(sounding)[2], source, vocabulary, audio)
        for other in [each for each in sounding if each[2].label == event.label]:
            sounding.remove(other)
            heapq.heapify(sounding)
            yield from _end(other[2], source, vocabulary, audio)
        yield from audio.until(onset_us)
        yield _describe(event, "begin", source, vocabulary), event.clip
        if event.offset_us is not None:
            heapq.heappush(sounding, (event.offset_us, number, event))
    while sounding:
        yield from _end(heapq.heappop(sounding)[2], source, vocabulary, audio)


def _as_known(events: Iterable[StoredEvent]) -> Iterator[StoredEvent]:
    """Yield events in the order in which they were known, as rules were told of them live.

    Where nobody noted when that was, it counts as the onset.

    Args:
        events: The events in the order of their onsets.
    """
    waiting: list[tuple[int, int, StoredEvent]] = []
    for number, event in enumerate(events):
        onset_us = event.onset_us or 0
        while waiting and waiting[0][0] < onset_us:  # all that follow are known later
            yield heapq.heappop(waiting)[2]
        # A clock that was set meanwhile makes none known before it began.
        known_us = max(onset_us if event.began_us is None else event.began_us, onset_us)
        heapq.heappush(waiting, (known_us, number, event))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _is_told(event: StoredEvent, later: StoredEvent) -> bool:
    """Whether the end of an event is known before the begin of a later one.

    It is known some time after it, live, so that what follows at once has begun before.
    """
    assert event.offset_us is not None
    assert later.onset_us is not None
    return event.offset_us + FOLLOWS_US < later.onset_us


def _begin_us(
    connection: sqlite3.Connection, source_id: int, rules: Sequence[Rule], since_us: int
) -> int:
    """The moment at which the recall of a source begins, so that rules know what they look back to.

    Args:
        connection: The store.
        source_id: Row of the source.
        rules: The rules.
        since_us: The moment from which on their messages are asked for.
    """
    zone = _offset_at(utc_offsets(connection, source_id), since_us)
    return since_us - _look_back_us(rules, since_us, zone)


def _look_back_us(rules: Sequence[Rule], since_us: int, zone: int) -> int:
    """How far rules look back: for repeats, cooldown, and to the begin of the day."""
    spans = [max(rule.within or 0.0, rule.cooldown, rule.lasting) for rule in rules]
    look_back_us = round(max(spans, default=0.0) * 1_000_000)
    if any(rule.first_of_day for rule in rules):
        midnight = local_moment(since_us, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        look_back_us = max(look_back_us, since_us - round(midnight.timestamp()) * 1_000_000)
    return min(look_back_us, since_us)


class _Audio:
    """Audio that was heard, told up to one moment after another."""

    def __init__(
        self, source: str, spans: list[tuple[int, int]], offsets: list[tuple[int, int]]
    ) -> None:
        self._source, self._offsets = source, offsets
        self._spans, self._next, self._told_us = spans, 0, 0

    def until(self, moment_us: int) -> Iterator[tuple[Happening, None]]:
        """Yield what was heard up to a moment and was not told."""
        while self._next < len(self._spans) and self._spans[self._next][0] < moment_us:
            first_us, end_us = self._spans[self._next]
            first_us = max(first_us, self._told_us)
            while first_us < min(end_us, moment_us):
                until_us = min(end_us, moment_us, first_us // PIECE_US * PIECE_US + PIECE_US)
                offset = _offset_at(self._offsets, until_us)
                yield AudioHeard(self._source, first_us, until_us, offset), None
                first_us = self._told_us = until_us
            if end_us > moment_us:
                return
            self._next += 1


def _end(
    event: StoredEvent, source: str, vocabulary: Vocabulary, audio: _Audio
) -> Iterator[tuple[Happening, str | None]]:
    assert event.offset_us is not None
    yield from audio.until(event.offset_us)
    yield _describe(event, "end", source, vocabulary), event.clip


def _describe(
    event: StoredEvent, phase: Phase, source: str, vocabulary: Vocabulary
) -> SoundHappened:
    """Describe an event as it begins or ends."""
    ends, onset_us = phase == "end", event.onset_us
    assert onset_us is not None
    return SoundHappened(
        phase=phase,
        event_id=event.id,
        source=source,
        label=event.label,
        name=vocabulary.show(event.label),
        score=max(event.score, event.highest_score) if ends else event.score,
        onset_us=onset_us,
        known_us=(event.offset_us if ends else None) or onset_us,
        offset_us=event.offset_us if ends else None,
        utc_offset_min=event.utc_offset_min or 0,
        sureness=event.sureness if ends else event.begin_sureness,
        vocabulary=vocabulary,
    )


def _offset_at(offsets: list[tuple[int, int]], moment_us: int) -> int:
    """The place's offset from UTC at a moment, in minutes; 0 where nothing tells it."""
    index = bisect_right(offsets, moment_us, key=lambda each: each[0]) - 1
    return offsets[max(index, 0)][1] if offsets else 0


def _moment(moment_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_us)
