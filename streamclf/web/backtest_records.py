"""The orders and answers of the API about backtests, as types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from streamclf.runs.backtest import DAYS
from streamclf.runs.backtester import MOST_DAYS
from streamclf.web.records import Answer, Number, SourceName, Time, says


class BacktestOrderRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be judged again."""

    label: Annotated[str, says("The sound; empty for those of the rule.", max_length=120)] = ""
    model: Annotated[str, says("Name of the model, of `models`; empty for the first.")] = ""
    threshold: Annotated[
        float | None, says("Averaged score at which events begin; null for the model's own.")
    ] = None
    precision: Annotated[
        float | None, says("Part of the events that should be right, in place of a threshold.")
    ] = None
    days: Annotated[int, says("Days of the past, up to now.", ge=1, le=MOST_DAYS)] = DAYS
    rule: Annotated[str, says("Name of a rule of `rules` that is asked; empty for none.")] = ""


class WouldBeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An event that would have been told, or a message of a rule."""

    source: SourceName
    time: Time | UnsetType = UNSET
    label: Annotated[str, says("Identifier of the sound.")]
    onset: Annotated[float, says("Begin in seconds from the start of its stream.")] | UnsetType = (
        UNSET
    )
    offset: Annotated[float, says("End, likewise.")] | UnsetType = UNSET
    score: Annotated[float, says("Highest averaged score.", ge=0, le=1)] | UnsetType = UNSET
    text: Annotated[str, says("Text of the message; empty where no rule is asked.")] = ""
    event: Number | UnsetType = UNSET


class BacktestTaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The newest order, and how far it is."""

    order: BacktestOrderRecord
    state: Annotated[
        Literal["judging", "judged", "failed"], says("Whether the past is judged already.")
    ]
    part: Annotated[float, says("Part of the past that is judged.", ge=0, le=1)]
    problem: Annotated[str, says("Why it failed; empty if it did not.")] = ""
    past_hours: Annotated[float, says("Hours of the past that are kept.", ge=0)] = 0.0
    count: Annotated[int, says("How often it would have been told.", ge=0)] = 0
    then: Annotated[int, says("How many events were told then.", ge=0)] = 0
    would: Annotated[list[WouldBeRecord], says("The newest of them, the newest first.")] = []


class BacktestAnswerRecord(Answer, frozen=True, kw_only=True):
    """What can be tried, and what came of the newest order."""

    models: Annotated[list[str], says("Names of the models that can judge.")]
    rules: Annotated[list[str], says("Names of the rules that can be asked.")]
    task: BacktestTaskRecord | UnsetType = UNSET
