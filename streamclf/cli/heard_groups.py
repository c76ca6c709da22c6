"""The answer of `heard --groups`: which sounds come again, and how each gets a name."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import UNSET

from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count, format_length
from streamclf.sinks.json_records import GroupLine
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.listing import StoredEvent, list_events
from streamclf.store.question import Question
from streamclf.teach.groups import Group, group_events
from streamclf.teach.reviewed import has_clip

MOST_GROUPS = 20
N_EXAMPLES = 5
"""Events of a group that are proposed as examples."""


def describe_groups(
    connection: sqlite3.Connection,
    question: Question,
    store: Path,
    *,
    as_json: bool,
    named: bool = False,
) -> Iterator[str]:
    """Group events, and tell of each group, the largest first.

    Args:
        connection: The store.
        question: The events.
        store: Path of the store, beside which their features lie.
        as_json: Whether to give a line of JSON a group.
        named: Whether the store was named by an option, which ``teach`` then needs as well.
    """
    groups, n_alone, n_unkept = group_events(
        FeatureStore.beside(store), list(list_events(connection, question))
    )
    if as_json:
        yield from (msgspec.json.encode(_line(group)).decode() for group in groups)
        return
    if not groups:
        yield "No sound came again." if n_alone else "No such events whose features are kept."
    asked = f" --store {shlex.quote(str(store))}" if named else ""
    for number, group in enumerate(groups[:MOST_GROUPS], 1):
        yield f"{number:>3}. {_summary(group)}"
        typical = group.events[0]
        newest = max(group.events, key=lambda event: event.onset_us or 0)
        if newest.time is not None:
            yield f"     the last on {newest.time:%a %Y-%m-%d %H:%M:%S}"
        if has_clip(typical):
            yield f"     hear it: {one_line(str(typical.clip))}"
        names = " ".join(shlex.quote(event.id) for event in _examples(group.events))
        if names:
            yield f"     name it: streamclf teach NAME {names}{asked}"
    if len(groups) > MOST_GROUPS:
        yield f"and {len(groups) - MOST_GROUPS} smaller groups: --format jsonl lists all"
    if groups and n_alone:
        yield f"{format_count(n_alone, 'event')} like no other."
    if n_unkept:
        yield f"{format_count(n_unkept, 'event')} without kept features."


def _summary(group: Group) -> str:
    hour = group.usual_hour
    usual = "" if hour is None else f", mostly around {hour:02d}:00"
    sources = sorted({one_line(event.stream) for event in group.events})
    where = sources[0] if len(sources) == 1 else format_count(len(sources), "source")
    length = f"{group.length_s:.1f} s" if group.length_s < 120 else format_length(group.length_s)
    n_events, n_times = len(group.events), group.n_times
    if n_times == 1:
        often = f"went on for {length}, in {format_count(n_events, 'event')}"
    else:
        parts = f", in {format_count(n_events, 'event')}" if n_events > n_times else ""
        often = f"heard {n_times} times{parts}{usual}, {length} long"
    return f"{often}, {where} (alike: {group.likeness:.2f})"


def _examples(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    return [event for event in events if has_clip(event)][:N_EXAMPLES]


def _line(group: Group) -> GroupLine:
    hour = group.usual_hour
    return GroupLine(
        times=group.n_times,
        events=[event.id for event in group.events],
        sources=sorted({event.stream for event in group.events}),
        labels=sorted({event.label for event in group.events}),
        likeness=round(group.likeness, 4),
        usual_hour=UNSET if hour is None else hour,
        length=round(group.length_s, 3),
        clips=[str(event.clip) for event in group.events if has_clip(event)],
    )
