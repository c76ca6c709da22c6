"""The page that teaches a sound: its examples, what was learned, and when the past has it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from multidict import MultiDict

from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.redaction import one_line
from streamclf.core.text_format import format_count, format_length
from streamclf.runs.teacher import NO_CLIPS, NOT_HERE, Learned, Order, Task, Teacher
from streamclf.store.browse import Entry, find_entry, find_within
from streamclf.store.days import place_time
from streamclf.store.names import list_sources, shorten_names
from streamclf.store.reviews import LONGEST_LABEL, count_said_labels, review_event
from streamclf.store.said_labels import find_said_label
from streamclf.teach.backtest import PastEvent
from streamclf.teach.kept_moments import KeptMoment, moment_of, parse_moment
from streamclf.teach.reviewed import events_said_to_be, events_wrong, has_clip
from streamclf.teach.teaching import (
    AT_MOST,
    FEW,
    Sound,
    advise_more,
    find_sound,
    tell_duration,
    tell_times,
)
from streamclf.web.asking import ask, change, now, understands
from streamclf.web.bodies import read_form
from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.filters import write_query
from streamclf.web.pages.events import describe_entry, list_names, tell_done
from streamclf.web.rendering import redirect, render
from streamclf.web.words import LabelNames, tell_past_moment, tell_score

N_EXAMPLES = 40
"""Reviewed events that the page lists."""
N_PAST = 40
"""Moments of the past that the page lists: the surest."""
N_LABELS = 200
"""Sounds that the page lists."""
AGAIN_S = 3
"""Seconds after which the page looks again whether a sound was learned."""
RATES = {0.0: "none", 1.0: "1", 3.0: "3", 10.0: "10"}
"""Events a week that the past may have, to choose from."""


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the page to the application."""
    app.router.add_get("/teach", understands(show))
    app.router.add_post("/teach", understands(begin))
    app.router.add_post("/teach/forget", understands(forget))


async def show(request: web.Request) -> web.StreamResponse:
    """Show what can be taught, or one sound with its examples."""
    name = read_name(request.query.get("name", ""))
    teacher = request.config_dict[CONTEXT].teacher
    if not name:
        values = await ask(request, describe_all)
        return render(
            request,
            "teach_all.html",
            page="sounds",
            trouble="" if teacher.can_teach else NOT_HERE,
            **values,
        )
    model = request.query.get("model", "")
    base, trouble = await asyncio.to_thread(_find_base, teacher, name, model)
    task = teacher.task_of(name, model)
    values = await ask(request, lambda store: describe_one(store, now(), name, base, task))
    said = tell_done(request.query)
    other = teacher.task
    if other is not None and other.goes_on and values["task"] is None:
        said.append(f"{other.order.label} is being learned: one sound at a time.")
    return render(
        request,
        "teach.html",
        page="sounds",
        trouble=trouble,
        said=said,
        back=write_query(_place(name, model)),
        path=str(teacher.path_of(model)),
        hears_with_it=teacher.hears_with_it(model),
        chosen=model,
        models=[(each, Path(each).stem) for each in teacher.choices()],
        again_s=AGAIN_S,
        rates=RATES,
        busy=other is not None and other.goes_on,
        **values,
    )


def read_name(text: str) -> str:
    """Read the name of a sound.

    Raises:
        UsageError: It is too long.
    """
    name = one_line(text).strip()
    if len(name) > LONGEST_LABEL:
        raise UsageError(f"name {name[:40]}...: must have at most {LONGEST_LABEL} characters")
    return name


def _place(name: str, model: str) -> dict[str, str]:
    """The query of a sound's page."""
    return {"name": name} | ({"model": model} if model else {})


def _find_base(teacher: Teacher, name: str, model: str) -> tuple[Base, str]:
    """Find what a name means to the model that is taught, or why there is none."""
    if not teacher.can_teach:
        return Base(Sound(name), "", ""), NOT_HERE
    try:
        _, card = teacher.find_base(model)
        sound = find_sound(card, name)
    except StreamclfError as error:
        return Base(Sound(name), "", ""), f"{error}."
    origin = card.taught.get(sound.label)
    taught = ""
    if origin is not None:
        taught = f"{origin.date}, from {format_count(len(origin.examples), 'example')}"
    return Base(sound, card.name, taught), ""


