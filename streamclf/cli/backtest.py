"""The command `backtest`: what other thresholds or a taught model would have told of the past."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import typer
from msgspec import UNSET

from streamclf.cli.backtest_options import BacktestOptions
from streamclf.cli.kept_features import choose_streams, open_features
from streamclf.cli.question_options import QuestionOptions
from streamclf.core.card import Card
from streamclf.core.errors import OK, UsageError
from streamclf.core.label_choice import choose_labels
from streamclf.core.redaction import one_line, show_safely
from streamclf.core.settings import Settings
from streamclf.core.text_format import format_count
from streamclf.core.thresholds import ThresholdOptions, choose_thresholds
from streamclf.core.vocabulary import Vocabulary
from streamclf.model.features import digest_features
from streamclf.model.model_file import find_model
from streamclf.model.options import ModelOptions
from streamclf.runs.console import say
from streamclf.sinks.json_records import WouldBeLine
from streamclf.store.browse import Entry
from streamclf.store.listing import StoredEvent, list_events
from streamclf.store.question import Question
from streamclf.teach.backtest import PastEvent
from streamclf.teach.judged_past import JudgedPast
from streamclf.teach.kept_moments import moment_of
from streamclf.teach.lesson import WEEK_S
from streamclf.teach.past import Past
from streamclf.teach.past_entries import find_told
from streamclf.teach.search.search import check_comparable
from streamclf.teach.taught_graph import read_graph
from streamclf.teach.taught_model import read_card_of, taught_heads
from streamclf.teach.teaching import tell_duration

SINCE = "14 days ago"
"""Begin of the past where nothing is said."""
DAY_S = 86_400
MOST_LABELS = 20
"""Labels that are listed as text."""
MOST_EVENTS = 20
"""Events that are listed as text."""
TELL_EVERY_S = 10.0
"""Time between two lines that tell how far a long answer is."""


def backtest(
    context: typer.Context,
    wanted: BacktestOptions,
    thresholds: ThresholdOptions,
    settings: Settings,
    asked: QuestionOptions,
    options: ModelOptions,
) -> int:
    """Judge the past again. Returns the exit code.

    Raises:
        UsageError: A threshold, a label, a date or a source is none, or nothing was kept.
        ModelError: The model cannot be read.
        StoreError: The store cannot be read.
    """
    path = find_model(options.name)
    card = read_card_of(path)
    if card is None or card.features is None:
        raise UsageError(
            f"{path.name}: its card names no features, beside which scores are kept: "
            "python -m export.restate MODEL.onnx --features names them"
        )
    if card.task == "regression":
        raise UsageError(f"{path.name}: gives values and no events: name another model")
    limits = choose_thresholds(card, thresholds)
    labels = choose_labels(
        card,
        thresholds.only,
        thresholds.leave_out,
        apart=settings.broader,
        never=limits.never,
        report=say,
    )
    chosen = replace(settings, thresholds=limits, labels=labels)
    asked = replace(asked, since=asked.since or SINCE)
    needed = wanted.features is None or asked.store is not None
    with asked.open() if needed else nullcontext() as connection:
        question = asked.ask_time() if connection is None else asked.ask(connection)
        if wanted.features is not None and asked.since == SINCE and asked.until is None:
            question = replace(question, since=None)  # recordings may be of no day, or of any
        past = _open_past(path, card, wanted, asked, question, connection)
        judged = JudgedPast(card, chosen, taught_heads(path, card))
        events = sorted(_follow(judged, past), key=lambda each: (each.onset_us or 0, each.onset_s))
        _check_kept(judged)
        answer = _Answer(card, events, past, question, connection)
        if wanted.rules:
            lines = _rule_lines(context, wanted, asked, answer)
        else:
            lines = answer.json_lines() if wanted.format == "jsonl" else answer.lines()
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return OK


def _open_past(
    path: Path,
    card: Card,
    wanted: BacktestOptions,
    asked: QuestionOptions,
    question: Question,
    connection: sqlite3.Connection | None,
) -> Past:
    """Open what was kept.

    Raises:
        UsageError: Nothing was kept of that time by this model.
    """
    store = open_features(wanted.features, asked)
    streams = choose_streams(store, asked, question, connection)
    assert card.features is not None
    digest = digest_features(read_graph(path), card.features)
    check_comparable(store, digest, f"{card.name} {card.version}")
    past = Past(store, digest, streams, question.since_us, question.until_us)
    for line in store.unreadable:
        say(f"warning: {line}")
    if not past.n_windows:
        raise UsageError(
            f"{store.folder}: nothing is kept there of that time that {card.name} could judge: "
            "serve keeps it from its start on; --since and --source choose what counts"
        )
    return past


def _follow(judged: JudgedPast, past: Past) -> Iterator[PastEvent]:
    """Pass events on, and tell how far it is while a past full of sounds takes long."""
    told = time.monotonic()
    for count, event in enumerate(judged.events(past), 1):
        yield event
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            reached = tell_duration(past.seconds * judged.n_windows / past.n_windows)
            say(f"has come to {reached} of {tell_duration(past.seconds)}: "
                f"{format_count(count, 'event')}")  # fmt: skip


def _check_kept(judged: JudgedPast) -> None:
    if judged.n_without and not judged.n_windows:
        raise UsageError(
            "no scores were kept of that time: an earlier streamclf heard it, or the model has "
            "too many labels; search and teach can use it"
        )
    if judged.n_without:
        left_out = format_count(judged.n_without, "window")
        say(f"warning: {left_out} without scores, by an earlier streamclf: left out")


@dataclass(frozen=True, eq=False)
class _Answer:
    """What would have been, in words."""

    card: Card
    events: Sequence[PastEvent]
    past: Past
    question: Question
    connection: sqlite3.Connection | None

    def json_lines(self) -> Iterator[str]:
        """A line for each event, for programs."""
        for event in self.events:
            told = self._told(event)
            line = WouldBeLine(
                source=event.source,
                label=event.label,
                onset=round(event.onset_s, 6),
                offset=round(event.offset_s, 6),
                time=UNSET
                if event.onset_us is None
                else _local(event).isoformat("T", "milliseconds"),
                score=round(event.score, 4),
                moment=moment_of(event).name,
                event=UNSET if told is None else told.event.id,
                clip=(told.event.clip or UNSET) if told is not None else UNSET,
            )
            yield msgspec.json.encode(line).decode()

    def lines(self) -> Iterator[str]:
        """Lines for people."""
        length = tell_duration(self.past.seconds)
        if not self.events:
            yield f"In the past ({length}) {self.card.name} would have told nothing."
            return
        seconds = self.past.seconds
        would = Counter(event.label for event in self.events)
        then = self._count_told()
        yield f"In the past ({length}) {self.card.name} would have told:"
        width = max(len(self._name(label)) for label in would)
        for label, n in sorted(would.items(), key=lambda each: (-each[1], each[0]))[:MOST_LABELS]:
            weekly = f"   {n * WEEK_S / seconds:>6.1f} a week" if seconds >= DAY_S else ""
            told = "" if then is None else f"   then: {then.get(label, 0)}"
            yield f"  {self._name(label):<{width}}  {n:>6}{weekly}{told}"
        if len(would) > MOST_LABELS:
            yield f"  and {format_count(len(would) - MOST_LABELS, 'label')} more: --format jsonl"
        newest = self.events[-MOST_EVENTS:]
        yield "" if len(newest) == len(self.events) else f"The last {len(newest)}:"
        for event in newest:
            told_then = self._told(event)
            clip = "" if told_then is None else f"  {show_safely(told_then.event.clip or '')}"
            when = (
                f"at {event.onset_s:.1f} s"
                if event.onset_us is None
                else f"{_local(event):%a %Y-%m-%d %H:%M:%S}"
            )
            yield (
                f"  {when}  {event.offset_s - event.onset_s:5.1f} s  {event.score:.2f}  "
                f"{self._name(event.label):<{width}}  {one_line(event.source)}{clip}".rstrip()
            )

    def stored(self) -> Mapping[str, Sequence[StoredEvent]]:
        """The events of live sources as those of a store, by source."""
        found: dict[str, list[StoredEvent]] = defaultdict(list)
        for event in self.events:
            if event.onset_us is None or event.is_recording:
                continue
            told = self._told(event)
            zone = _local(event).utcoffset()
            assert zone is not None
            length_us = round((event.offset_s - event.onset_s) * 1e6)
            found[event.source].append(
                StoredEvent(
                    row=0,
                    source=event.source,
                    recording=None,
                    model=self.card.name,
                    run="backtest",
                    sample_rate=event.sample_rate,
                    label=event.label,
                    onset=round(event.onset_s * event.sample_rate),
                    offset=round(event.offset_s * event.sample_rate),
                    onset_us=event.onset_us,
                    offset_us=event.onset_us + length_us,
                    utc_offset_min=round(zone.total_seconds() / 60),
                    score=event.score,
                    highest_score=event.score,
                    short=False,
                    state="ended",
                    elapsed=0,
                    verdict=None,
                    clip=None if told is None else told.event.clip,
                )
            )
        return found

    def _name(self, label: str) -> str:
        return one_line(self.card.display_name(label))

    def _told(self, event: PastEvent) -> Entry | None:
        return None if self.connection is None else find_told(self.connection, event)

    def _count_told(self) -> Counter[str] | None:
        """Count what was told then, by label, in the time of which anything is kept."""
        if self.connection is None:
            return None
        spans = self.past.spans()
        return Counter(
            event.label
            for event in list_events(self.connection, self.question)
            if any(begin <= _place(event) < end for begin, end in spans.get(event.stream, ()))
        )


def _rule_lines(
    context: typer.Context, wanted: BacktestOptions, asked: QuestionOptions, answer: _Answer
) -> Iterator[str]:
    """What the rules of the settings would have told of the events."""
    from streamclf.cli.rules import json_lines, text_lines
    from streamclf.cli.serve import read_settings
    from streamclf.notify.replay import replay

    plan, where = read_settings(context, wanted.config)
    rules = plan.notify.rules
    if not rules:
        raise UsageError(f"{where}: there are no rules to try: a table [[rules]] makes one")
    since = answer.question.since
    assert since is not None
    until = answer.question.until or datetime.now(UTC) + timedelta(days=1)
    told = replay(
        asked.path,
        rules,
        to_us(since),
        to_us(until),
        answer.stored(),
        Vocabulary.of_card(answer.card),
    )
    if wanted.format == "jsonl":
        yield from json_lines(told)
    else:
        yield from text_lines(told, rules, since.astimezone())


def to_us(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    return round(moment.timestamp() * 1e6)


def _place(event: StoredEvent) -> float:
    """Where an event begins, as `Past.spans` counts."""
    is_live = event.recording is None and event.onset_us is not None
    return float(event.onset_us or 0) if is_live else event.onset_s


def _local(event: PastEvent) -> datetime:
    assert event.onset_us is not None
    return datetime.fromtimestamp(event.onset_us / 1e6).astimezone()
