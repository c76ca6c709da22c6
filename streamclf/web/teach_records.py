"""The orders and answers of the API about teaching, as types."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from streamclf.teach.teaching import AT_MOST
from streamclf.web.records import Answer, Number, SourceName, Time, says

EventNumber: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class TeachOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sound that is to be learned, from the events of which people said that they were it."""

    name: Annotated[str, says("Name of the sound, as reviews have it.", min_length=1)]
    at_most: Annotated[float, says("Events a week that the past may have.", ge=0, le=10_000)] = (
        AT_MOST
    )
    yes: Annotated[list[EventNumber], says("Numbers of events that were it.")] = []
    no: Annotated[list[EventNumber], says("Numbers of events that were something else.")] = []
    moments: Annotated[list[str], says("Names of moments of the past that were it.")] = []
    moments_against: Annotated[list[str], says("Names of moments that were something else.")] = []


class ForgetOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A taught sound that is to be forgotten."""

    name: Annotated[str, says("Name of the sound.", min_length=1)]


class TaughtRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A sound that the taught model names."""

    name: Annotated[str, says("Name of the sound.")]
    date: Annotated[str, says("Day on which it was taught; empty if unknown.")]
    examples: Annotated[list[str], says("Names of its examples.")]
    against: Annotated[list[str], says("What it was told apart from.")]


class PastRecord(msgspec.Struct, frozen=True, kw_only=True):
    """When a taught sound would have been heard."""

    source: SourceName
    onset: Annotated[float, says("Begin in seconds from the start of its stream.")]
    offset: Annotated[float, says("End, likewise.")]
    time: Time | UnsetType = UNSET
    score: Annotated[float, says("Highest averaged score.", ge=0, le=1)]
    moment: Annotated[str, says("Name of the moment, for `moments` and `moments_against`.")]
    event: Number | UnsetType = UNSET


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The newest order, and how far it is."""

    name: Annotated[str, says("Name of the sound.")]
    state: Annotated[
        Literal["learning", "learned", "failed"], says("Whether it is learned already.")
    ]
    problem: Annotated[str, says("Why it failed; empty if it did not.")] = ""
    examples: Annotated[int, says("Number of examples that it was learned from.", ge=0)] = 0
    scenes: Annotated[int, says("Scenes made of them.", ge=0)] = 0
    scenes_found: Annotated[int, says("Scenes in which it is found.", ge=0)] = 0
    past_hours: Annotated[float, says("Hours of the past that it was tried on.", ge=0)] = 0.0
    past: Annotated[list[PastRecord], says("When it would have been heard there.")] = []


class TeachAnswer(Answer, frozen=True, kw_only=True):
    """What was taught, and what is being learned."""

    model: Annotated[str, says("Path of the model file that names the taught sounds.")]
    listens: Annotated[bool, says("Whether something listens with this file.")]
    taught: Annotated[list[TaughtRecord], says("The sounds that were taught.")]
    task: TaskRecord | UnsetType = UNSET
