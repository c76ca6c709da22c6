"""What is told: one message of a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamclf.core.sureness import Sureness

Occasion: TypeAlias = Literal["begin", "ongoing", "end", "quiet", "lost", "back", "test"]
"""Why a message is told; ``back``: a lost source is heard again; ``test``: somebody tries it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message, the same for all of its targets.

    Attributes:
        token: Its identifier, the same in each try to deliver it.
        rule: Name of the rule.
        on: Why it is told.
        source: Name of the source.
        label: The model's identifier of the sound; with ``quiet`` the one that was not heard, empty
            where a rule has several; empty with ``lost`` and ``back``.
        name: The label as people read it.
        text: What people read, from the rule's template.
        told_us: When it was told, in microseconds since 1970-01-01 UTC.
        utc_offset_min: The place's offset from UTC, in minutes.
        event_id: Identifier of the event; None with ``quiet``, ``lost`` and ``back``.
        score: Highest averaged score so far; None with ``quiet``, ``lost`` and ``back``.
        sureness: How sure the event is so far, by the card of its model; None where that has no
            word.
        onset_us: When the sound began; with ``quiet`` when the quiet did, with ``lost`` and
            ``back`` when the source or its signal was lost.
        offset_us: When it ended; None while it goes on.
        count: How often the sound was heard, for a rule with ``repeats``; else 1.
        targets: Names of the targets that it goes to; empty where the rule names none.
        moment_us: The moment that it is about, from which the rule's cooldown counts; None for one
            that counts for nothing.
        asked: The label that the rule names where it is another one than `label`: a broader one, or
            a kind that is told by `label`.
        asked_name: That label as people read it.
    """

    token: str
    rule: str
    on: Occasion
    source: str
    label: str
    name: str
    text: str
    told_us: int
    utc_offset_min: int
    targets: tuple[str, ...]
    event_id: str | None = None
    score: float | None = None
    onset_us: int | None = None
    offset_us: int | None = None
    count: int = 1
    moment_us: int | None = None
    asked: str | None = None
    asked_name: str | None = None
    sureness: Sureness | None = None
