"""The teacher of the page and the dashboard: it learns one sound at a time, in a thread of its own.

What it has learned goes into a model file beside the store. Nothing that listens changes by that:
whoever runs streamclf takes the file over.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from streamclf.core.card import Card, Taught
from streamclf.core.errors import UsageError
from streamclf.core.text_format import format_count
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import find_model
from streamclf.model.options import ModelOptions
from streamclf.model.write_file import write_model
from streamclf.runs.background_work import describe_failure, lower_priority
from streamclf.runs.console import say
from streamclf.runs.engine_setup import open_model
from streamclf.store.database import connect_to_read
from streamclf.store.event_ids import find_event
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.listing import StoredEvent, read_events
from streamclf.teach.examples import Example, ExampleReader
from streamclf.teach.kept_moments import KeptMoment, parse_moment, recall_moments
from streamclf.teach.past import Past
from streamclf.teach.reviewed import has_clip, read_event
from streamclf.teach.taught_model import find_taught, read_card_of, without_label
from streamclf.teach.teaching import (
    MOST_READ,
    ReviewedEvents,
    Sound,
    TaughtSound,
    correction_of,
    find_reviewed,
    find_sound,
    teach_sound,
)

WAIT_S = 0.1
"""Seconds between two looks whether a sound is learned."""
NO_CLIPS = (
    "none of its events has a sound to play any more: say it of newer ones, and let streamclf "
    "store sounds by --clips"
)
NOT_HERE = (
    "This page cannot teach: it belongs to a run that remembers nothing. One of streamclf serve, "
    "or of a run with a store, can."
)


@dataclass(frozen=True)
class Order:
    """A sound that is to be learned.

    Attributes:
        label: Its name, as people wrote it.
        at_most: Events a week that the past may have.
        against: Rows of events that are not it.
        moments: Names of moments of the past that are it (`streamclf.teach.kept_moments`).
        moments_against: Names of moments that are not.
        model: Name of the model that is taught, as `Teacher.choices` lists it; empty for the first.
    """

    label: str
    at_most: float
    against: tuple[int, ...] = ()
    moments: tuple[str, ...] = ()
    moments_against: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True, eq=False)
class Learned:
    """What the teacher has learned.

    Attributes:
        sound: The sound.
        card: Card of the model that it was learned with.
        made: The sound, with its origin and what the past says.
        reviewed: The events that it was learned from.
        n_against: Number of events and moments that it was told apart from.
        path: The model file that names it.
        took_s: How long it took, in seconds.
    """

    sound: Sound
    card: Card
    made: TaughtSound
    reviewed: ReviewedEvents
    n_against: int
    path: Path
    took_s: float


@dataclass
class Task:
    """An order, and how far it is.

    Attributes:
        order: The order.
        learned: What came of it; None as long as it goes on, or if it failed.
        problem: Why it failed; empty if it did not.
    """

    order: Order
    learned: Learned | None = None
    problem: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended yet."""
        return self.learned is None and not self.problem


