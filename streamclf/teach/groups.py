"""Events grouped by likeness: the same unknown sound, heard again and again.

An event is the mean of its kept features, measured by how other sounds spread (`Background`). Two
events are alike where these point the same way. Groups are taken one after the other: the event
with the most others like it, and these, leave; then the next one of what is left.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamclf.core.unknown import UNKNOWN_LABEL
from streamclf.store.browse import Entry, find_entry
from streamclf.store.features.feature_store import FeatureFile, FeatureStore
from streamclf.store.listing import StoredEvent, list_events
from streamclf.store.question import Question
from streamclf.store.reviews import review_event
from streamclf.store.said_labels import find_said_label
from streamclf.teach.common_sounds import read_common_sounds
from streamclf.teach.examples import Features
from streamclf.teach.fit import Background

ALIKE = 0.6
"""Cosine from which two events count as alike. Of two noisy recordings of the same sound three
quarters are, of two different sounds one in a hundred."""
LEAST = 2
"""Events that make a group."""
MOST_EVENTS = 4000
"""Newest events that are compared with each other."""
MOST_BACKGROUND = 3000
N_LOOKED_AT = 20
"""Events of a group among which one is looked for that can be played."""
APART_S = 10.0
"""Pause in seconds between two events of a group that makes them two times that it was heard. What
goes on for hours is told in many events, and is heard once."""
USUAL_SHARE = 0.4
"""Share of a group's events that makes three hours of the day its usual time."""


@dataclass(frozen=True, eq=False)
class Group:
    """Events that are alike.

    Attributes:
        events: The events, the most typical first.
        likeness: Median likeness of the others to the first.
    """

    events: tuple[StoredEvent, ...]
    likeness: float

    @cached_property
    def times(self) -> tuple[tuple[StoredEvent, StoredEvent], ...]:
        """The first and the last event of each time that it was heard, stream by stream."""
        streams: dict[tuple[str, str], list[StoredEvent]] = defaultdict(list)
        for event in self.events:
            # Positions count from the begin of a run, times do not.
            run = event.run if event.onset_us is None else ""
            streams[event.stream, run].append(event)
        found: list[tuple[StoredEvent, StoredEvent]] = []
        for events in streams.values():
            ordered = sorted(events, key=_begin_s)
            first = last = ordered[0]
            for event in ordered[1:]:
                if _begin_s(event) - _end_s(last) > APART_S:
                    found.append((first, last))
                    first = event
                last = event
            found.append((first, last))
        return tuple(found)

    @property
    def n_times(self) -> int:
        """How often it was heard: events with short pauses between them are one time."""
        return len(self.times)

    @property
    def usual_hour(self) -> int | None:
        """Hour of the day around which it mostly begins; None where there is none."""
        hours = [first.time.hour for first, _ in self.times if first.time is not None]
        if not hours:
            return None
        counts = Counter(hours)
        near = {hour: sum(counts[(hour + by) % 24] for by in (-1, 0, 1)) for hour in counts}
        hour = max(near, key=lambda each: (near[each], counts[each], -each))
        return hour if near[hour] >= USUAL_SHARE * len(hours) and len(hours) > LEAST else None

    @property
    def last(self) -> datetime | None:
        """When the newest one began, by the place's clock; None where nothing tells the time."""
        timed = [event for event in self.events if event.onset_us is not None]
        return max(timed, key=lambda event: event.onset_us or 0).time if timed else None

    @property
    def length_s(self) -> float:
        """Median length in seconds of the times that it was heard."""
        return float(np.median([_end_s(last) - _begin_s(first) for first, last in self.times]))


def _begin_s(event: StoredEvent) -> float:
    return event.onset_s if event.onset_us is None else event.onset_us / 1e6


def _end_s(event: StoredEvent) -> float:
    if event.onset_us is not None and event.offset_us is not None:
        return event.offset_us / 1e6
    return _begin_s(event) + (event.offset_s or event.onset_s) - event.onset_s


def group_events(kept: FeatureStore, events: Sequence[StoredEvent]) -> tuple[list[Group], int, int]:
    """Group events by likeness.

    Args:
        kept: Their features.
        events: The events, the earliest first.

    Returns:
        The groups, the one first that was heard most often; how many events are like no other; how
        many have no kept features. Events are compared with those of the same features: each model
        has groups of its own.
    """
    events = [event for event in events if event.offset is not None][-MOST_EVENTS:]
    left, groups = events, list[Group]()
    for digest in reversed(kept.digests()):
        vectors = _read_vectors(kept, left, digest)
        known = [event for event in left if event.row in vectors]
        left = [event for event in left if event.row not in vectors]
        groups += _group_known(kept, digest, known, vectors)
    groups.sort(key=lambda group: (-group.n_times, -len(group.events)))
    n_grouped = sum(len(group.events) for group in groups)
    return groups, len(events) - len(left) - n_grouped, len(left)


