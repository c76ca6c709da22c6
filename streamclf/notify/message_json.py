"""A message as JSON: what a webhook gets, and what a command reads.

`docs/reference/messages.md` and the schema beside it are generated from this class
(`scripts/reference.py`), so a field has its description here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from streamclf.core.sureness import Sureness
from streamclf.notify.messages import Message
from streamclf.sinks.json_records import JsonRecord


def _says(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description)


When: TypeAlias = Literal["begin", "ongoing", "end", "quiet", "lost", "back", "test"]


class MessageRecord(JsonRecord, frozen=True, kw_only=True, tag="message"):
    """What a rule tells."""

    token: Annotated[
        str,
        _says("Identifier of the message: the same where it is delivered again."),
    ]
    rule: Annotated[str, _says("Name of the rule.")]
    on: Annotated[
        When,
        _says(
            "Why it is told: the sound begins, goes on, or has ended; nothing was heard of it "
            "(`quiet`); the source is lost or has no signal, or is heard again (`lost`, `back`); "
            "or somebody tries the rule (`test`)."
        ),
    ]
    told: Annotated[str, _says("Local time at which it was told, ISO 8601.")]
    text: Annotated[str, _says("What people read, from the rule's `message`.")]
    source: Annotated[str, _says("Name of the source.")]
    label: Annotated[
        str,
        _says(
            "The model's identifier of the sound; empty for the quiet of a rule with several "
            "labels, and for `lost` and `back`."
        ),
    ]
    name: Annotated[str, _says("The label as people read it.")]
    asked: (
        Annotated[
            str,
            _says(
                "The label that the rule names, where it is another one: a broader one (`Alarm` of "
                "a `Siren`), or a kind (`Bark` of a `Dog`)."
            ),
        ]
        | UnsetType
    ) = UNSET
    id: (
        Annotated[
            str,
            _says(
                "Identifier of the event, as in JSON Lines and on the page: the same as it begins, "
                "goes on and ends; of the first one where an alarm goes on as a siren; absent for "
                "`quiet`, `lost` and `back`."
            ),
        ]
        | UnsetType
    ) = UNSET
    score: (
        Annotated[
            float,
            _says(
                "Highest averaged score so far, from 0 to 1; absent for `quiet`, `lost` and `back`."
            ),
        ]
        | UnsetType
    ) = UNSET
    sureness: (
        Annotated[
            Sureness,
            _says(
                "How sure that score is for this label, by the model's card; absent where it has "
                "no word."
            ),
        ]
        | UnsetType
    ) = UNSET
    time: (
        Annotated[
            str,
            _says(
                "Local time of the onset, ISO 8601; for `quiet` that since which it is quiet, for "
                "`lost` and `back` that at which the source or its signal was lost."
            ),
        ]
        | UnsetType
    ) = UNSET
    end_time: (
        Annotated[str, _says("Local time of the end, ISO 8601; absent while it goes on.")]
        | UnsetType
    ) = UNSET
    length_s: (
        Annotated[float, _says("How long it lasted, in seconds; absent while it goes on.")]
        | UnsetType
    ) = UNSET
    count: Annotated[
        int, _says("How often the sound was heard, for a rule with `repeats`; else 1.")
    ]
    clip: (
        Annotated[str, _says("Path of the event's clip; only `streamclf rules --test` names it.")]
        | UnsetType
    ) = UNSET


def local_time(moment_us: int, utc_offset_min: int) -> str:
    """Write a time in ISO 8601 as the place's clock shows it, with its offset from UTC.

    Args:
        moment_us: Microseconds since 1970-01-01 UTC.
        utc_offset_min: The place's offset from UTC, in minutes.
    """
    zone = timezone(timedelta(minutes=utc_offset_min))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_us)
    return moment.astimezone(zone).isoformat(timespec="milliseconds")


def describe_message(message: Message) -> MessageRecord:
    """Return the fields of a message as targets get them."""
    onset_us, offset_us = message.onset_us, message.offset_us
    zone = message.utc_offset_min
    lasted = onset_us is not None and offset_us is not None
    return MessageRecord(
        token=message.token,
        rule=message.rule,
        on=message.on,
        told=local_time(message.told_us, zone),
        text=message.text,
        source=message.source,
        label=message.label,
        name=message.name,
        asked=UNSET if message.asked is None else message.asked,
        id=UNSET if message.event_id is None else message.event_id,
        score=UNSET if message.score is None else round(float(message.score), 4),
        sureness=UNSET if message.sureness is None else message.sureness,
        time=UNSET if onset_us is None else local_time(onset_us, zone),
        end_time=UNSET if offset_us is None else local_time(offset_us, zone),
        length_s=round(((offset_us or 0) - (onset_us or 0)) / 1e6, 3) if lasted else UNSET,
        count=message.count,
    )


def message_json(message: Message) -> bytes:
    """Write a message as one line of JSON, in UTF-8, without a line end."""
    return msgspec.json.encode(describe_message(message))
