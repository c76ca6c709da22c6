"""The lines of JSON Lines as types: what writes a line is what its JSON Schema is made from.

`docs/reference/json-lines.md` and the schemas beside it are generated from these classes
(`scripts/reference.py`), so a field has its description here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

SCHEMA: Literal[1] = 1
"""Version of the lines. It grows when a field goes, or means something else. New fields and new
types of lines do not raise it: a reader skips what it does not know."""


def _says(description: str, **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=description, **limits)


Version: TypeAlias = Annotated[Literal[1], _says("Version of the form of these lines.")]
Source: TypeAlias = Annotated[str, _says("Name of the recording, device or stream.")]
EventId: TypeAlias = Annotated[
    str, _says("Identifier of the event: the same in its `begin`, `ongoing` and `event` lines.")
]
LabelName: TypeAlias = Annotated[str, _says("The model's identifier of the sound.")]
Onset: TypeAlias = Annotated[float, _says("Begin, in seconds from the start of the stream.", ge=0)]
Offset: TypeAlias = Annotated[float, _says("End, in seconds from the start of the stream.", ge=0)]
Known: TypeAlias = Annotated[
    float,
    _says("Seconds from the start of the stream that had been heard when it was known.", ge=0),
]
Score: TypeAlias = Annotated[float, _says("Score of the label, from 0 to 1.")]
Time: TypeAlias = Annotated[
    str,
    _says(
        "Local time of the onset, ISO 8601, with its offset from UTC where that is known. "
        "Absent where nothing tells the time."
    ),
]
ModelName: TypeAlias = Annotated[str, _says("Name and version of the model.")]
ModelHash: TypeAlias = Annotated[str, _says("SHA-256 of the model's file.")]
Short: TypeAlias = Annotated[
    bool, _says("True where the audio was shorter than the model's window; absent elsewhere.")
]
Value: TypeAlias = Annotated[float, _says("Value of a regression that has one output.")]
Values: TypeAlias = Annotated[
    dict[str, float], _says("Values by label, of a regression that has several outputs.")
]


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A label and its score."""

    label: LabelName
    score: Score


class JsonRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Fields of every line: its type comes first, then the version of its form."""

    schema: Version = SCHEMA


class BeginLine(JsonRecord, frozen=True, kw_only=True, tag="begin"):
    """A sound is known while it is still there."""

    id: EventId
    source: Source
    label: LabelName
    onset: Onset
    known: Known
    score: Annotated[
        float,
        _says(
            "Averaged score so far, or the score of the newest window where that is higher and "
            "sure by itself. It may exceed the score of the `event`."
        ),
    ]
    time: Time | UnsetType = UNSET


class OngoingLine(JsonRecord, frozen=True, kw_only=True, tag="ongoing"):
    """A sound that was told of still goes on (with `--ongoing`)."""

    id: EventId
    source: Source
    label: LabelName
    onset: Onset
    known: Known
    score: Annotated[float, _says("Highest averaged score so far, from 0 to 1.")]
    time: Time | UnsetType = UNSET


class EventLine(JsonRecord, frozen=True, kw_only=True, tag="event"):
    """A sound has ended."""

    id: EventId
    source: Source
    label: LabelName
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    score: Annotated[float, _says("Highest averaged score while it lasted, from 0 to 1.")]
    short: Short | UnsetType = UNSET
    cut: (
        Annotated[
            bool,
            _says(
                "True where its run ended without warning, so that the end is the last audio that "
                "is known; absent elsewhere (lines of `heard`)."
            ),
        ]
        | UnsetType
    ) = UNSET


class GapLine(JsonRecord, frozen=True, kw_only=True, tag="gap"):
    """Audio is missing."""

    source: Source
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    cause: Annotated[str, _says("Why it is missing: `overflow`, `device lost`, `truncated`, ...")]


class ValueLine(JsonRecord, frozen=True, kw_only=True, tag="value"):
    """The value of a regression, at each window."""

    source: Source
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    value: Value | UnsetType = UNSET
    values: Values | UnsetType = UNSET
    short: Short | UnsetType = UNSET


class UpdateLine(JsonRecord, frozen=True, kw_only=True, tag="update"):
    """The best labels at each hop (with `--updates`)."""

    source: Source
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    top: Annotated[list[Label], _says("Labels with the highest averaged scores, best first.")]
    short: Short | UnsetType = UNSET


class SummaryLine(JsonRecord, frozen=True, kw_only=True, tag="summary"):
    """One answer for a whole recording (with `--summary`)."""

    source: Source
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    labels: (
        Annotated[list[Label], _says("Best labels of the recording; absent for a regression.")]
        | UnsetType
    ) = UNSET
    value: Value | UnsetType = UNSET
    values: Values | UnsetType = UNSET
    short: Short | UnsetType = UNSET


class HeardLine(JsonRecord, frozen=True, kw_only=True, tag="heard"):
    """A recording was heard to its end (with `--resume`).

    `bytes` and `modified` are those of its file when it was heard, by which `file --resume` knows
    whether it is still the same; absent where nothing tells them.
    """

    source: Source
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    events: Annotated[int, _says("Number of events in the recording.", ge=0)]
    model: ModelName | UnsetType = UNSET
    model_sha256: ModelHash | UnsetType = UNSET
    bytes: Annotated[int, _says("Size of the recording's file.", ge=0)] | UnsetType = UNSET
    modified: (
        Annotated[str, _says("When that file was changed last, to the microsecond, ISO 8601.")]
        | UnsetType
    ) = UNSET


class UnfinishedLine(JsonRecord, frozen=True, kw_only=True, tag="unfinished"):
    """A recording was not heard to its end (with `--resume`); `offset` tells how far it was."""

    source: Source
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    events: Annotated[int, _says("Number of events so far.", ge=0)]
    model: ModelName | UnsetType = UNSET
    model_sha256: ModelHash | UnsetType = UNSET


class LossLine(JsonRecord, frozen=True, kw_only=True, tag="loss"):
    """Lines could not be written: the disk was full, or nobody read the pipe."""

    source: Annotated[
        str | None, _says("Name of the device or stream; null before the first result.")
    ]
    lines: Annotated[int, _says("Number of lines lost in this place.", ge=1)]


class CountLine(JsonRecord, frozen=True, kw_only=True, tag="count"):
    """Events of a group, counted (`heard --by`)."""

    label: LabelName | UnsetType = UNSET
    source: Source | UnsetType = UNSET
    model: ModelName | UnsetType = UNSET
    day: Annotated[str, _says("Day by the place's clock, ISO 8601.")] | UnsetType = UNSET
    hour: (
        Annotated[int, _says("Hour of the day by the place's clock.", ge=0, le=23)] | UnsetType
    ) = UNSET
    events: Annotated[int, _says("Number of events.", ge=0)]
    open: Annotated[int, _says("Number of those that still sound.", ge=0)]
    cut: Annotated[int, _says("Number of those whose run ended without warning.", ge=0)]
    minutes: Annotated[float, _says("Their lengths together, in minutes.", ge=0)]
    hours_heard: Annotated[float, _says("Hours in which they could have been heard.", ge=0)]
    per_hour: (
        Annotated[float, _says("Events in an hour heard; absent where nothing was heard.", ge=0)]
        | UnsetType
    ) = UNSET
    first: Annotated[str, _says("Local time of the first onset.")] | UnsetType = UNSET
    last: Annotated[str, _says("Local time of the last onset.")] | UnsetType = UNSET
    score: (
        Annotated[float, _says("Highest score of any; absent where there is no event.")] | UnsetType
    ) = UNSET


class MomentLine(JsonRecord, frozen=True, kw_only=True, tag="moment"):
    """A moment of the past that is like what was looked for (`search`)."""

    source: Source
    onset: Onset
    offset: Offset
    likeness: Annotated[
        float, _says("Highest likeness of its windows; 1 for the same sound.", ge=-1, le=1)
    ]
    time: Time | UnsetType = UNSET
    label: (
        Annotated[str, _says("Label of the event that sounded longest in it; absent if none did.")]
        | UnsetType
    ) = UNSET
    event: Annotated[str, _says("Identifier of that event.")] | UnsetType = UNSET
    clip: Annotated[str, _says("Path of that event's clip.")] | UnsetType = UNSET


class GroupLine(JsonRecord, frozen=True, kw_only=True, tag="group"):
    """Events that are alike (`heard --groups`)."""

    events: Annotated[list[str], _says("Identifiers of the events, the most typical first.")]
    times: Annotated[
        int,
        _says(
            "How often it was heard; events with pauses of ten seconds at most are one time.", ge=1
        ),
    ]
    sources: Annotated[list[str], _says("Names of the streams that they lie in.")]
    labels: Annotated[list[str], _says("Labels that they have.")]
    likeness: Annotated[
        float, _says("Median likeness of the others to the most typical one.", ge=-1, le=1)
    ]
    usual_hour: (
        Annotated[
            int,
            _says(
                "Hour of the day around which they are mostly heard; absent if there is none.",
                ge=0,
                le=23,
            ),
        ]
        | UnsetType
    ) = UNSET
    length: Annotated[float, _says("Their median length in seconds.", ge=0)]
    clips: Annotated[list[str], _says("Paths of their clips that are still there.")]


MomentName = Annotated[str, _says("Name of the moment, which `teach` takes as an example.")]
ToldThen = Annotated[str, _says("Identifier of the event that was told then; absent if none was.")]
ClipThen = Annotated[str, _says("Path of that event's clip.")]


class PastMoment(msgspec.Struct, frozen=True, kw_only=True):
    """When a taught sound would have been heard."""

    source: Source
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    score: Score
    moment: MomentName
    event: ToldThen | UnsetType = UNSET
    clip: ClipThen | UnsetType = UNSET


class WouldBeLine(JsonRecord, frozen=True, kw_only=True, tag="would_be"):
    """An event that would have been told (`backtest`)."""

    source: Source
    label: LabelName
    onset: Onset
    offset: Offset
    time: Time | UnsetType = UNSET
    score: Score
    moment: MomentName
    event: ToldThen | UnsetType = UNSET
    clip: ClipThen | UnsetType = UNSET


class TaughtLine(JsonRecord, frozen=True, kw_only=True, tag="taught"):
    """A sound that was taught (`teach`)."""

    label: LabelName
    model: Annotated[str, _says("Path of the model file that has it.")]
    silences: Annotated[list[str], _says("Labels that are not told while it sounds.")]
    examples: Annotated[list[str], _says("Names of its examples.")]
    against: Annotated[list[str], _says("What it was told apart from.")]
    heard_as: Annotated[
        dict[str, int],
        _says("Labels that the model gives the examples by itself, with the number of examples."),
    ]
    scenes: Annotated[int, _says("Scenes, with noise and rooms, made of its examples.", ge=0)]
    scenes_found: Annotated[
        int, _says("Those in which it is found, taught without the scene's example.", ge=0)
    ]
    past_hours: Annotated[float, _says("Hours of the past that it was tried on.", ge=0)]
    past: Annotated[
        list[PastMoment], _says("When it would have been heard there, the earliest first.")
    ]
    seconds: Annotated[float, _says("Seconds that it took.", ge=0)]


LINES: tuple[type[JsonRecord], ...] = (
    BeginLine,
    OngoingLine,
    EventLine,
    GapLine,
    ValueLine,
    UpdateLine,
    SummaryLine,
    HeardLine,
    UnfinishedLine,
    LossLine,
    CountLine,
    MomentLine,
    WouldBeLine,
    GroupLine,
    TaughtLine,
)
"""Every type of line."""


def json_schema(line: type[JsonRecord]) -> dict[str, Any]:
    """JSON Schema (2020-12) of one type of line, complete in itself."""
    made = msgspec.json.schema(line)
    definitions = made["$defs"]
    own = definitions.pop(line.__name__)
    # msgspec takes what has a default for optional; a line always tells its version.
    own["required"] = ["type", "schema", *own["required"][1:]]
    own["properties"]["schema"] = {**own["properties"]["schema"], "const": SCHEMA}
    for key in ("enum", "default"):
        own["properties"]["schema"].pop(key, None)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **own}
    return {**schema, "$defs": definitions} if definitions else schema
