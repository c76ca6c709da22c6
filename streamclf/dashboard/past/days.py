"""Questions of the dashboard to a store: a day, its events, their audio, and what people say."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from streamclf.core.errors import SinkError, StoreError
from streamclf.core.records import Waveform
from streamclf.core.text_format import format_count, format_length
from streamclf.dashboard.excerpts import Excerpts
from streamclf.model.options import ModelOptions
from streamclf.store.browse import Choice, Entry, find_entry, find_page
from streamclf.store.clips import find_clip_file
from streamclf.store.database import (
    DamagedStoreError,
    connect,
    connect_to_read,
    is_damage,
    reason_of,
    transaction,
)
from streamclf.store.days import DayTable, count_table, find_day_before, place_time
from streamclf.store.display_names import read_display_names
from streamclf.store.question import Question, Verdict
from streamclf.store.reviews import review_event
from streamclf.store.said_labels import find_said_label
from streamclf.teach.search.more_like import more_like

MOST_EVENTS = 300
"""Most events that are listed at once, the newest ones."""
MOST_GROUPS = 50
"""Most groups of unknown sounds that are listed."""
MOST_LIKE = 50
"""Most moments that are looked for when more like an event are asked for."""
LONGEST_PLAYED_S = 300.0
"""Seconds of a clip that are played: 58 MB at 48 kHz."""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class PastDay:
    """A day in the store.

    Attributes:
        day: The day.
        today: The present day by the place's own clock.
        table: Events by label and hour.
        before: Last day before it that has an event; None if there is none, or if the day itself
            has events.
        names: Names shown to people, by label.
    """

    day: date
    today: date
    table: DayTable
    before: date | None
    names: dict[str, str]

    def name(self, label: str) -> str:
        """Name of a label as people read it."""
        return self.names.get(label, label)


@dataclass(frozen=True)
class PastEvents:
    """Events of a day, of an hour of it, of one label or of all.

    Attributes:
        entries: The events, the newest first.
        has_more: Whether there are more, which are older.
    """

    entries: list[Entry]
    has_more: bool


@dataclass(frozen=True)
class SoundGroup:
    """An unknown sound that came again.

    Attributes:
        entry: Its most typical event, best one that can be played.
        rows: Rows of all its events.
        note: How often and when it was heard, in words.
    """

    entry: Entry
    rows: tuple[int, ...]
    note: str


@dataclass(frozen=True)
class Lessons:
    """What was learned of a sound.

    Attributes:
        lines: What is told of it.
        entries: Events that were told when it would have been heard, the surest first.
    """

    lines: tuple[str, ...]
    entries: list[Entry]


class Past(Protocol):
    """What the screen of days asks: a store, or a page that has one."""

    def day(self, day: date | None) -> PastDay:
        """Describe a day; None for today."""
        ...

    def events(self, day: date, hour: int | None, label: str | None) -> PastEvents:
        """List the events of a day."""
        ...

    def review(self, row: int, verdict: Verdict | None, said: str | None = None) -> Entry | None:
        """Note what somebody says of an event."""
        ...

    def like(self, row: int) -> PastEvents:
        """List the events that sound most like an event, the most like first."""
        ...

    def groups(self) -> list[SoundGroup]:
        """Group the unknown sounds that have no name by likeness."""
        ...

    def name_group(self, rows: Sequence[int], said: str) -> int:
        """Say of all events of a group what they were; returns of how many."""
        ...

    def teach(self, name: str) -> Lessons:
        """Learn a sound from the events of which somebody said that they were it."""
        ...

    def load_audio(self, entry: Entry) -> tuple[Waveform, int]:
        """Read the clip of an event."""
        ...


class PastDays:
    """Access to a store, by a short connection for each question. Every method may take a while.

    Args:
        path: The store.
        models: Tells the models that listen, the first of which is taught.
    """

    def __init__(self, path: Path, models: Callable[[], Sequence[ModelOptions]] = tuple) -> None:
        self.path = path
        self._models = models

    def day(self, day: date | None) -> PastDay:
        """Describe a day; None for today.

        Raises:
            StoreError: The store cannot be read.
        """

        def work(store: sqlite3.Connection) -> PastDay:
            today = place_time(store, datetime.now(UTC)).date()
            shown = day or today
            table = count_table(store, shown, shown)
            before = None if table.labels else find_day_before(store, shown)
            # As the dashboard names a label to which its model gives no name.
            plain = {label: label.replace("_", " ").strip() or label for label in table.labels}
            names = {**plain, **read_display_names(store)}
            return PastDay(shown, today, table, before, names)

        return self._run(work, connect_to_read)

    def events(self, day: date, hour: int | None, label: str | None) -> PastEvents:
        """List the events of a day.

        Args:
            day: The day.
            hour: Hour of it; None for all.
            label: Label of the events; None for all.

        Raises:
            StoreError: The store cannot be read.
        """
        question = Question(labels=() if label is None else (label,))

        def work(store: sqlite3.Connection) -> PastEvents:
            page = find_page(store, Choice(question, day, day, hour), MOST_EVENTS)
            return PastEvents(page.entries, page.has_older)

        return self._run(work, connect_to_read)

    def review(self, row: int, verdict: Verdict | None, said: str | None = None) -> Entry | None:
        """Note what somebody says of an event; None takes back all that was said.

        Args:
            row: Row of the event.
            verdict: Whether it was right.
            said: What it was instead, with ``wrong``: a label or its name.

        Returns:
            The event as it is now; None if it is gone.

        Raises:
            StoreError: The store cannot be written.
        """

        def work(store: sqlite3.Connection) -> Entry | None:
            with transaction(store):
                label = None if said is None else find_said_label(store, said)
                review_event(store, row, verdict, label, time.time_ns() // 1000)
            return find_entry(store, row)

        return self._run(work, connect)

    def like(self, row: int) -> PastEvents:
        """List the events that sound most like an event, the most like first.

        Raises:
            UsageError: No features of its time are kept.
            StoreError: The store cannot be read.
        """

        def work(store: sqlite3.Connection) -> PastEvents:
            found = more_like(store, self.path, row, MOST_LIKE)
            moments = [] if found is None else found.moments
            return PastEvents(first_events(each.entries for each in moments), has_more=False)

        return self._run(work, connect_to_read)

    def groups(self) -> list[SoundGroup]:
        """Group the unknown sounds that have no name by likeness, what came most often first.

        Raises:
            StoreError: The store cannot be read.
        """
        from streamclf.teach.groups import find_example, group_unknown

        def work(store: sqlite3.Connection) -> list[SoundGroup]:
            found, _, _ = group_unknown(store, self.path)
            return [
                SoundGroup(
                    find_example(store, group),
                    tuple(event.row for event in group.events),
                    tell_group(group.n_times, group.usual_hour, group.length_s),
                )
                for group in found[:MOST_GROUPS]
            ]

        return self._run(work, connect_to_read)

    def name_group(self, rows: Sequence[int], said: str) -> int:
        """Say of all events of a group what they were; returns of how many.

        Raises:
            StoreError: The store cannot be written.
        """
        from streamclf.teach.groups import review_group

        def work(store: sqlite3.Connection) -> int:
            with transaction(store):
                return review_group(store, rows, said, time.time_ns() // 1000)

        return self._run(work, connect)

    def teach(self, name: str) -> Lessons:
        """Learn a sound from the events of which somebody said that they were it.

        Raises:
            UsageError: It cannot be learned.
            StoreError: The store cannot be read.
        """
        # What learns takes longer to load than a dashboard takes to start.
        from streamclf.runs.teacher import Order, Teacher
        from streamclf.teach.past_entries import find_told
        from streamclf.teach.teaching import AT_MOST

        teacher = Teacher(self.path, self._models)
        learned = teacher.teach(Order(name, AT_MOST))
        lesson = learned.made.lesson
        surest = sorted(lesson.past_events, key=lambda each: -each.score)[:MOST_LIKE]

        def work(store: sqlite3.Connection) -> list[Entry]:
            told = (find_told(store, event) for event in surest)
            return first_events([each] for each in told if each is not None)

        lines = tell_lesson(
            learned.sound.label,
            len(learned.made.taught.examples),
            (lesson.n_found, lesson.n_scenes),
            (lesson.past_s, len(lesson.past_events)),
            str(teacher.path),
        )
        return Lessons(lines, self._run(work, connect_to_read))

    def load_audio(self, entry: Entry) -> tuple[Waveform, int]:
        """Read the clip of an event.

        Returns:
            ``(samples,)`` and their sample rate in Hz.

        Raises:
            StreamclfError: There is no clip, or it cannot be read.
        """
        clip = entry.clip
        if clip is None:
            raise SinkError(f"{entry.event.label}: no clip was saved: --clips FOLDER saves them")
        if not clip.is_there:
            raise SinkError(f"{entry.event.label}: its clip was deleted: choose another event")

        def work(store: sqlite3.Connection) -> tuple[str, str]:
            found: tuple[str, str] = store.execute(
                "SELECT folder, path FROM clips WHERE id = ?", (clip.row,)
            ).fetchone() or ("", "")
            return found

        path = find_clip_file(*self._run(work, connect_to_read))
        if path is None:
            raise SinkError(f"{entry.event.label}: its clip was moved or deleted: choose another")
        excerpts = Excerpts(path)
        try:
            return excerpts.read(0.0, LONGEST_PLAYED_S), excerpts.sample_rate
        finally:
            excerpts.close()

    def _run(
        self,
        work: Callable[[sqlite3.Connection], _Answer],
        open_store: Callable[[Path], sqlite3.Connection],
    ) -> _Answer:
        connection = open_store(self.path)
        try:
            return work(connection)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise DamagedStoreError(self.path, reason_of(error)) from error
            reason = reason_of(error)
            raise StoreError(f"{self.path}: cannot be asked now: {reason}; try again") from error
        finally:
            connection.close()


def tell_group(n_times: int, usual_hour: int | None, length_s: float) -> str:
    """Tell how often and when an unknown sound was heard."""
    if n_times == 1:
        return f"went on for {format_length(length_s)}"
    usual = "" if usual_hour is None else f", mostly at {usual_hour:02d}:00"
    return f"{n_times} times{usual}"


def tell_lesson(
    label: str, n_examples: int, scenes: tuple[int, int], past: tuple[float, int], path: str
) -> tuple[str, ...]:
    """Tell what was learned of a sound.

    Args:
        label: The sound.
        n_examples: Examples that it was learned from.
        scenes: Scenes made of them in which it is found, and all.
        past: Seconds of the past, and how often it would have been heard there.
        path: The model file that names it.
    """
    from streamclf.teach.teaching import tell_duration, tell_times

    learned = f"{label}: learned from {format_count(n_examples, 'example')}"
    lines = [f"{learned}, found in {scenes[0]} of {scenes[1]} scenes made of them."]
    seconds, n_events = past
    if seconds:
        how = f"heard {tell_times(n_events)}" if n_events else "not heard"
        lines.append(f"In the past ({tell_duration(seconds)}) it would have been {how}.")
    return (*lines, f"The model that names it: {path}")


def first_events(found: Iterable[Sequence[Entry]]) -> list[Entry]:
    """Return the first event of each moment that has one, each event once."""
    firsts = [entries[0] for entries in found if entries]
    return list({entry.event.row: entry for entry in firsts}.values())


def day_beside(shown: PastDay, step: int) -> date:
    """Return the day before or after; from an empty day back, the last one that has events."""
    if step < 0 and shown.before is not None:
        return shown.before
    try:
        beside = shown.day + timedelta(days=step)
    except OverflowError:
        return shown.day
    return min(beside, max(shown.today, shown.day))