class Base:
    """What a name means to the model that is taught.

    Args:
        sound: The sound.
        model: Name of the model; empty for none.
        taught: When and from what it was taught before; empty if it was not.
    """

    def __init__(self, sound: Sound, model: str, taught: str) -> None:
        self.sound, self.model, self.taught = sound, model, taught


def describe_all(store: sqlite3.Connection) -> dict[str, Any]:
    """Describe what can be taught: what people named, and what was called wrong."""
    names = LabelNames(store)
    wrong = store.execute(
        "SELECT events.label, count(*) FROM reviews JOIN events ON events.id = event_id "
        "WHERE verdict = 'wrong' AND reviews.id = (SELECT id FROM reviews AS newest "
        "WHERE newest.event_id = events.id ORDER BY reviewed_us DESC, id DESC LIMIT 1) "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    return {
        "named": [(label, names(label), n) for label, n in count_said_labels(store)[:N_LABELS]],
        "wrong": [
            (label, names(label), n)
            for label, n in wrong.fetchall()[:N_LABELS]
            if label not in ("unknown", "silence")
        ],
    }


def describe_one(
    store: sqlite3.Connection, moment: datetime, name: str, base: Base, task: Task | None
) -> dict[str, Any]:
    """Describe a sound, and what was learned of it.

    Args:
        store: The store.
        moment: The present.
        name: Name of the sound.
        base: What it means to the model.
        task: The newest order, if it is of this sound.
    """
    today = place_time(store, moment).date()
    names = LabelNames(store)
    shown = shorten_names([each.name for each in list_sources(store)])
    label = find_said_label(store, name) or name
    corrects = bool(base.sound.silences)
    said = events_said_to_be(store, label)
    events = events_wrong(store, label) if corrects else said
    taken_for = {event.label: names(event.label) for event in said if event.label != label}
    with_clip = [event for event in events if has_clip(event)]
    listed = [find_entry(store, event.row) for event in reversed(with_clip[-N_EXAMPLES:])]
    learned = task.learned if task is not None else None
    return {
        "label": label,
        "name": names(label),
        "sound": base.sound.label,
        "corrects": corrects,
        "taken_for": list(taken_for.items()) if corrects else [],
        "model": base.model,
        "taught": base.taught,
        "n_examples": len(with_clip),
        "n_gone": len(events) - len(with_clip),
        "no_clips": NO_CLIPS,
        "few": FEW,
        "examples": [
            describe_entry(each, shown, names, today) for each in listed if each is not None
        ],
        "labels": list_names(store),
        "task": task,
        "at_most": task.order.at_most if task is not None else AT_MOST,
        "problem": f"{task.problem}." if task is not None and task.problem else "",
        "told": [] if learned is None else list(_tell(learned, names)),
        "heard": "" if learned is None else _tell_past(learned),
        "past": [] if learned is None else _describe_past(store, learned, task, shown, today),
        "n_more_past": 0
        if learned is None
        else max(len(learned.made.lesson.past_events) - N_PAST, 0),
    }


def _tell(learned: Learned, names: LabelNames) -> Iterator[str]:
    """Tell what was learned, in a few sentences."""
    lesson, taught = learned.made.lesson, learned.made.taught
    n_against = learned.n_against
    apart = [format_count(n_against, "marked sound")] if n_against else []
    *most, last = [*apart, *taught.against[n_against:]] or ["noise alone"]
    told_apart = f"{', '.join(most)} and {last}" if most else last
    n_examples = len(taught.examples)
    yield (
        f"Learned from {format_count(n_examples, 'example')} in {learned.took_s:.1f} s, told apart "
        f"from {told_apart}."
    )
    if lesson.heard_as and not learned.sound.silences:
        named = ", ".join(f"{names(label)} ({n})" for label, n in lesson.heard_as)
        yield f"{learned.card.name} takes the examples for {named}, and goes on doing so."
    way = "with each example left out in turn" if n_examples > 1 else "made of the one example"
    yield f"In scenes with noise and rooms, {way}, it finds {lesson.n_found} of {lesson.n_scenes}."
    if advice := advise_more(n_examples):
        yield advice


def _tell_past(learned: Learned) -> str:
    lesson = learned.made.lesson
    if not lesson.past_s:
        return ""
    length, n = tell_duration(lesson.past_s), len(lesson.past_events)
    how = f"it would have been heard {tell_times(n)}" if n else "it would not have been heard"
    return f"In the {length} that are kept, {how}"


def _describe_past(
    store: sqlite3.Connection,
    learned: Learned,
    task: Task | None,
    shown: Mapping[str, str],
    today: date,
) -> list[dict[str, Any]]:
    """Describe the moments of the past, with the events that can be played, the surest first."""
    names = LabelNames(store)
    silenced = learned.sound.silences
    examples = {event.row for event in learned.reviewed.examples}
    against = set() if task is None else set(task.order.against)
    rows = []
    for event in sorted(learned.made.lesson.past_events, key=lambda each: -each.score)[:N_PAST]:
        entry = _find_heard(store, event, learned.card.sample_rate, silenced, examples | against)
        described = None if entry is None else describe_entry(entry, shown, names, today)
        source = event.source if entry is None else entry.event.source
        if entry is not None and has_clip(entry.event) and _can_review(entry, silenced):
            mark = "yes" if entry.event.row in examples else ""
            mark = "no" if entry.event.row in against else mark
            field = f"mark-{entry.event.row}"
        else:  # nothing was told then, or something else, or its sound is gone: its features tell
            moment, mark = _find_mark(moment_of(event), learned)
            field = f"moment-{moment}"
        rows.append(
            {
                "when": tell_past_moment(event, entry, today),
                "length": format_length(event.offset_s - event.onset_s),
                "score": tell_score(event.score),
                "source": one_line(shown.get(source, source)),
                "event": described,
                "mark": mark,
                "field": field,
            }
        )
    return rows


def _can_review(entry: Entry, silenced: Sequence[str]) -> bool:
    """Whether a review says if an event was the sound: of a correction it is one of its label."""
    return not silenced or entry.event.label in silenced


def _find_mark(moment: KeptMoment, learned: Learned) -> tuple[str, str]:
    """Find how a moment was marked before, whose ends may since have moved by a hop.

    Returns:
        Its name then, and ``yes`` or ``no``; its name now and nothing if it was not.
    """
    taught = learned.made.taught
    for mark, names in (("no", taught.against), ("yes", taught.examples)):
        for name in names:
            known = parse_moment(name)
            if known is not None and known.meets(moment):
                return name, mark
    return moment.name, ""


def _find_heard(
    store: sqlite3.Connection,
    event: PastEvent,
    sample_rate: int,
    silenced: Sequence[str],
    marked: Collection[int],
) -> Entry | None:
    """Find the event of the store that sounded then.

    Of several labels that were told of one sound, the best is one that can be reviewed and played,
    and that was marked before.
    """
    found: list[Entry] = []
    if event.onset_us is not None:
        end_us = event.onset_us + round((event.offset_s - event.onset_s) * 1e6)
        found = find_within(store, event.source, "", (0, 0), (event.onset_us, end_us))
    if not found:
        places = (round(event.onset_s * sample_rate), round(event.offset_s * sample_rate))
        found = find_within(store, "", event.source, places, None)

    def fitness(entry: Entry) -> tuple[bool, bool, bool, float]:
        own = entry.event
        begin_s = own.onset_s
        if event.onset_us is not None and own.onset_us is not None:
            begin_s = event.onset_s + (own.onset_us - event.onset_us) / 1e6
        length_s = (own.offset_s or own.onset_s + 1) - own.onset_s
        common_s = min(begin_s + length_s, event.offset_s) - max(begin_s, event.onset_s)
        can_play = entry.clip is not None and entry.clip.is_there
        half_s = 0.5 * min(length_s, event.offset_s - event.onset_s)
        was_marked = own.row in marked and common_s >= half_s
        return _can_review(entry, silenced), can_play, was_marked, common_s

    return max(found, key=fitness, default=None)


async def begin(request: web.Request) -> web.StreamResponse:
    """Note what was marked, and begin to learn a sound."""
    texts = await read_form(request)
    name = read_name(texts.get("name", ""))
    if not name:
        raise UsageError("name: is empty: name the sound")
    teacher = request.config_dict[CONTEXT].teacher
    yes, no = _read_marks(texts)
    moments, model = _read_moments(texts), texts.get("model", "")
    base, trouble = await asyncio.to_thread(_find_base, teacher, name, model)
    if not trouble:
        rate = texts.get("at_most", "")
        at_most = {f"{each:g}": each for each in RATES}.get(rate, AT_MOST)
        await change(
            request, lambda store, now_us: note_marks(store, base.sound, name, yes, no, now_us)
        )
        label = await ask(request, lambda store: find_said_label(store, name))
        against = () if base.sound.silences else tuple(no)
        teacher.begin(Order(label or name, at_most, against, *moments, model))
    return redirect(request, f"/teach?{write_query(_place(name, model))}")


async def forget(request: web.Request) -> web.StreamResponse:
    """Forget a taught sound."""
    texts = await read_form(request)
    name, model = read_name(texts.get("name", "")), texts.get("model", "")
    teacher = request.config_dict[CONTEXT].teacher
    label = await asyncio.to_thread(teacher.forget, name, model)
    place = [*_place(label, model).items(), ("done", "forgot-1")]
    return redirect(request, f"/teach?{write_query(place)}")


def _read_marks(texts: MultiDict[str]) -> tuple[list[int], list[int]]:
    """Read which events were marked: ``mark-ROW`` is ``yes`` or ``no``."""
    marks: dict[str, list[int]] = {"yes": [], "no": []}
    for key, value in texts.items():
        row = key.removeprefix("mark-")
        if row != key and row.isascii() and row.isdecimal() and len(row) < 19 and value in marks:
            marks[value].append(int(row))
    return marks["yes"], marks["no"]


def _read_moments(texts: MultiDict[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read which moments without a sound to play were marked: ``moment-NAME``, likewise."""
    marks: dict[str, list[str]] = {"yes": [], "no": []}
    for key, value in texts.items():
        name = key.removeprefix("moment-")
        if name != key and value in marks and parse_moment(name) is not None:
            marks[value].append(name)
    return tuple(marks["yes"][:N_PAST]), tuple(marks["no"][:N_PAST])


def note_marks(
    store: sqlite3.Connection,
    sound: Sound,
    label: str,
    yes: Sequence[int],
    no: Sequence[int],
    now_us: int,
) -> None:
    """Note of events whether they were a sound.

    Args:
        store: The store, in a transaction.
        sound: The sound.
        label: Its name, as people wrote it.
        yes: Rows of events that were it.
        no: Rows of events that were not. Of a correction they were right; of any other sound nobody
            has said what they were, and what was said of them before is taken back if it was this.
        now_us: Now, in microseconds since 1970-01-01 UTC.
    """
    said = find_said_label(store, label)
    own = {event.row for event in events_said_to_be(store, said or label)}
    for row in yes:
        entry = find_entry(store, row)
        if entry is None:
            continue
        if sound.silences:
            review_event(store, row, "wrong", None, now_us)
        elif entry.event.label == sound.label:
            review_event(store, row, "right", None, now_us)
        elif row not in own:
            review_event(store, row, "wrong", said, now_us)
    for row in no:
        entry = find_entry(store, row)
        if entry is None:
            continue
        if sound.silences:
            review_event(store, row, "right", None, now_us)
        elif entry.event.label == sound.label:
            review_event(store, row, "wrong", None, now_us)
        elif row in own:
            review_event(store, row, None, None, now_us)