class Teacher:
    """The teacher of a store.

    Args:
        store: The store.
        models: Tells the models that listen, or would.

    Attributes:
        path: Model file that it writes for the first model.
        task: The newest order; None if there was none.
    """

    def __init__(self, store: Path, models: Callable[[], Sequence[ModelOptions]]) -> None:
        real = store.resolve()
        self.path = real.with_name(f"{real.stem}-taught.onnx")
        self.task: Task | None = None
        self._store, self._models = store, models
        self._lock = threading.Lock()
        self._cards: dict[Path, tuple[int, Card]] = {}

    @property
    def can_teach(self) -> bool:
        """Whether there is a model that it could teach."""
        return bool(self._models())

    def choices(self) -> list[str]:
        """Names of the models that can be taught, each once: the first is what is meant by none."""
        return list(dict.fromkeys(options.name for options in self._models()))

    def known(self) -> list[str]:
        """Names of the models that can be taught, and the files with what was taught them."""
        taught = (str(path) for each in self.choices() if (path := self.path_of(each)).is_file())
        return list(dict.fromkeys([*self.choices(), *taught]))

    def path_of(self, model: str = "") -> Path:
        """Return the model file that is written when a model is taught.

        Args:
            model: One of `choices`; empty for the first.
        """
        names = self.choices()
        name = model or (names[0] if names else "")
        own = Path(name)
        was_written = own.name == self.path.name or own.name.startswith(f"{self.path.stem}-")
        if was_written and own.resolve().parent == self.path.parent:
            return own.resolve()  # it was taught here before, and listens by now
        if not names or name == names[0]:
            return self.path
        return self.path.with_name(f"{self.path.stem}-{own.stem}.onnx")

    def begin(self, order: Order) -> bool:
        """Begin to learn a sound.

        Returns:
            Whether it begins: only one is learned at a time.

        Raises:
            UsageError: There is no model that could be taught.
        """
        if not self.can_teach:
            raise UsageError(NOT_HERE.rstrip("."))
        with self._lock:
            if self.task is not None and self.task.goes_on:
                return False
            self.task = task = Task(order)
        threading.Thread(
            target=self._work, args=(task,), name="streamclf-teach", daemon=True
        ).start()
        return True

    def teach(self, order: Order) -> Learned:
        """Learn a sound, and wait until it is learned.

        Raises:
            UsageError: It cannot be learned, or another sound is being learned.
        """
        if not self.begin(order):
            raise UsageError("another sound is being learned: wait until it is")
        task = self.task
        assert task is not None
        while task.goes_on:
            time.sleep(WAIT_S)
        if task.learned is None:
            raise UsageError(task.problem)
        return task.learned

    def task_of(self, label: str, model: str = "") -> Task | None:
        """The newest order, if it is of this sound and model."""
        task = self.task
        if task is None or task.order.label.casefold() != label.casefold():
            return None
        return task if self.path_of(task.order.model) == self.path_of(model) else None

    def find_base(self, model: str = "") -> tuple[ModelOptions, Card]:
        """Find the model that a sound is added to: the taught one, or else the one that listens.

        Args:
            model: One of `choices`; empty for the first.

        Raises:
            UsageError: There is none, or the taught one comes from another model.
            ModelError: A model cannot be read, or names no features.
        """
        models = self._models()
        if not models:
            raise UsageError(NOT_HERE.rstrip("."))
        options = next((each for each in models if model in ("", each.name)), None)
        if options is None:
            raise UsageError(
                f"model {model[:80]}: no source is heard with it: name one of "
                f"{', '.join(self.choices())}"
            )
        path = self.path_of(model)
        heard = find_model(options.name)
        card = self._read_card(heard)
        if path.is_file() and path != heard.resolve():
            taught = self._read_card(path)
            missing = [label for label in card.labels if label not in taught.labels]
            if missing or taught.features != card.features:
                lacks = f"lacks {missing[0]}" if missing else "has other features"
                raise UsageError(
                    f"{path}: was taught from another model than {heard.name}, and {lacks}: "
                    "move it away, then teach again"
                )
            options, card = replace(options, name=str(path)), taught
        return replace(options, provider="cpu", n_threads=1, self_check=False), card

    def list_taught(self, model: str = "") -> dict[str, Taught]:
        """The sounds that the taught model names, with their origins; none without one.

        Raises:
            ModelError: The file cannot be read.
            UsageError: It names no features.
        """
        path = self.path_of(model)
        return self._read_card(path).taught if path.is_file() else {}

    def forget(self, name: str, model: str = "") -> str:
        """Take a sound out of the taught model.

        Returns:
            Its label.

        Raises:
            UsageError: It was not taught, or a sound is being learned.
            ModelError: The file cannot be read or written.
        """
        with self._lock:
            if self.task is not None and self.task.goes_on:
                raise UsageError(f"{self.task.order.label}: is being learned: wait until it is")
            path = self.path_of(model)
            card = self._read_card(path) if path.is_file() else None
            found = None
            if card is not None:
                found = find_taught(card, name) or find_taught(card, correction_of(name))
            if card is None or found is None:
                raise UsageError(f"{name}: was not taught: {path.name} has no such sound")
            write_model(path, without_label(path, card, found))
            self._cards.pop(path, None)
            self.task = None
        say(f"{found}: forgotten; {path} names it no more")
        return found

    def hears_with_it(self, model: str = "") -> bool:
        """Whether something listens with the file that it writes."""
        path = self.path_of(model)
        return any(
            Path(each.name).suffix == ".onnx" and Path(each.name).resolve() == path
            for each in self._models()
        )

    def _read_card(self, path: Path) -> Card:
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            changed = 0  # which reading it explains
        known = self._cards.get(path)
        if known is None or known[0] != changed:
            card = read_card_of(path)
            if card is None or card.features is None:
                raise UsageError(
                    f"{path.name} cannot be taught: its card names no features, by which sounds "
                    "are compared. python -m export.restate MODEL.onnx --features names them"
                )
            known = self._cards[path] = (changed, card)
        return known[1]

    def _work(self, task: Task) -> None:
        lower_priority()
        try:
            task.learned = self._learn(task.order)
        except Exception as error:  # any error: who waits is told that it has ended
            task.problem = describe_failure(error, self._store, "teaching")

    def _learn(self, order: Order) -> Learned:
        began = time.monotonic()
        options, card = self.find_base(order.model)
        path = self.path_of(order.model)
        sound = find_sound(card, order.label)
        connection = connect_to_read(self._store)
        try:
            reviewed = find_reviewed(connection, sound, order.label)
            origin = card.taught.get(sound.label)
            before = () if origin is None else tuple(origin.against)
            against = add_named(connection, reviewed, before, order.against)
        finally:
            connection.close()
        yes, no = find_moments(origin, order)
        if not reviewed.examples and not yes:
            raise UsageError(
                f"{order.label}: {NO_CLIPS}"
                if reviewed.n_gone
                else f"{order.label}: nobody has said of an event that it was it, or was wrong"
            )
        model = open_model(options, live=False)
        reader = ExampleReader(Classifier(model, features=True))
        examples = _read(reviewed.examples, reader)
        others = _read(against, reader)
        assert model.features is not None
        kept, digest = FeatureStore.beside(self._store), model.features.digest
        examples += recall_moments(kept, digest, yes, len(model.card.labels))
        others += recall_moments(kept, digest, no, len(model.card.labels))
        if not examples:
            raise UsageError(
                f"{order.label}: nothing is kept any more of the moments that were marked: mark "
                "others, or say of events that they were it"
            )
        past = Past(kept, digest)
        made = teach_sound(
            model, sound, examples, others, past if past.n_windows else None, order.at_most
        )
        write_model(path, made.content)
        for note in made.notes:
            say(note)
        n_examples = len(made.taught.examples)
        say(f"{sound.label}: learned from {format_count(n_examples, 'example')}; {path} names it")
        took_s = time.monotonic() - began
        return Learned(sound, card, made, reviewed, len(others), path, took_s)


