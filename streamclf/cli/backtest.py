"""The command `backtest`: what other thresholds or a taught model would have told of the past."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import msgspec
import typer
from msgspec import UNSET

from streamclf.cli.backtest_options import BacktestOptions
from streamclf.cli.kept_features import choose_streams, open_features
from streamclf.cli.question_options import QuestionOptions
from streamclf.core.errors import OK, UsageError
from streamclf.core.label_choice import choose_events
from streamclf.core.redaction import one_line, show_safely
from streamclf.core.settings import Settings
from streamclf.core.sureness import (
    SURENESS_WIDTH,
    find_sureness_limits,
    show_sureness,
    tell_sureness,
)
from streamclf.core.text_format import format_count
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.model_file import find_model
from streamclf.model.options import ModelOptions
from streamclf.runs.backtest import DAYS, Backtest, JudgingModel, local_onset, run_backtest
from streamclf.runs.console import say
from streamclf.sinks.json_records import WouldBeLine
from streamclf.store.browse import Entry
from streamclf.store.question import Question
from streamclf.teach.backtest import PastEvent
from streamclf.teach.judged_past import JudgedPast
from streamclf.teach.kept_moments import moment_of
from streamclf.teach.lesson import WEEK_S
from streamclf.teach.past import Past
from streamclf.teach.past_entries import find_told
from streamclf.teach.teaching import tell_duration

SINCE = f"{DAYS} days ago"
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
    model = JudgingModel.open(find_model(options.name))
    chosen = choose_events(model.card, settings, thresholds, say)
    asked = replace(asked, since=asked.since or SINCE)
    needed = wanted.features is None or asked.store is not None
    with asked.open() if needed else nullcontext() as connection:
        question = asked.ask_time() if connection is None else asked.ask(connection)
        if wanted.features is not None and asked.since == SINCE and asked.until is None:
            question = replace(question, since=None)  # recordings may be of no day, or of any
        kept = open_features(wanted.features, asked)
        streams = choose_streams(kept, asked, question, connection)
        made = run_backtest(model, chosen, kept, streams, question, _Progress())
        for line in (*kept.unreadable, *filter(None, [made.warning])):
            say(f"warning: {line}")
        answer = _Answer(made, question, connection)
        if wanted.rules:
            lines = _rule_lines(context, wanted, asked, answer)
        else:
            lines = answer.json_lines() if wanted.format == "jsonl" else answer.lines()
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return OK


class _Progress:
    """Lines that tell how far it is, while a past full of sounds takes long."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, past: Past, judged: JudgedPast, n_events: int) -> None:
        if time.monotonic() - self._told >= TELL_EVERY_S:
            self._told = time.monotonic()
            reached = tell_duration(past.seconds * judged.n_windows / past.n_windows)
            say(f"has come to {reached} of {tell_duration(past.seconds)}: "
                f"{format_count(n_events, 'event')}")  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Answer:
    """What would have been, in words."""

    made: Backtest
    question: Question
    connection: sqlite3.Connection | None

    def json_lines(self) -> Iterator[str]:
        """A line for each event, for programs."""
        for event in self.made.events:
            told = self._told(event)
            line = WouldBeLine(
                source=event.source,
                label=event.label,
                onset=round(event.onset_s, 6),
                offset=round(event.offset_s, 6),
                time=UNSET
                if event.onset_us is None
                else local_onset(event).isoformat("T", "milliseconds"),
                score=round(event.score, 4),
                moment=moment_of(event).name,
                event=UNSET if told is None else told.event.id,
                clip=(told.event.clip or UNSET) if told is not None else UNSET,
            )
            yield msgspec.json.encode(line).decode()

    def lines(self) -> Iterator[str]:
        """Lines for people."""
        length = tell_duration(self.made.past.seconds)
        if not self.made.events:
            yield f"In the past ({length}) {self.made.card.name} would have told nothing."
            return
        seconds, limits = self.made.past.seconds, find_sureness_limits(self.made.card)
        would = Counter(event.label for event in self.made.events)
        then = self._count_told()
        yield f"In the past ({length}) {self.made.card.name} would have told:"
        width = max(len(self._name(label)) for label in would)
        for label, n in sorted(would.items(), key=lambda each: (-each[1], each[0]))[:MOST_LABELS]:
            weekly = f"   {n * WEEK_S / seconds:>6.1f} a week" if seconds >= DAY_S else ""
            told = "" if then is None else f"   then: {then.get(label, 0)}"
            yield f"  {self._name(label):<{width}}  {n:>6}{weekly}{told}"
        if len(would) > MOST_LABELS:
            yield f"  and {format_count(len(would) - MOST_LABELS, 'label')} more: --format jsonl"
        newest = self.made.events[-MOST_EVENTS:]
        yield "" if len(newest) == len(self.made.events) else f"The last {len(newest)}:"
        for event in newest:
            told_then = self._told(event)
            clip = "" if told_then is None else f"  {show_safely(told_then.event.clip or '')}"
            when = (
                f"at {event.onset_s:.1f} s"
                if event.onset_us is None
                else f"{local_onset(event):%a %Y-%m-%d %H:%M:%S}"
            )
            sure = show_sureness(tell_sureness(limits, event.label, event.score), event.score)
            yield (
                f"  {when}  {event.offset_s - event.onset_s:5.1f} s  {sure:<{SURENESS_WIDTH}}  "
                f"{self._name(event.label):<{width}}  {one_line(event.source)}{clip}".rstrip()
            )

    def _name(self, label: str) -> str:
        return one_line(self.made.card.display_name(label))

    def clip_of(self, event: PastEvent) -> str | None:
        """Path of the clip of what was told then; None if there is none."""
        told = self._told(event)
        return None if told is None else told.event.clip

    def _told(self, event: PastEvent) -> Entry | None:
        return None if self.connection is None else find_told(self.connection, event)

    def _count_told(self) -> Counter[str] | None:
        if self.connection is None:
            return None
        return self.made.count_told(self.connection, self.question)


def _rule_lines(
    context: typer.Context, wanted: BacktestOptions, asked: QuestionOptions, answer: _Answer
) -> Iterator[str]:
    """What the rules of the settings would have told of the events."""
    from streamclf.cli.rules import json_lines, text_lines
    from streamclf.cli.serve import read_settings

    plan, where = read_settings(context, wanted.config)
    rules = plan.notify.rules
    if not rules:
        raise UsageError(f"{where}: there are no rules to try: a table [[rules]] makes one")
    since = answer.question.since
    assert since is not None
    told, _ = answer.made.ask_rules(asked.path, rules, answer.question, answer.clip_of)
    if wanted.format == "jsonl":
        yield from json_lines(told)
    else:
        yield from text_lines(told, rules, since.astimezone())
