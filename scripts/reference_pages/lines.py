"""JSON Lines, messages and their schemas, from the types that write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from reference_pages.markdown import NOTE, cell
from streamclf.notify.message_json import MessageRecord
from streamclf.sinks import json_records


def _examples() -> dict[type[json_records.JsonRecord], json_records.JsonRecord]:
    where = {"source": "hall.wav", "time": "2026-11-21T22:04:13.500+01:00"}
    place = {**where, "onset": 12.5, "offset": 15.0}
    dog = {"id": "dog-200000", "label": "dog", "onset": 12.5, **where}
    best = [
        json_records.Label(label="dog", score=0.93),
        json_records.Label(label="cat", score=0.02),
    ]
    return {
        json_records.BeginLine: json_records.BeginLine(**dog, known=13.75, score=0.71),
        json_records.OngoingLine: json_records.OngoingLine(**dog, known=14.25, score=0.9),
        json_records.EventLine: json_records.EventLine(**dog, offset=15.0, score=0.93),
        json_records.GapLine: json_records.GapLine(**place, cause="overflow"),
        json_records.ValueLine: json_records.ValueLine(**place, value=0.08125),
        json_records.UpdateLine: json_records.UpdateLine(**place, top=best),
        json_records.SummaryLine: json_records.SummaryLine(**place, labels=best),
        json_records.HeardLine: json_records.HeardLine(**place, events=1),
        json_records.UnfinishedLine: json_records.UnfinishedLine(**place, events=1),
        json_records.MomentLine: json_records.MomentLine(
            source="yard",
            onset=312.5,
            offset=315.0,
            likeness=0.7125,
            time="2026-11-26T18:03:12.500+01:00",
            label="doorbell",
            event="doorbell-5000000@5f3c",
        ),
        json_records.WouldBeLine: json_records.WouldBeLine(
            source="yard",
            label="dog",
            onset=312.5,
            offset=315.0,
            time="2026-11-26T18:03:12.500+01:00",
            score=0.3125,
            moment="yard@2026-11-26T17:03:12.500Z+2.5s",
            event="dog-5000000@5f3c",
            clip="clips/dog/2026-11-26_180310_88.flac",
        ),
        json_records.GroupLine: json_records.GroupLine(
            events=["unknown-5000000@5f3c", "unknown-9120000@5f3c"],
            times=2,
            sources=["yard"],
            labels=["unknown"],
            likeness=0.8125,
            usual_hour=18,
            length=2.5,
            clips=["clips/unknown/20261126/20261126_180312_500_53.flac"],
        ),
        json_records.TaughtLine: json_records.TaughtLine(
            label="my doorbell",
            model="mine.onnx",
            silences=[],
            examples=["bell1.wav", "bell2.wav", "bell3.wav"],
            against=["14 days of the past", "common sounds"],
            heard_as={"church_bells": 2},
            scenes=12,
            scenes_found=9,
            past_hours=336.0,
            past=[
                json_records.PastMoment(
                    source="hall",
                    onset=64987.5,
                    offset=64989.5,
                    time="2026-11-24T18:03:07.500+01:00",
                    score=0.91,
                    moment="hall@2026-11-24T17:03:07.500Z+2.0s",
                )
            ],
            seconds=4.2,
        ),
        json_records.CountLine: json_records.CountLine(
            hour=22,
            source="yard",
            events=12,
            open=0,
            cut=0,
            minutes=3.5,
            hours_heard=7.0,
            per_hour=1.7143,
            first="2026-11-21T22:04:13.500+01:00",
            last="2026-11-27T22:51:40.000+01:00",
            score=0.93,
        ),
        json_records.LossLine: json_records.LossLine(source="USB microphone", lines=12),
    }


def schemas() -> dict[str, str]:
    """The JSON Schema of each type of line, by the type's name."""
    made = {}
    for line in json_records.LINES:
        schema = json_records.json_schema(line)
        made[schema["properties"]["type"]["enum"][0]] = json.dumps(schema, indent=2) + "\n"
    made["message"] = json.dumps(json_records.json_schema(MessageRecord), indent=2) + "\n"
    return made


