"""The command `search`: the moments of the past that sound like an example."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import UNSET

from streamclf.cli.kept_features import choose_streams, open_features
from streamclf.cli.question_options import QuestionOptions
from streamclf.cli.search_options import SearchOptions
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import OK, UsageError
from streamclf.core.redaction import one_line
from streamclf.model.classifier import Classifier
from streamclf.model.options import ModelOptions
from streamclf.runs.console import say
from streamclf.runs.engine_setup import open_model
from streamclf.sinks.json_records import MomentLine
from streamclf.store.display_names import read_display_names
from streamclf.store.event_ids import find_event
from streamclf.store.features.feature_store import FeatureStore
from streamclf.teach.search.example import Example, hear_example, recall_event
from streamclf.teach.search.moments import Moment, add_events
from streamclf.teach.search.search import Scope
from streamclf.teach.search.search import search as find_moments


def search(wanted: SearchOptions, asked: QuestionOptions, model: ModelOptions) -> int:
    """Find moments and print them. Returns the exit code.

    Raises:
        UsageError: Nothing can be looked for, or compared.
        StoreError: The store cannot be read.
        SourceError: The recording cannot be read.
        ModelError: The model gives no features.
    """
    with _open_store(wanted, asked) as connection:
        question = asked.ask_time() if connection is None else asked.ask(connection)
        kept = open_features(wanted.features, asked)
        streams = choose_streams(kept, asked, question, connection)
        example = _find_example(wanted, kept, connection, streams, model)
        scope = Scope(question.since_us, question.until_us, streams)
        moments = find_moments(kept, example, wanted.top, scope, n_threads=count_cores())
        names = {}
        if connection is not None:
            moments = add_events(connection, moments)
            names = read_display_names(connection)
    for line in kept.unreadable:
        say(f"warning: {line}")
    for moment in moments:
        print(_json(moment) if wanted.format == "jsonl" else _text(moment, names))
    if not moments:
        say("no moments are kept of that time and these sources")
    return OK


@contextmanager
def _open_store(
    wanted: SearchOptions, asked: QuestionOptions
) -> Iterator[sqlite3.Connection | None]:
    """Open the store; None where features lie by themselves, and there is no store."""
    if wanted.features is not None and asked.store is None:
        yield None
        return
    with asked.open() as connection:
        yield connection


def _find_example(
    wanted: SearchOptions,
    kept: FeatureStore,
    connection: sqlite3.Connection | None,
    streams: set[str] | None,
    model: ModelOptions,
) -> Example:
    path = Path(wanted.like)
    if path.is_file():
        return hear_example(path, Classifier(open_model(model, live=False), features=True))
    event = None if connection is None else find_event(connection, wanted.like, streams)
    if event is None:
        raise UsageError(
            f"--like {wanted.like}: is neither a recording nor an event of the store: heard "
            "--format jsonl tells the id of each"
        )
    example = recall_event(kept, event)
    if example is None and event.clip is not None and Path(event.clip).is_file():
        classifier = Classifier(open_model(model, live=False), features=True)
        return hear_example(Path(event.clip), classifier)
    if example is None:
        raise UsageError(
            f"--like {wanted.like}: no features of that time are kept, nor a clip of it: name a "
            "recording that holds the sound"
        )
    return example


def _text(moment: Moment, names: dict[str, str]) -> str:
    time = moment.time
    when = "(no time)" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
    at = f" at {moment.onset_s:.1f} s" if moment.recording else ""
    entry = moment.entries[0] if moment.entries else None
    label = "-" if entry is None else one_line(names.get(entry.event.label, entry.event.label))
    length = f"{moment.offset_s - moment.onset_s:.1f} s"
    line = f"{moment.likeness:5.2f}  {when:<19}  {length:>7}  {label:<20}  "
    line += f"{one_line(moment.stream)}{at}"
    clip = None if entry is None else entry.event.clip
    return line if clip is None else f"{line}  {one_line(clip)}"


def _json(moment: Moment) -> str:
    time, entry = moment.time, moment.entries[0] if moment.entries else None
    clip = None if entry is None else entry.event.clip
    line = MomentLine(
        source=moment.stream,
        onset=moment.onset_s,
        offset=moment.offset_s,
        likeness=moment.likeness,
        time=UNSET if time is None else time.isoformat(timespec="milliseconds"),
        label=UNSET if entry is None else entry.event.label,
        event=UNSET if entry is None else entry.event.id,
        clip=UNSET if clip is None else clip,
    )
    return msgspec.json.encode(line).decode()