def find_moments(origin: Taught | None, order: Order) -> tuple[list[KeptMoment], list[KeptMoment]]:
    """Find the moments of the past that are a sound, and those that are not.

    What was marked when it was taught before still holds, unless it is marked otherwise now.

    Args:
        origin: How it was taught before; None if it was not.
        order: What is marked now.
    """
    before = ([], []) if origin is None else (origin.examples, origin.against)
    now = order.moments, order.moments_against
    found = []
    for mine, old, other in zip(now, before, reversed(now), strict=True):
        names = [*mine, *(name for name in reversed(old) if name not in (*mine, *other))]
        moments = (parse_moment(name) for name in names)
        found.append([each for each in moments if each is not None][:MOST_READ])
    return found[0], found[1]


def add_named(
    connection: sqlite3.Connection,
    reviewed: ReviewedEvents,
    before: Collection[str],
    rows: Sequence[int],
) -> list[StoredEvent]:
    """Add to what was called wrong the events that were marked now, and before.

    Args:
        connection: The store.
        reviewed: What people said.
        before: What the sound was told apart from when it was taught last: events by their names.
        rows: Rows of events that are marked now.
    """
    marked = read_events(connection, rows) if rows else []
    for name in before:
        with suppress(UsageError):  # several recordings have an event of that name
            event = find_event(connection, name)
            if event is not None:
                marked.append(event)
    examples = {event.row for event in reviewed.examples}
    found = {event.row: event for event in [*marked, *reviewed.against] if has_clip(event)}
    return [event for row, event in found.items() if row not in examples][:MOST_READ]


def _read(events: Sequence[StoredEvent], reader: ExampleReader) -> list[Example]:
    return [reader.hear(event.id, read_event(event, reader.sample_rate)) for event in events]
