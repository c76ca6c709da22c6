"""The command `teach`: a sound from a few examples, tried on the past before it may be told."""

from __future__ import annotations

import shlex
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import UNSET

from streamclf.cli.kept_features import choose_streams, open_features
from streamclf.cli.question_options import QuestionOptions
from streamclf.cli.teach_options import TeachOptions
from streamclf.core.card import Card, Taught
from streamclf.core.errors import OK, StoreError, UsageError
from streamclf.core.redaction import one_line, show_safely
from streamclf.core.text_format import format_count, mark_off
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, is_bundled_name
from streamclf.model.options import ModelOptions
from streamclf.model.write_file import write_model
from streamclf.runs.console import say
from streamclf.runs.engine_setup import open_model
from streamclf.sinks.json_records import PastMoment, TaughtLine
from streamclf.store.event_ids import find_event
from streamclf.store.listing import StoredEvent
from streamclf.teach.backtest import PastEvent
from streamclf.teach.clip_audio import read_clip
from streamclf.teach.examples import Example, ExampleReader
from streamclf.teach.kept_moments import KeptMoment, find_moment, moment_of, parse_moment
from streamclf.teach.lesson import WEEK_S, Lesson
from streamclf.teach.past import Past
from streamclf.teach.past_entries import find_told
from streamclf.teach.reviewed import read_event
from streamclf.teach.search.search import check_comparable
from streamclf.teach.taught_model import (
    check_new_label,
    find_taught,
    without_label,
)
from streamclf.teach.teaching import (
    ReviewedEvents,
    Sound,
    advise_more,
    correction_of,
    find_reviewed,
    find_sound,
    teach_sound,
    tell_duration,
    tell_times,
)

DEFAULT_OUTPUT = Path("mine.onnx")
MOST_LINES = 20
"""Events of the past that are listed as text."""


def teach(
    name: str,
    clips: Sequence[str],
    wanted: TeachOptions,
    asked: QuestionOptions,
    options: ModelOptions,
) -> int:
    """Teach a sound, or take it away. Returns the exit code.

    Raises:
        UsageError: There are no examples, or the name or a file cannot be taken.
        SourceError: An example cannot be read.
        ModelError: The model gives no features, or cannot be written.
        StoreError: The store cannot be read.
    """
    began = time.monotonic()
    label = one_line(name).strip()
    if not label:
        raise UsageError("NAME is empty: name the sound, as in 'my doorbell'")
    model = open_model(options, live=False)
    if wanted.forget:
        return _forget(label, clips, model, wanted, options)
    output = _choose_output(wanted, options, model)
    with _open_store(asked, clips) as connection:
        sound = _find_sound(model.card, label, clips)
        reader = ExampleReader(Classifier(model, features=True))
        recall = _Recall(wanted, asked, model)
        examples = _read(clips, connection, reader, recall)
        against = _read(wanted.against, connection, reader, recall)
        if connection is not None:
            reviewed = find_reviewed(connection, sound, label)
            _tell_left_out(reviewed)
            examples += _read_events(reviewed.examples, reader)
            against += _read_events(reviewed.against, reader)
        if not examples:
            raise UsageError(
                f"{label}: there are no examples: name recordings of the sound, or say of events "
                f"on the page that they were: {label}"
            )
        past = _open_past(model, wanted, asked, connection)
        made = teach_sound(model, sound, examples, against, past, wanted.at_most)
        write_model(output, made.content)
        for note in made.notes:
            say(note)
        took_s = time.monotonic() - began
        told = _find_told(connection, made.lesson.past_events)
        answer = _Answer(sound, made.taught, made.lesson, told, output, took_s, wanted.at_most)
        if wanted.format == "jsonl":
            print(msgspec.json.encode(answer.line()).decode())
        else:
            print("\n".join(answer.lines(model.card, past)))
    return OK


def _choose_output(wanted: TeachOptions, options: ModelOptions, model: Model) -> Path:
    bundled = is_bundled_name(options.name)
    output = wanted.output or (DEFAULT_OUTPUT if bundled else model.path)
    same = output.exists() and output.resolve() == model.path.resolve()
    if bundled and same:
        raise UsageError(f"--output {output}: is the bundled model: name another file")
    if output.exists() and not same and not wanted.overwrite:
        raise UsageError(
            f"{output}: is there already: --model ./{output.name} teaches it one sound more, "
            "--output names another file, --overwrite replaces it"
            if output == DEFAULT_OUTPUT
            else f"{output}: is there already: name another file, or --overwrite replaces it"
        )
    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {output.parent}: make it first")
    return output


