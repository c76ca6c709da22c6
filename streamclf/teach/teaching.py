"""Teaching of a sound, from its name to a model file: what the command and the page share."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from streamclf.core.card import Card, Taught
from streamclf.core.errors import UsageError
from streamclf.core.label_names import plain_name
from streamclf.core.text_format import format_count
from streamclf.model.model_file import Model
from streamclf.store.listing import StoredEvent
from streamclf.teach.common_sounds import read_common_sounds
from streamclf.teach.examples import Example, leave_out_repeats
from streamclf.teach.lesson import Lesson, learn
from streamclf.teach.past import Past
from streamclf.teach.reviewed import events_said_to_be, events_wrong, has_clip
from streamclf.teach.taught_model import check_new_label, find_taught, with_label

MOST_READ = 40
"""Reviewed events that are taken as examples, and as others; more make it slower, and no better."""
AT_MOST = 3.0
"""Events a week that the past may have, if nobody says another number."""
FEW = 3
"""Below so many examples the answer asks for more."""


@dataclass(frozen=True)
class Sound:
    """What is taught.

    Attributes:
        label: The label that the model gets.
        silences: Labels that are not told while it sounds.
    """

    label: str
    silences: tuple[str, ...] = ()


def correction_of(label: str) -> str:
    """Name the sound that is taken for a label wrongly."""
    return f"not {label}"


def find_sound(card: Card, label: str) -> Sound:
    """Decide what a name means: a new sound, one to be taught anew, or a correction of a label.

    Raises:
        UsageError: A new sound cannot have this name.
    """
    wanted = plain_name(label)
    for own in card.labels:
        name = card.display_name(own)
        if own not in card.taught and wanted == plain_name(correction_of(name)):
            raise UsageError(
                f"{label}: is the name of what is taken for {name} wrongly: teach {name}, which "
                "makes it of reviews, or give your own sound another name"
            )
    if (known := find_taught(card, label)) is not None:
        return Sound(known)
    for own in card.labels:
        if wanted in (plain_name(own), plain_name(card.display_name(own))):
            return Sound(correction_of(card.display_name(own)), (own,))
    check_new_label(card, label)
    return Sound(label)


@dataclass(frozen=True)
class ReviewedEvents:
    """What people said of events, as it counts for a sound.

    Attributes:
        examples: Events with clips that are the sound, the earliest first.
        against: Events with clips that are taken for it wrongly.
        n_gone: How many have no clip any more.
        n_left_out: How many are left out because there are enough.
    """

    examples: list[StoredEvent]
    against: list[StoredEvent]
    n_gone: int
    n_left_out: int


def find_reviewed(connection: sqlite3.Connection, sound: Sound, label: str) -> ReviewedEvents:
    """Find the events of which people said that they were a sound, or were not.

    Args:
        connection: The store.
        sound: The sound.
        label: Its name, as people wrote it. For a correction what was called wrong is the sound.
    """
    said, denied = events_said_to_be(connection, label), events_wrong(connection, label)
    if sound.silences:
        said, denied = denied, said
    examples, against = ([each for each in events if has_clip(each)] for events in (said, denied))
    chosen, others = _spread(examples), _spread(against)
    n_kept = len(examples) + len(against)
    return ReviewedEvents(
        chosen, others, len(said) + len(denied) - n_kept, n_kept - len(chosen) - len(others)
    )


def _spread(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Choose at most `MOST_READ` events that lie evenly in time."""
    if len(events) <= MOST_READ:
        return list(events)
    return [events[k * (len(events) - 1) // (MOST_READ - 1)] for k in range(MOST_READ)]


@dataclass(frozen=True, eq=False)
class TaughtSound:
    """A sound that was learned, and the model that names it.

    Attributes:
        content: The bytes of the model file.
        taught: Its origin, as the card tells it.
        lesson: What was learned.
        notes: Lines about the examples that people should read.
    """

    content: bytes
    taught: Taught
    lesson: Lesson
    notes: Sequence[str] = ()


def teach_sound(
    model: Model,
    sound: Sound,
    examples: Sequence[Example],
    against: Sequence[Example],
    past: Past | None,
    at_most: float,
) -> TaughtSound:
    """Learn a sound, and make the model that names it.

    Args:
        model: The model, which gives features.
        sound: The sound.
        examples: Examples of it.
        against: Examples of sounds that are not it.
        past: Kept features of this model; None where there are none.
        at_most: Events a week that the past may have.

    Raises:
        UsageError: There are no examples, or one is also said not to be the sound.
        ModelError: The model file cannot be read, or is not what its card says.
    """
    assert model.features is not None
    examples, repeats = leave_out_repeats(examples, against)
    common = read_common_sounds(model.features.digest)
    lesson = learn(model.card, examples, against, common, past, at_most=at_most)
    taught = _describe_origin(examples, against, past, len(common))
    content = with_label(
        model.path,
        model.card,
        sound.label,
        lesson.head,
        taught,
        lesson.threshold,
        silences=sound.silences,
    )
    notes = [
        f"{name}: is there twice: it counts once"
        if name == same
        else f"{name}: is the same audio as {same}: it counts once"
        for name, same in repeats
    ]
    return TaughtSound(content, taught, lesson, notes)


def _describe_origin(
    examples: Sequence[Example], against: Sequence[Example], past: Past | None, n_common: int
) -> Taught:
    told_apart = [each.name for each in against]
    if past is not None:
        told_apart.append(f"{tell_duration(past.seconds)} of the past")
    if n_common:
        told_apart.append("common sounds")
    today = datetime.now().astimezone().date().isoformat()
    return Taught([each.name for each in examples], told_apart, today)


def advise_more(n_examples: int) -> str:
    """Say what more examples would do; nothing where there are `FEW` or more."""
    if n_examples >= FEW:
        return ""
    more = f"{FEW} examples or more, of different days, find more of it"
    if n_examples == 1:
        return f"One example is enough for a sound that hardly varies, such as a chime; {more}."
    return f"{more}."


def tell_duration(seconds: float) -> str:
    """Write how long a past is: ``14 days``, ``7 hours``, ``12 minutes``, ``37 seconds``."""
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.0f} days"
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.0f} hours"
    if seconds >= 2 * 60:
        return f"{seconds / 60:.0f} minutes"
    return format_count(max(round(seconds), 1), "second")


def tell_times(n: int) -> str:
    """Write how often: ``once``, ``4 times``."""
    return "once" if n == 1 else f"{n:,} times"
