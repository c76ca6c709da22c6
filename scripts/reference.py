"""Write the pages of the documentation that the code already knows.

    python scripts/reference.py            writes the pages that are not current
    python scripts/reference.py --check    names them and ends with exit code 1

The pages: the command line and the configuration, from the commands; JSON Lines and their schemas,
from the types that write them; the API of the page, likewise; the tables of the store, from the
statements that make them; the public names of Python, with their modules; a page for each bundled
model, from the card in its file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import streamclf
from streamclf.core.table_keys import Key, keys_of
from streamclf.notify.message_json import MessageRecord
from streamclf.sinks import json_records

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTE = "<!-- Written by scripts/reference.py: change the code, not this page. -->"
GROUPS = ("Calibrator", "Source", "Model", "Events", "Output", "Screen", "Page", "Logging", "Other")
NAMES = {
    "Functions": "detect classify score listen",
    "What they return": "Event Answer ScoreTable",
    "The engine and its model": "Engine Settings Classifier Model find_model Card",
    "Records": "StreamStarted Block Gap Notice Scores Average EventBegan EventOngoing SoundEvent",
    "Sources": "Source Recording ArraySource Microphone SimulatedMicrophone UrlStream "
    "StandardInput",
    "Sinks": "Sink MemorySink",
    "Errors": "StreamclfError",
}
"""The public names, by the heading that they stand under."""
MODELS = ("wide", "pocket")
"""The bundled models, each with a page."""


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        usage: As the help shows it: ``-m, --model MODEL``.
        help: One sentence.
        default: As text; empty where there is none.
        group: Heading that it stands under.
        key: Long name without dashes, as a settings file has it; empty for an argument.
        value: What a settings file may hold: text, number, ...
    """

    usage: str
    help: str
    default: str
    group: str
    key: str
    value: str


@dataclass(frozen=True)
class Command:
    """A command of `streamclf`.

    Attributes:
        name: On the command line.
        help: What it does, in a sentence.
        options: Its options and arguments.
        examples: Command lines that its help shows, as they are.
    """

    name: str
    help: str
    options: list[Option]
    examples: str


def commands() -> Iterator[Command]:
    """Every command with its options. The only place that knows the library behind them."""
    import typer

    from streamclf.cli.main import app

    group: Any = typer.main.get_command(app)
    for name, command in _flatten(group):
        options = [_option(parameter) for parameter in command.params]
        yield Command(
            name,
            (command.help or "").strip(),
            options,
            (command.epilog or "").strip(),
        )