def _forget(
    label: str, clips: Sequence[str], model: Model, wanted: TeachOptions, options: ModelOptions
) -> int:
    if clips:
        raise UsageError(f"--forget {label}: takes no recordings: leave {clips[0]} out")
    found = find_taught(model.card, label) or find_taught(model.card, correction_of(label))
    if found is None:
        if not model.card.taught:
            raise UsageError(
                f"{label}: {model.path.name} was not taught any sound: name by --model the file "
                "that was"
            )
        known = ", ".join(map(mark_off, model.card.taught))
        raise UsageError(f"{label}: {model.path} was not taught that; it was taught: {known}")
    output = _choose_output(wanted, options, model)
    write_model(output, without_label(model.path, model.card, found))
    n_left = len(model.card.labels) - 1
    print(f"{found}: forgotten. {output} names {format_count(n_left, 'sound')}.")
    return OK


def _find_sound(card: Card, label: str, clips: Sequence[str]) -> Sound:
    """Decide what a name means.

    Raises:
        UsageError: Recordings are given for a label that was trained, or the name cannot be taken.
    """
    sound = find_sound(card, label)
    if clips and sound.silences:
        check_new_label(card, label)
    return sound


@contextmanager
def _open_store(
    asked: QuestionOptions, clips: Sequence[str]
) -> Iterator[sqlite3.Connection | None]:
    """Open the store; None where there is none and nothing needs it."""
    needed = asked.store is not None or not clips
    if not needed:
        try:
            there = asked.path.is_file()
        except StoreError:
            there = False
        if not there:
            yield None
            return
    with asked.open() as connection:
        yield connection


@dataclass(frozen=True)
class _Recall:
    """Where moments of the past are found by their names."""

    wanted: TeachOptions
    asked: QuestionOptions
    model: Model

    def find(self, moment: KeptMoment) -> Example:
        """Take a moment's features from what was kept.

        Raises:
            UsageError: Nothing of it is kept.
            StoreError: No store is named, and the user has no home.
        """
        kept = open_features(self.wanted.features, self.asked)
        assert self.model.features is not None
        return find_moment(kept, self.model.features.digest, moment, len(self.model.card.labels))


def _read(
    clips: Sequence[str],
    connection: sqlite3.Connection | None,
    reader: ExampleReader,
    recall: _Recall,
) -> list[Example]:
    """Read recordings, events, and moments of the past.

    Raises:
        UsageError: One is none of them.
    """
    examples = []
    for clip in clips:
        if Path(clip).is_file():
            waveform = read_clip(Path(clip), reader.sample_rate)
            examples.append(reader.hear(Path(clip).name, waveform))
            continue
        if Path(clip).is_dir():
            raise UsageError(f"{clip}: is a folder: name the recordings in it: {clip}/*.wav")
        event = None if connection is None else find_event(connection, clip)
        if event is None and (moment := parse_moment(clip)) is not None:
            examples.append(recall.find(moment))
            continue
        if event is None:
            raise UsageError(
                f"{clip}: is neither a recording nor an event of the store: heard --format jsonl "
                "tells the id of each"
            )
        examples.append(reader.hear(event.id, read_event(event, reader.sample_rate)))
    return examples


def _tell_left_out(reviewed: ReviewedEvents) -> None:
    if reviewed.n_gone:
        say(f"{format_count(reviewed.n_gone, 'reviewed event')} without a clip: left out")
    if reviewed.n_left_out:
        say(f"{format_count(reviewed.n_left_out, 'reviewed event')} more than needed: left out")


def _read_events(events: Sequence[StoredEvent], reader: ExampleReader) -> list[Example]:
    return [reader.hear(event.id, read_event(event, reader.sample_rate)) for event in events]


def _open_past(
    model: Model,
    wanted: TeachOptions,
    asked: QuestionOptions,
    connection: sqlite3.Connection | None,
) -> Past | None:
    """Open the features that were kept; None where there are none of this model's.

    Raises:
        UsageError: A folder, a date or a source is none, or the folder has no features of the
            model.
    """
    question = asked.ask_time() if connection is None else asked.ask(connection)
    if wanted.features is None and connection is None:
        return None
    store = open_features(wanted.features, asked)
    streams = choose_streams(store, asked, question, connection)
    assert model.features is not None
    if wanted.features is not None:
        named = f"{model.card.name} {model.card.version}"
        check_comparable(store, model.features.digest, named)
    past = Past(store, model.features.digest, streams, question.since_us, question.until_us)
    for line in store.unreadable:
        say(f"warning: {line}")
    return past if past.n_windows else None


def _find_told(
    connection: sqlite3.Connection | None, events: Sequence[PastEvent]
) -> list[tuple[PastEvent, StoredEvent | None]]:
    """Find to each event of the past the one that was told then."""
    entries = (None if connection is None else find_told(connection, event) for event in events)
    told = (None if entry is None else entry.event for entry in entries)
    return list(zip(events, told, strict=True))