def messages() -> str:
    """The page of what webhooks and commands get."""
    example = MessageRecord(
        token="5f2b8c0e9a1d4c7f3e6b2a90",  # noqa: S106
        rule="smoke",
        on="begin",
        told="2026-11-21T22:04:14.750+01:00",
        text="kitchen: Smoke alarm (sure) since 22:04:13",
        source="kitchen",
        label="smoke_alarm",
        name="Smoke alarm",
        id="smoke_alarm-200000@20261121T210000Z-1f00a1b2",
        score=0.91,
        sureness="sure",
        time="2026-11-21T22:04:13.500+01:00",
        count=1,
    )
    lines = [
        "# Messages",
        "",
        NOTE,
        "",
        "A rule's message, as a webhook gets it in the body of a request, and a command on its "
        "standard input, in one line. [Set up who is told](../how-to/targets.md) says how they "
        "come there. "
        f"`schema` is the version of this form, {json_records.SCHEMA}; it grows when a field goes "
        "or means something else. [Its JSON Schema](schema/message.json) describes it as well.",
        *_describe_fields(MessageRecord, example),
        "",
        "## Headers of a webhook",
        "",
        "| header | value |",
        "|---|---|",
        "| `Content-Type` | `application/json` |",
        "| `User-Agent` | `streamclf/` and its version |",
        "| `X-Streamclf-Token` | The message's `token`. |",
        "| `Authorization` | `Bearer` and the token of `token-file` or `token-env`, or `Basic` and "
        "the user and password in the address; absent without them. |",
        "| `X-Streamclf-Timestamp` | With a secret: when it was sent, in seconds since 1970. |",
        "| `X-Streamclf-Signature` | With a secret: `sha256=` and HMAC-SHA256, in hexadecimal, of "
        "the timestamp, a full stop, and the body. |",
        "",
        "And those of `headers-file`.",
        "",
        "```python",
        "import hashlib, hmac, time",
        "",
        "",
        "def is_genuine(secret: bytes, headers: dict[str, str], body: bytes) -> bool:",
        '    sent = headers["X-Streamclf-Timestamp"]',
        '    right = hmac.new(secret, sent.encode() + b"." + body, hashlib.sha256).hexdigest()',
        '    said = headers["X-Streamclf-Signature"].removeprefix("sha256=")',
        "    return hmac.compare_digest(said, right) and abs(time.time() - int(sent)) < 300",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _describe_fields(
    line: type[json_records.JsonRecord], example: json_records.JsonRecord
) -> Iterator[str]:
    """An example of a line, and a table of its fields."""
    schema = json_records.json_schema(line)
    encoded = msgspec.json.encode(example).decode()
    yield from ("", "```json", encoded, "```", "")
    yield from ("| field | value | always there | meaning |", "|---|---|---|---|")
    for name, field in schema["properties"].items():
        if name not in ("type", "schema"):
            there = "yes" if name in schema["required"] else "no"
            yield f"| `{name}` | {_kind_of(field)} | {there} | {cell(field['description'])} |"


def json_lines() -> str:
    """The page of all types of lines and their fields."""
    examples = _examples()
    lines = [
        "# JSON Lines",
        "",
        NOTE,
        "",
        f"Each line is one JSON object. `type` says of which kind it is, and `schema` in which "
        f"version of this form it is written: {json_records.SCHEMA}. The version grows when a "
        "field goes or means something else. New fields and new types do not raise it: skip what "
        "you do not know.",
        "",
        "Lines that older versions of streamclf wrote have no `schema`. They have the form of "
        "version 1.",
        "",
        "| type | when | JSON Schema |",
        "|---|---|---|",
    ]
    for line in json_records.LINES:
        kind = json_records.json_schema(line)["properties"]["type"]["enum"][0]
        lines.append(
            f"| [`{kind}`](#{kind}) | {cell(line.__doc__ or '')} | [schema](schema/{kind}.json) |"
        )
    for line in json_records.LINES:
        schema = json_records.json_schema(line)
        kind = schema["properties"]["type"]["enum"][0]
        lines += ["", f"## {kind}", "", line.__doc__ or ""]
        lines += _describe_fields(line, examples[line])
    return "\n".join(lines) + "\n"


def _kind_of(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(str(each["type"]) for each in field["anyOf"])
    if "enum" in field:
        return "one of " + ", ".join(f"`{each}`" for each in field["enum"])
    if field["type"] == "array":
        return "array of `label`, `score`"
    return str(field["type"])