def _flatten(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """The commands of a group, and of the groups in it: `store check`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _flatten(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def _option(parameter: Any) -> Option:
    """What a parameter says of itself; its help as text is another in each version of Typer."""
    is_argument = parameter.param_type_name == "argument"
    kind = parameter.type.name
    choices = parameter.type.choices if kind == "choice" else []
    is_flag = not is_argument and parameter.is_flag
    if is_flag:
        value = "true or false"
    elif choices:
        value = " or ".join(f'"{choice}"' for choice in choices)
    elif kind.startswith("float"):
        value = "number"
    elif kind.startswith("int"):
        value = "whole number"
    else:
        value = "list of texts" if getattr(parameter, "multiple", False) else "text"
    shown = parameter.metavar or (f"<{'|'.join(choices)}>" if choices else parameter.name.upper())
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        names += f" / {', '.join(parameter.secondary_opts)}"
    default = parameter.default
    has_default = default is not None and default is not False and default not in ((), "")
    long_names = [name for name in parameter.opts if name.startswith("--")]
    return Option(
        usage=shown if is_argument else names if is_flag else f"{names} {shown}",
        help=parameter.help.strip(),
        default=f"`{getattr(default, 'value', default)}`" if has_default else "",
        group="Arguments" if is_argument else parameter.rich_help_panel or "Other",
        key="" if is_argument else long_names[0].removeprefix("--"),
        value=value,
    )


def command_line() -> str:
    """The page of all commands and options."""
    every = list(commands())
    lines = [
        "# Command line",
        "",
        NOTE,
        "",
        "`streamclf COMMAND --help` shows the same on a terminal. A recording, a folder or a "
        "pattern in place of a command means `file`.",
        "",
        "| command | what it does |",
        "|---|---|",
        *(
            f"| [`{each.name}`](#{each.name.replace(' ', '-')}) | {_cell(each.help)} |"
            for each in every
        ),
        "",
        "**Exit codes**: 0 fine, 1 failed (in a batch: something failed, all else is done), 2 "
        "wrong usage, 130 interrupted.",
    ]
    for each in every:
        lines += ["", f"## {each.name}", "", each.help]
        for group in ("Arguments", *GROUPS):
            rows = [option for option in each.options if option.group == group]
            if rows:
                lines += ["", f"**{group}**", "", "| option | meaning | default |", "|---|---|---|"]
                lines += [
                    f"| {_code(row.usage)} | {_cell(row.help)} | {row.default} |" for row in rows
                ]
        lines += ["", "```text", each.examples, "```"]
    return "\n".join(lines) + "\n"


def configuration() -> str:
    """The page of all settings of `listen` and `serve`."""
    every = {each.name: each for each in commands()}
    listen = every["listen"]
    lines = [
        "# Configuration",
        "",
        NOTE,
        "",
        "Each option of `streamclf listen` and `streamclf serve` may stand in a settings file or "
        "in the environment. [Always on](../how-to/always-on.md) says where the file is and how to "
        "check it. One file may be for both commands: each leaves out, in a line, what only the "
        "other one has.",
        "",
        "The command line wins over the environment, the environment over the file, and the file "
        "over the default. `-` and `_` mean the same in a key.",
        "",
        "| key | environment | value | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for group in GROUPS:
        for option in listen.options:
            if option.group == group and option.key not in ("", "config", "help"):
                name = "STREAMCLF_" + option.key.replace("-", "_").upper()
                lines.append(
                    f"| `{option.key}` | `{name}` | {_cell(option.value)} | {option.default} | "
                    f"{_cell(option.help)} |"
                )
    lines += _source_tables(every["serve"], {option.key for option in listen.options})
    lines += _notify_tables()
    lines += [
        "",
        "`STREAMCLF_CONFIG` names the settings file, as `--config` does. Two variables are no "
        "options: `STREAMCLF_TRACEBACK=1` shows where a mistake in streamclf itself lies, and "
        "`ORT_DISABLE_TELEMETRY=0` leaves ONNX Runtime's reports to its makers switched on.",
    ]
    return "\n".join(lines) + "\n"


def _source_tables(serve: Command, known: set[str]) -> Iterator[str]:
    """The section of the tables that `serve` reads, for what is not said of `listen` already."""
    from streamclf.cli.source_tables import FOR_ALL

    keys = {option.key for option in serve.options}
    keys -= {"", "config", "help", "check", "set-password"}
    left_out = sorted(known - keys - {"", "config", "help"})
    for_all = sorted(key.replace("_", "-") for key in FOR_ALL)
    yield from (
        "",
        "## Sources of `serve`",
        "",
        "`streamclf serve` reads a table `[[sources]]` for each source. What stands above the "
        "tables holds for all sources, and a key in a table wins over it. The environment and the "
        "command line win over both.",
        "",
        "| key in a table | value | meaning |",
        "|---|---|---|",
        "| `url` | text | URL, or sim:FILE; it is called `source` above the tables. Without `url` "
        "and `device` the source is the default microphone. |",
    )
    for option in serve.options:
        if option.key in keys - known - {*for_all}:
            yield f"| `{option.key}` | {_cell(option.value)} | {_cell(option.help)} |"
    yield from (
        "",
        "Every other key of `serve` may stand in a table, except those that hold for the whole "
        f"process: {', '.join(f'`{key}`' for key in for_all)}.",
        "",
        "`port` is the page's: 8787, or 0 for no page. `listen` has `web` in its place.",
        "",
        f"Only `listen` has {', '.join(f'`{key}`' for key in left_out)}.",
    )


def _notify_tables() -> Iterator[str]:
    """The sections of the tables about who is told what, from the classes that they fill."""
    from streamclf.notify.mqtt.options import MqttOptions
    from streamclf.notify.rules import Rule
    from streamclf.notify.targets.options import TargetOptions
    from streamclf.notify.templates import FIELDS

    kinds: list[tuple[str, str, type[Any]]] = [
        (
            "Rules",
            "A table `[[rules]]` for each rule: what is told, and to whom. [Be "
            "told](../how-to/telling.md) has examples, and says what exactly counts.",
            Rule,
        ),
        (
            "Targets",
            "A table `[[targets]]` for each target of messages. [Set up who is "
            "told](../how-to/targets.md) has examples.",
            TargetOptions,
        ),
        (
            "MQTT",
            "One table `[mqtt]`: the broker, and what is told there. [Show it in Home "
            "Assistant](../how-to/home-assistant.md) has examples, and [MQTT](mqtt.md) the topics.",
            MqttOptions,
        ),
    ]
    for heading, about, kind in kinds:
        yield from ("", f"## {heading}", "")
        yield about
        yield from ("", "| key | value | default | meaning |", "|---|---|---|---|")
        for key in keys_of(kind).values():
            yield (
                f"| `{key.name}` | {_value_of_key(key)} | {_default_of_key(key)} | "
                f"{_cell(_for_users(key.help))} |"
            )
        if kind is Rule:
            yield from (
                "",
                "A duration is a text with units, such as `10s`, `5m`, `2h`, `1d` or `1h30m`, or a "
                "number of seconds. The fields of `message`:",
                "",
                "| field | what it says |",
                "|---|---|",
                *(f"| `{{{name}}}` | {_cell(about)} |" for name, about in FIELDS.items()),
            )


def _value_of_key(key: Key) -> str:
    if key.choices:
        choices = " or ".join(f'"{choice}"' for choice in key.choices)
        return f"list of {choices}" if key.form == "texts" else choices
    named = {"texts": "text or list of texts", "words": "list of texts", "switch": "true or false"}
    return named.get(key.form, key.form)


def _default_of_key(key: Key) -> str:
    if key.required:
        return "must be there"
    default = key.default
    return "" if default in (None, (), 0.0) or default is False else f"`{default}`"


def _for_users(text: str) -> str:
    """What a docstring says of an attribute, for those who write a file: they know no None."""
    text = text.replace("None for", "by default").replace("None where", "left out where")
    return text.replace("``", "`")


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
        text="kitchen: Smoke alarm since 22:04:13",
        source="kitchen",
        label="smoke_alarm",
        name="Smoke alarm",
        id="smoke_alarm-200000@20261121T210000Z-1f00a1b2",
        score=0.91,
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
            yield f"| `{name}` | {_kind_of(field)} | {there} | {_cell(field['description'])} |"


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
            f"| [`{kind}`](#{kind}) | {_cell(line.__doc__ or '')} | [schema](schema/{kind}.json) |"
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


def store_tables() -> str:
    """The page of the store's tables, from the comments of the statements that make them."""
    from streamclf.store import schema

    statements = "".join(schema.MIGRATIONS)
    lines = [
        "# Store",
        "",
        NOTE,
        "",
        f"The store is one SQLite file, here in version {schema.VERSION} "
        "(`PRAGMA user_version`). Any program that reads SQLite may ask it while streamclf writes "
        "it. [The store](../explanation/store.md) says what it promises, and "
        "[how to look after it](../how-to/store.md).",
        "",
        *_dedent_paragraphs(schema.__doc__ or ""),
    ]
    made = re.finditer(
        r"^CREATE TABLE (\w+) \(([^\n]*)\n(.*?)^\)", statements, re.MULTILINE | re.DOTALL
    )
    for name, about, body in (table.groups() for table in made):
        lines += ["", f"## {name}", ""]
        if about.strip():
            lines += [f"{_sentence(about)}.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{column}` | {kind} | {_cell(note)} |" for column, kind, note in _columns(body)
        ]
    return "\n".join(lines) + "\n"


TYPES = {
    "string": "text",
    "float64": "double",
    "float32": "float",
    "bool_": "boolean",
    "time": "timestamp in UTC, microseconds",
    "local": "timestamp, microseconds",
    "floats": "list of float",
    "date32": "date",
}
"""Types of the columns of an archive's tables as a reader calls them; others are called alike."""
ABOUT_TABLES = {
    "events": "A row an event, in the order in which they ended.",
    "gaps": "A row a gap: audio that is known to be missing.",
    "heard": "A row a recording, those that failed included: what became of the length promised. "
    "`promised` and `beyond` together are `heard`, `missing` and `failed` together, to the sample.",
    "levels": "A row a minute in which something was heard.",
    "scores": "A row a window; only after `run --scores`.",
    "features": "A row a window; only after `run --features`.",
}


def archive_tables() -> str:
    """The page of an archive's results, from the columns of the tables."""
    from streamclf.archive import tables

    lines = [
        "# Results of an archive",
        "",
        NOTE,
        "",
        "What `streamclf archive` writes below the folder of the results. [How to hear an archive]"
        "(../how-to/archive.md) shows what to do with it.",
        "",
        "| file | what it is |",
        "|---|---|",
        "| `manifest/plan.json` | the plan in figures: root of the archive, counts, seconds |",
        "| `manifest/recordings.parquet` | each recording: path, bytes, rate, seconds, begin, and "
        "`why` it cannot be opened |",
        "| `manifest/items.parquet` | each item: its recordings, or the piece of one |",
        "| `runs/RUN.json` | a run: model, labels in the order of the scores, settings |",
        "| `pieces/RUN/RECORDING/NNNN.parquet` | scores of a piece, from which its recording "
        "is joined; gone when the run is done |",
        "| `TABLE/RUN/SITE/DATE/ITEM.parquet` | results, a file a table and item |",
        "",
        "`RUN` is a hash of the model's file, of all settings that change results, and of the "
        "plan. `SITE` is the first folder below the archive's root, and `DATE` the local date on "
        f"which the recordings begin; `{tables.UNKNOWN}` stands for what is not known, and the "
        "column is null then. An item is done when its file in `events/` is there, which is put "
        f"last. Its metadata (`{tables.METADATA_KEY.decode()}`, JSON) hold the account of the item "
        "in samples.",
        "",
        "Positions and lengths in samples are at the model's rate, and exact. Scores are the raw "
        "float32; `streamclf file` rounds them to four digits.",
    ]
    for name, columns in tables.COLUMNS.items():
        lines += ["", f"## {name}", "", ABOUT_TABLES[name], ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{each.name}` | {TYPES.get(each.kind, each.kind)} | {_cell(each.meaning)} |"
            for each in columns
        ]
    return "\n".join(lines) + "\n"


def _columns(body: str) -> Iterator[tuple[str, str, str]]:
    """The columns of a table: name, type, and comment, which may go on in the lines below it."""
    rows: list[list[str]] = []
    for line in body.splitlines():
        declared, _, note = line.partition("--")
        words = declared.split()
        if words and words[0].islower():
            refers = re.search(r"REFERENCES (\w+)", declared)
            kind = words[1].strip(",") + (f", row of [{refers[1]}](#{refers[1]})" if refers else "")
            rows.append([words[0], kind, note.strip()])
        elif not words and rows:
            rows[-1][2] = f"{rows[-1][2]} {note.strip()}".strip()
        for further in re.findall(r", (\w+) (?:REAL|INTEGER|TEXT)\b", declared):
            rows.append([further, words[1].strip(","), note.strip()])
    for column, kind, note in rows:
        yield column, kind, note


def _sentence(comment: str) -> str:
    text = comment.strip().removeprefix("--").strip()
    return text[:1].upper() + text[1:]


def _dedent_paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a docstring but the first, with code as Markdown writes it."""
    for number, paragraph in enumerate(text.strip().split("\n\n")[1:]):
        if number:
            yield ""
        yield paragraph.replace("\n", " ").replace("``", "`")


def python_names() -> str:
    """The page of the public names; mkdocstrings puts their docstrings into it."""
    lines = [
        "# Python names",
        "",
        NOTE,
        "",
        "Every public name of `streamclf`, from its docstring. [Python](python.md) shows how to "
        "use them. Import them from `streamclf` itself: the modules named here may change.",
    ]
    for heading, names in NAMES.items():
        lines += ["", f"## {heading}"]
        for name in names.split():
            lines += ["", f"::: {getattr(streamclf, name).__module__}.{name}"]
    return "\n".join(lines) + "\n"


def model_page(name: str) -> str:
    """The page of a bundled model, from the card in its file."""
    model = streamclf.Model(name, provider="cpu")
    card = model.card
    plain: dict[str, Any] = msgspec.to_builtins(card)
    stricter = sorted(card.precisions, key=float)
    size = model.path.stat().st_size / 1e6
    lines = [
        f"# {name}",
        "",
        NOTE,
        "",
        f"`{name}` comes with streamclf. It names {len(card.labels)} sounds, "
        f"{'one at a time' if card.task == 'single-label' else 'several at once'}.",
        "",
        *(["**The weights are not for commercial use.**", ""] if "-NC" in card.licence else []),
        _whole(card.description),
        "",
        "```",
        f"streamclf listen --model {name}",
        f"streamclf info {name} --all",
        "```",
        "",
        "## At a glance",
        "",
        "| | |",
        "|---|---|",
        f"| version | {card.version} |",
        f"| file | `streamclf/models/{model.path.name}`, {size:.2f} MB |",
        f"| licence of the weights | {_cell(card.licence)} "
        f"(`streamclf/models/{model.path.stem}.LICENSE.txt`) |",
        f"| hears | {card.window_s:g} s at {card.sample_rate} Hz |",
        f"| answers | {card.task}, {card.activation}, temperature {card.temperature:g} |",
        f"| shorter recordings | filled by `{card.fill}` |",
        f"| other thresholds | `--target-precision` {', '.join(stricter) or 'none'} |",
        "",
        "## Sounds",
        "",
        "An event begins when its averaged score reaches the first figure, and it ends when the "
        "score falls below the second. The others are thresholds at a `--target-precision`.",
        "",
        "| label | what people read | on | off |" + "".join(f" on at {p} |" for p in stricter),
        "|---|---|---|---|" + "---|" * len(stricter),
    ]
    for label in card.labels:
        cells = [f"`{label}`", card.display_name(label), *_limits(plain["thresholds"], label)]
        cells += [_limits(plain["precisions"][p], label)[0] for p in stricter]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Training data", "", _whole(card.training_data)]
    lines += ["", "## Accuracy", "", *_accuracy(plain["accuracy"])]
    return "\n".join(lines) + "\n"


def _limits(limits: dict[str, Any], label: str) -> tuple[str, str]:
    if label in limits["never"]:
        return "never", "never"
    own = limits.get("classes", {}).get(label) or limits
    return f"{own['on']:g}", f"{own['off']:g}"


def _accuracy(said: dict[str, Any]) -> Iterator[str]:
    """Figures in tables, a section a subject, with the protocol as text above each table."""
    plain = {key: value for key, value in said.items() if not isinstance(value, dict)}
    yield from _figures(plain)
    for subject, figures in said.items():
        if isinstance(figures, dict):
            yield from ("", f"### {subject.replace('_', ' ').capitalize()}", "")
            yield from _figures(figures)


def _figures(figures: dict[str, Any]) -> Iterator[str]:
    if protocol := figures.get("protocol"):
        yield from (_whole(str(protocol)), "")
    yield from ("| figure | value |", "|---|---|")
    for key, value in _flat({k: v for k, v in figures.items() if k != "protocol"}):
        yield f"| {_cell(key)} | {_cell(value)} |"


def _flat(said: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in said.items():
        title = f"{above}{key.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _flat(value, f"{title}, ")
        elif isinstance(value, list):
            yield title, " to ".join(map(str, value)) if len(value) == 2 else str(value)
        else:
            yield title, "" if value is None else str(value)


def _whole(text: str) -> str:
    """A text as a paragraph: no character in it is Markdown's."""
    return re.sub(r"([*_`<>\[\]])", r"\\\1", text.strip())


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _code(usage: str) -> str:
    return "`" + usage.replace("|", "\\|") + "`"


def openapi() -> str:
    """The description of the API of the page, from the types that write its answers."""
    from streamclf.web.description import openapi

    return json.dumps(openapi(), indent=2) + "\n"


def pages() -> dict[Path, str]:
    """Every page that is written here, by its path."""
    reference = DOCS / "reference"
    made = {
        reference / "command-line.md": command_line(),
        reference / "configuration.md": configuration(),
        reference / "json-lines.md": json_lines(),
        reference / "messages.md": messages(),
        reference / "store.md": store_tables(),
        reference / "archive.md": archive_tables(),
        reference / "api.md": python_names(),
        reference / "openapi.json": openapi(),
    }
    made |= {reference / "schema" / f"{kind}.json": text for kind, text in schemas().items()}
    return made | {DOCS / "models" / f"{name}.md": model_page(name) for name in MODELS}


def stale(made: dict[Path, str]) -> list[Path]:
    """The pages whose file holds something else, and files of schemas that are no more."""
    old = [path for path, text in made.items() if not path.is_file() or _read(path) != text]
    gone = set((DOCS / "reference" / "schema").glob("*.json")) - set(made)
    return [*old, *sorted(gone)]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main(arguments: Iterable[str] | None = None) -> int:
    """Write the pages, or name those that are not current; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="Write nothing; exit code 1 if stale.")
    options = parser.parse_args(None if arguments is None else list(arguments))
    made = pages()
    old = stale(made)
    for path in old:
        print(f"{path.relative_to(ROOT)}: {'not current' if options.check else 'written'}")
        if not options.check and path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        elif not options.check:
            path.unlink()
    return int(options.check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