@dataclass(frozen=True, eq=False)
class _Answer:
    """What was learned, in words."""

    sound: Sound
    taught: Taught
    lesson: Lesson
    past_events: Sequence[tuple[PastEvent, StoredEvent | None]]
    output: Path
    took_s: float
    at_most: float

    @property
    def heard_as(self) -> list[tuple[str, int]]:
        """What the examples were taken for, but for the sound itself, which is taught anew."""
        return [each for each in self.lesson.heard_as if each[0] != self.sound.label]

    def line(self) -> TaughtLine:
        """The answer for programs."""
        lesson = self.lesson
        return TaughtLine(
            label=self.sound.label,
            model=str(self.output),
            silences=list(self.sound.silences),
            examples=self.taught.examples,
            against=self.taught.against,
            heard_as=dict(self.heard_as),
            scenes=lesson.n_scenes,
            scenes_found=lesson.n_found,
            past_hours=round(lesson.past_s / 3600, 3),
            past=[_describe_event(event, told) for event, told in self.past_events],
            seconds=round(self.took_s, 3),
        )

    def lines(self, card: Card, past: Past | None) -> Iterator[str]:
        """Lines for people."""
        lesson, label = self.lesson, self.sound.label
        n_examples = len(self.taught.examples)
        apart = ", ".join(self.taught.against) or "noise alone"
        yield (
            f"{label}: learned from {format_count(n_examples, 'example')} in {self.took_s:.1f} s, "
            f"told apart from {apart}."
        )
        if self.heard_as and not self.sound.silences:
            named = ", ".join(f"{card.display_name(name)} ({n})" for name, n in self.heard_as)
            yield f"Until now {card.name} has taken the examples for {named}, and goes on doing so."
        if self.sound.silences:
            names = ", ".join(map(card.display_name, self.sound.silences))
            yield f"While it sounds, {names} is not told; its scores stay as they are."
        way = "each example left out in turn" if n_examples > 1 else "made of the one example"
        yield (
            f"In scenes with noise and rooms it finds {lesson.n_found} of {lesson.n_scenes} "
            f"({way})."
        )
        if advice := advise_more(n_examples):
            yield advice
        yield from self._past_lines(past)
        name = f"./{self.output}" if self.output.parent == Path() else str(self.output)
        name = shlex.quote(name)
        yield f"Hear with it: streamclf listen --model {name}"
        yield f"Undo it:      streamclf teach --forget --model {name} {_quote_argument(label)}"

    def _past_lines(self, past: Past | None) -> Iterator[str]:
        events = self.lesson.past_events
        if past is None:
            yield (
                "No past was kept to try it on: serve keeps it, and teach then tells when it would "
                "have been heard."
            )
            return
        length = tell_duration(past.seconds)
        if not events:
            yield (
                f"In the past ({length}) it would not have been heard. If it did sound then, "
                "teach it from more examples, or with a higher --at-most."
            )
            return
        yield f"In the past ({length}) it would have been heard {tell_times(len(events))}:"
        surest = sorted(self.past_events, key=lambda each: -each[0].score)[:MOST_LINES]
        for event, told in surest:
            clip = "" if told is None or told.clip is None else f"  {show_safely(told.clip)}"
            yield f"  {_moment(event)}  {event.score:.2f}  {one_line(moment_of(event).name)}{clip}"
        if len(events) > MOST_LINES:
            yield f"  and {len(events) - MOST_LINES} more, less sure: --format jsonl lists all"
        yield from self._ways_out(past)

    def _ways_out(self, past: Past) -> Iterator[str]:
        events = self.lesson.past_events
        surest = moment_of(max(events, key=lambda each: each.score))
        against = f"--not {shlex.quote(one_line(surest.name))}"
        if len(events) == 1:
            doubt = f"Was it something else? Teach again with {against}"
        else:
            doubt = f"Were some of them something else? Teach again with their names: {against} ..."
        if len(events) > max(self.at_most * past.seconds / WEEK_S, 1):
            yield (
                f"That is more than {self.at_most:g} a week (--at-most), without which the "
                "examples themselves would be missed."
            )
            yield doubt
            return
        yield f"{doubt}, or with a lower --at-most."
        yield "What was the sound is one more example, by the same name."


def _describe_event(event: PastEvent, told: StoredEvent | None) -> PastMoment:
    when = event.onset_us
    time = UNSET if when is None else _local(when).isoformat(timespec="milliseconds")
    return PastMoment(
        source=event.source,
        onset=round(event.onset_s, 6),
        offset=round(event.offset_s, 6),
        time=time,
        score=round(event.score, 4),
        moment=moment_of(event).name,
        event=UNSET if told is None else told.id,
        clip=UNSET if told is None or told.clip is None else told.clip,
    )


def _local(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / 1e6).astimezone()


def _moment(event: PastEvent) -> str:
    length = f"{event.offset_s - event.onset_s:5.1f} s"
    if event.onset_us is None:
        return f"at {event.onset_s:.1f} s  {length}"
    return f"{_local(event.onset_us):%a %Y-%m-%d %H:%M:%S}  {length}"


def _quote_argument(label: str) -> str:
    """Quote a name for a shell; one that begins with a dash comes behind ``--``."""
    return f"-- {shlex.quote(label)}" if label.startswith("-") else shlex.quote(label)
