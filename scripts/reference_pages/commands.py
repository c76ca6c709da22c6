"""The command line and the settings file, from the commands and their options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reference_pages.markdown import NOTE, cell, code
from streamclf.cli.config import is_comma_list
from streamclf.core.table_keys import Key, keys_of

GROUPS = ("Calibrator", "Source", "Model", "Events", "Output", "Screen", "Page", "Logging", "Other")


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
    elif not is_argument and is_comma_list(parameter):
        value = "text with commas, or list of texts"
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
            f"| [`{each.name}`](#{each.name.replace(' ', '-')}) | {cell(each.help)} |"
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
                    f"| {code(row.usage)} | {cell(row.help)} | {row.default} |" for row in rows
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
                    f"| `{option.key}` | `{name}` | {cell(option.value)} | {option.default} | "
                    f"{cell(option.help)} |"
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
            yield f"| `{option.key}` | {cell(option.value)} | {cell(option.help)} |"
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
                f"{cell(_for_users(key.help))} |"
            )
        if kind is Rule:
            yield from (
                "",
                "A duration is a text with units, such as `10s`, `5m`, `2h`, `1d` or `1h30m`, or a "
                "number of seconds. The fields of `message`:",
                "",
                "| field | what it says |",
                "|---|---|",
                *(f"| `{{{name}}}` | {cell(about)} |" for name, about in FIELDS.items()),
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
