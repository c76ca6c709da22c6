"""The answers of the JSON API as types: what writes an answer is what OpenAPI describes.

`docs/reference/openapi.json` is generated from these classes (`scripts/reference.py`), so a field
has its description here. A field that is absent is not known, or there is nothing to tell.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from streamclf.core.sureness import Sureness

SCHEMA: Literal[1] = 1
"""Version of the answers. It grows when a field goes, or means something else."""


def says(description: str, **limits: Any) -> msgspec.Meta:
    """Describe a field."""
    return msgspec.Meta(description=description, **limits)


Number: TypeAlias = Annotated[int, says("Number of the event in the store.", ge=1)]
LabelName: TypeAlias = Annotated[str, says("The model's identifier of the sound.")]
LabelText: TypeAlias = Annotated[str, says("Name of the sound for people.")]
SourceName: TypeAlias = Annotated[str, says("Name of the microphone, stream or folder.")]
Time: TypeAlias = Annotated[
    str, says("Local time, ISO 8601, with its offset from UTC where that is known.")
]
Day: TypeAlias = Annotated[str, says("Day by the place's own clock, ISO 8601.")]
Db: TypeAlias = Annotated[
    float | UnsetType,
    says("Decibels: sound pressure where the source is calibrated, else relative to full scale."),
]
Hours: TypeAlias = Annotated[float, says("Hours in which something was heard.", ge=0)]
Score: TypeAlias = Annotated[float, says("Highest score while it lasted, from 0 to 1.")]
Verdict: TypeAlias = Literal["right", "wrong"]
Place: TypeAlias = Annotated[
    str, says("Position from which the next page begins: the parameter of the same name.")
]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of every answer."""

    schema: Annotated[Literal[1], says("Version of the form of these answers.")] = SCHEMA


class ClipRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The stored sound of an event."""

    id: Annotated[int, says("Number of the clip in the store.", ge=1)]
    there: Annotated[bool, says("Whether its file is there, so that it can be played.")]
    bytes: Annotated[int, says("Size of its file.", ge=0)]
    kept: Annotated[bool, says("Whether somebody wants it kept, whatever its age and its size.")]
    url: Annotated[str, says("Path of its file below the address of the page.")] | UnsetType = UNSET
    gone: Annotated[str, says("Why it is gone: `limit`, `age`, `deleted`.")] | UnsetType = UNSET


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A sound that was heard."""

    id: Number
    event: Annotated[str, says("Identifier of the event, the same as in JSON Lines.")]
    label: LabelName
    name: LabelText
    source: SourceName
    recording: Annotated[str, says("Path of the recording.")] | UnsetType = UNSET
    model: Annotated[str, says("Name and version of the model.")]
    time: Time | UnsetType = UNSET
    onset: Annotated[float, says("Begin, in seconds from the start of the stream.", ge=0)]
    offset: Annotated[float, says("End, likewise; absent while it sounds.", ge=0)] | UnsetType = (
        UNSET
    )
    score: Score
    sureness: (
        Annotated[
            Sureness,
            says(
                "How sure that score is for this label, by the model's card; absent where it has "
                "no word."
            ),
        ]
        | UnsetType
    ) = UNSET
    state: Annotated[
        Literal["open", "ended", "cut"],
        says("`open` while it sounds, `cut` if its run ended without warning."),
    ]
    verdict: Annotated[Verdict, says("What somebody said of it last.")] | UnsetType = UNSET
    said: Annotated[str, says("What it was instead, where somebody said so.")] | UnsetType = UNSET
    said_name: Annotated[str, says("Name of that for people.")] | UnsetType = UNSET
    clip: ClipRecord | UnsetType = UNSET


class EventsAnswer(Answer, frozen=True, kw_only=True):
    """A page of events, the newest first."""

    events: list[EventRecord]
    older: Place | UnsetType = UNSET
    newer: Place | UnsetType = UNSET


class EventAnswer(Answer, frozen=True, kw_only=True):
    """One event."""

    event: EventRecord


class MomentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the past that is like an event."""

    source: SourceName
    recording: Annotated[str, says("Path of the recording.")] | UnsetType = UNSET
    onset: Annotated[float, says("Begin, in seconds from the start of the stream.", ge=0)]
    offset: Annotated[float, says("End, likewise.", ge=0)]
    time: Time | UnsetType = UNSET
    likeness: Annotated[
        float, says("Highest likeness of its windows; 1 for the same sound.", ge=-1, le=1)
    ]
    event: (
        Annotated[EventRecord, says("The event that sounded longest in it; absent if none did.")]
        | UnsetType
    ) = UNSET


class LikeAnswer(Answer, frozen=True, kw_only=True):
    """The moments that are most like an event, the most like first."""

    event: EventRecord
    moments: list[MomentRecord]


class UnknownGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Unknown sounds that are alike."""

    events: Annotated[list[Number], says("The events, the most typical first.")]
    times: Annotated[
        int,
        says(
            "How often it was heard; events with pauses of ten seconds at most are one time.", ge=1
        ),
    ]
    sources: Annotated[list[SourceName], says("Where they were heard.")]
    likeness: Annotated[float, says("Median likeness of the others to the first.", ge=-1, le=1)]
    length: Annotated[float, says("Median length in seconds.", ge=0)]
    usual_hour: (
        Annotated[int, says("Hour of the day around which they are mostly heard.", ge=0, le=23)]
        | UnsetType
    ) = UNSET
    last: Time | UnsetType = UNSET
    example: Annotated[EventRecord, says("The most typical event, best one whose sound is stored.")]


class UnknownAnswer(Answer, frozen=True, kw_only=True):
    """Unknown sounds without a name, grouped by likeness, what was heard most often first."""

    groups: list[UnknownGroup]
    alone: Annotated[int, says("Number of unknown sounds like no other.", ge=0)]
    unkept: Annotated[int, says("Number of unknown sounds of which no features are kept.", ge=0)]


class ClipAnswer(Answer, frozen=True, kw_only=True):
    """One clip, and the event that it belongs to."""

    clip: ClipRecord
    event: EventRecord


class DeleteAnswer(Answer, frozen=True, kw_only=True):
    """What became of a clip that was to be deleted."""

    result: Annotated[
        Literal["gone", "kept", "none"],
        says("`kept` where somebody wants it kept, so that it stays; `none` where none was there."),
    ]
    event: EventRecord


class LevelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How loud an hour was, or a day."""

    source: SourceName
    time: Annotated[str, says("Its begin by the place's own clock, without an offset.")]
    laeq: Db = UNSET
    la10: Db = UNSET
    la90: Db = UNSET
    lamax: Db = UNSET
    hours_heard: Hours


class LevelsAnswer(Answer, frozen=True, kw_only=True):
    """Levels by source and time."""

    step_hours: Annotated[Literal[1, 24], says("Hours that one of them stands for.")]
    levels: list[LevelRecord]


class LabelCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a label."""

    label: LabelName
    name: LabelText
    events: Annotated[list[int], says("Number of events in each column of time.")]


class GapRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Audio that is known to be missing."""

    source: SourceName
    cause: Annotated[str, says("Why it is missing.")]
    time: Annotated[str, says("Its begin by the place's own clock, without an offset.")]
    seconds: Annotated[float, says("Its length, as far as it lies in the days.", ge=0)]


class DaysAnswer(Answer, frozen=True, kw_only=True):
    """Events by label and time: by hour of one day, or by day of several."""

    first: Day
    last: Day
    step_hours: Annotated[Literal[1, 24], says("Hours of a column.")]
    times: Annotated[list[str], says("Begin of each column, by the place's own clock.")]
    hours_heard: Annotated[list[float], says("Hours heard in each column, of all sources.")]
    labels: Annotated[list[LabelCounts], says("The labels, those with most events first.")]
    gaps: list[GapRecord]


class LabelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How often a sound was heard in a time."""

    label: LabelName
    name: LabelText
    events: Annotated[int, says("Number of events.", ge=0)]
    minutes: Annotated[float, says("Their lengths together, in minutes.", ge=0)]
    per_hour: (
        Annotated[float, says("Events in an hour heard; absent where nothing was heard.", ge=0)]
        | UnsetType
    ) = UNSET
    last: Time | UnsetType = UNSET
    score: Annotated[float, says("Highest score of any.")]


class LabelsAnswer(Answer, frozen=True, kw_only=True):
    """Sounds that were heard in a time, the most frequent first."""

    first: Day
    last: Day
    hours_heard: Hours
    labels: list[LabelRecord]


class ReviewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody says of an event."""

    verdict: Annotated[
        Verdict | None, says("`right` or `wrong`; null takes back all that was said of it.")
    ]
    label: Annotated[
        str | None,
        says("With `wrong`: what it was instead, where that is known; a label or its name."),
    ] = None


class KeepOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the clip of an event is kept."""

    kept: Annotated[bool, says("Whether it stays, whatever its age and its size.")]


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Why something cannot be answered or done."""

    error: Annotated[str, says("The reason, in one line.")]