def _group_known(
    kept: FeatureStore,
    digest: str,
    known: Sequence[StoredEvent],
    vectors: Mapping[int, Features],
) -> list[Group]:
    """Group events whose features have one digest."""
    if not known:
        return []
    background = _background(kept, digest)
    stacked = np.stack([vectors[event.row] for event in known])
    directions = background.whiten(stacked) if background is not None else stacked
    found = group_vectors(np.asarray(directions, dtype=np.float32))
    return [Group(tuple(known[place] for place in places), likeness) for places, likeness in found]


def group_unknown(connection: sqlite3.Connection, store: Path) -> tuple[list[Group], int, int]:
    """Group the unknown sounds of which nobody has said what they were; see `group_events`.

    Args:
        connection: The store.
        store: Its path, beside which the features lie.
    """
    question = Question(labels=(UNKNOWN_LABEL,), reviewed="not")
    return group_events(FeatureStore.beside(store), list(list_events(connection, question)))


def find_example(connection: sqlite3.Connection, group: Group) -> Entry:
    """Find the most typical event of a group, best one that can be played."""
    rows = [event.row for event in group.events[:N_LOOKED_AT]]
    entries = [entry for row in rows if (entry := find_entry(connection, row)) is not None]
    with_clip = (each for each in entries if each.clip is not None and each.clip.is_there)
    return next(with_clip, entries[0])


def review_group(store: sqlite3.Connection, rows: Sequence[int], name: str, now_us: int) -> int:
    """Say of unknown events what they were; returns of how many.

    Args:
        store: The store, in a transaction.
        rows: Their rows; events that have a name are left as they are.
        name: What they were.
        now_us: Now, in microseconds since 1970-01-01 UTC.
    """
    said = find_said_label(store, name)
    n_named = 0
    for row in rows:
        found = store.execute("SELECT label FROM events WHERE id = ?", (row,)).fetchone()
        if found == (UNKNOWN_LABEL,):
            n_named += review_event(store, row, "wrong", said, now_us)
    return n_named


def group_vectors(vectors: npt.NDArray[np.float32]) -> list[tuple[list[int], float]]:
    """Group vectors that point the same way.

    Args:
        vectors: ``(events, size)``.

    Returns:
        Indices of each group, the most typical first, with the median likeness of the others to
        it; the largest group first.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(norms, 1e-12)
    cosines = unit @ unit.T
    alike = cosines >= ALIKE
    left = np.ones(len(vectors), bool)
    counts = alike.sum(axis=1)
    groups: list[tuple[list[int], float]] = []
    while True:
        middle = int(np.argmax(counts * left))
        if counts[middle] < LEAST:
            return groups
        places = np.flatnonzero(alike[middle] & left)
        ordered = [int(k) for k in places[np.argsort(-cosines[middle, places], kind="stable")]]
        groups.append((ordered, float(np.median(cosines[middle, ordered[1:]]))))
        left[places] = False
        counts -= alike[:, places].sum(axis=1)


def _read_vectors(
    kept: FeatureStore, events: Sequence[StoredEvent], digest: str
) -> dict[int, Features]:
    """Read the mean ``(size,)`` of each event's features of a digest, by the event's row."""
    live: dict[str, list[StoredEvent]] = defaultdict(list)
    recorded: dict[str, list[StoredEvent]] = defaultdict(list)
    for event in events:
        if event.recording is not None:
            recorded[event.recording].append(event)
        elif event.onset_us is not None:
            live[event.source].append(event)
    vectors: dict[int, Features] = {}
    for file in kept.files(digest=digest):
        if file.header.recording:
            _read_file(file, recorded.get(file.header.recording, ()), vectors)
        else:
            _read_file(file, live.get(file.header.source, ()), vectors)
    return vectors


def _read_file(
    file: FeatureFile, events: Iterable[StoredEvent], vectors: dict[int, Features]
) -> None:
    events = list(events)
    if not events or not len(file.records):
        return
    header = file.header
    is_live = not header.recording
    rate = header.sample_rate
    begins = np.array(file.records["time_us"] if is_live else file.records["position"])
    order = np.argsort(begins, kind="stable")
    begins = begins[order]
    window = header.window * 1_000_000 // rate if is_live else header.window
    for event in events:
        onset = event.onset_us if is_live else event.onset
        end = event.offset_us if is_live else event.offset
        if onset is None:
            continue
        end = max(end or onset, onset + 1)
        # A window counts if its middle lies in the event, or the one nearest to it.
        middle = (onset + end - window) // 2
        first = int(np.searchsorted(begins, onset - window // 2))
        last = int(np.searchsorted(begins, end - window // 2))
        if first == last:
            nearest = min(int(np.searchsorted(begins, middle)), len(begins) - 1)
            if abs(int(begins[nearest]) - middle) > window:
                continue
            first, last = nearest, nearest + 1
        values = file.records["values"][order[first:last]].astype(np.float32)
        vectors[event.row] = values.mean(axis=0) * np.float32(header.scale)


def _background(kept: FeatureStore, digest: str) -> Background | None:
    common = read_common_sounds(digest)
    parts = [common] if len(common) else []
    span = kept.read(digest=digest, every=97)
    if span is not None:
        parts.append(span.vectors[:: max(1, -(-len(span.times_us) // MOST_BACKGROUND))])
    if not parts:
        return None
    return Background(np.concatenate(parts))
