"""The command `config`, and how a command takes options from a file and the environment.

Precedence: command line, environment, file, the option's own default.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from weakref import WeakKeyDictionary

import typer
from typer.core import TyperOption

from streamclf.cli.config_file import (
    NAME,
    NOTIFY_TABLES,
    ConfigFile,
    find_config,
    find_unread,
    nearest,
    read_config,
    user_config,
)
from streamclf.cli.help_text import HelpfulCommand, choices_of, join_choices
from streamclf.cli.source_tables import SOURCES, settings_of
from streamclf.cli.tables import Table
from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.log import say

PREFIX = "STREAMCLF_"
_CHECK, _TABLE = "streamclf.check", "streamclf.table"
_NOT_IN_FILE = ("config", "help", "check", "set-password", "set_password")
_NOT_IN_ENVIRONMENT = ("check", "set-password")
_FILES: WeakKeyDictionary[Any, ConfigFile] = WeakKeyDictionary()
"""The settings file that each context has read."""
_ONLY_SERVE = (
    SOURCES, *NOTIFY_TABLES, "port", "calibration_db", "no_features", "features_days",
    "features_limit",
)  # fmt: skip
_ONLY_LISTEN = (
    "duration", "features", "raw", "scores", "stats", "ui", "web", "fresh",
)  # fmt: skip
OTHERS_KEYS = {
    "listen": dict.fromkeys(_ONLY_SERVE, "serve"),
    "serve": dict.fromkeys(_ONLY_LISTEN, "listen"),
}
"""Keys that a command leaves to another one, so that one file serves both."""
_OTHER_VARIABLES = ("STREAMCLF_TRACEBACK", "STREAMCLF_DATA", "STREAMCLF_PASSWORD")
"""Environment variables that have the prefix and are no options."""


class ConfiguredCommand(HelpfulCommand):
    """A command whose options may also come from ``STREAMCLF_NAME`` and from `streamclf.toml`."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        for option in _options(self):
            if _key(option) not in _NOT_IN_ENVIRONMENT:
                option.envvar = PREFIX + _key(option).replace("-", "_").upper()
            option.show_envvar = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; what is wrong in the environment is said to be there."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            raise UsageError(with_origin(ctx, str(error))) from error
        except typer.BadParameter as error:
            option = error.param
            if isinstance(option, TyperOption):
                origin = _origin(ctx, option, None)
                if origin.startswith(PREFIX):
                    raise UsageError(f"{origin}: {error.message}") from error
            raise

    def begin(self, ctx: Any) -> None:
        """Say where options come from, beside the command line."""
        super().begin(ctx)
        for line in describe_origins(ctx):
            say(line)

    def invoke(self, ctx: Any) -> Any:
        """Run it; an error that names an option says where its value came from."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise UsageError(with_origin(ctx, str(error))) from error


def load_config(context: typer.Context, value: Path | None) -> Path | None:
    """Take the options' defaults from the file, checked.

    Raises:
        UsageError: The file cannot be read, or a value in it is wrong. Names file and line.
    """
    path = find_config(value)
    if path is None or context.resilient_parsing:
        return value
    options = {_key(option).replace("-", "_"): option for option in _options(context.command)}
    file, table = context.meta.get(_TABLE) or (_read(context, path, options), None)
    has_tables = SOURCES in file.others and context.info_name == "serve"
    settings = settings_of(file, table) if has_tables else file
    _FILES[context] = settings if table else file  # the tables need all that holds for them
    defaults: dict[str, Any] = {}
    for key, said in settings.values.items():
        defaults[str(options[key].name)] = _check(context, settings, key, options[key], said)
    context.default_map = defaults
    return value


def _read(context: typer.Context, path: Path, options: Iterable[str]) -> ConfigFile:
    command = context.info_name or ""
    own = (SOURCES, *NOTIFY_TABLES) if command == "serve" else ()
    listing = "streamclf serve --help" if command == "serve" else "streamclf config --show"
    return read_config(
        path,
        [key for key in options if key not in _NOT_IN_FILE],
        [*own, *OTHERS_KEYS.get(command, ())],
        listing,
    )


def file_of(context: typer.Context) -> ConfigFile | None:
    """The settings file of a context; None if there is none."""
    return _FILES.get(context)


def keys_of(command: Any) -> list[str]:
    """The keys that a command takes from a file, with ``_``."""
    keys = [_key(option) for option in _options(command)]
    return [key.replace("-", "_") for key in keys if key not in _NOT_IN_FILE]


@contextmanager
def context_of_table(
    context: typer.Context, file: ConfigFile, table: Table
) -> Iterator[typer.Context]:
    """The context of the same command line with the settings of one source.

    Raises:
        UsageError: A value in the table is wrong. Names file and line.
    """
    context.meta[_TABLE] = (file, table)
    try:
        with again(context) as inner:
            yield inner
    finally:
        context.meta[_TABLE] = None


@contextmanager
def again(context: typer.Context) -> Iterator[typer.Context]:
    """The context of the same command line, whose settings file is read anew.

    Raises:
        UsageError: The settings are wrong.
    """
    arguments = list(context.obj or [])[1:]
    made: Any = context.command.make_context(context.info_name, arguments, parent=context.parent)
    with made as inner:
        yield inner


Config: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        is_eager=True,
        callback=load_config,
        envvar="STREAMCLF_CONFIG",
        help="TOML file with options; by default the user's own file (see config).",
        rich_help_panel="Other",
    ),
]


def is_check(context: typer.Context) -> bool:
    """Whether the options are to be checked, and nothing else done."""
    return bool(context.meta.get(_CHECK))


def describe_origins(context: typer.Context) -> list[str]:
    """Describe the sources of options other than the command line, one line each."""
    path = _file_in_use(context)
    checks = is_check(context) or context.params.get("check")
    lines = [f"settings of {path}"] if path and not checks else []
    lines += _describe_unused(context)
    if find_unread(path) is not None:
        lines.append(
            f"warning: ./{NAME} is not read, as no folder that one stands in gives orders: "
            f"--config {NAME} takes its settings"
        )
    keys = [*keys_of(context.command), "config", *OTHERS_KEYS.get(context.info_name or "", ())]
    known = [PREFIX + key.upper() for key in keys]
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in (*known, *_OTHER_VARIABLES):
            lines.append(f"warning: {name} is unknown{nearest(name, known)}: it is ignored")
    return lines


def _describe_unused(context: typer.Context) -> list[str]:
    """Name the keys of the file that belong to another command."""
    file = file_of(context)
    others = OTHERS_KEYS.get(context.info_name or "", {})
    if file is None:
        return []
    lines = []
    for key in file.others:
        if key == SOURCES and key in others:
            lines.append(
                f"{file.place(key)}: [[{SOURCES}]] are for streamclf serve; listen hears one "
                "source, chosen by --device or --source"
            )
        elif key in others:
            shown = key.replace("_", "-")
            lines.append(
                f"{file.place(key)}: {shown} is for streamclf {others[key]}, and is not used here"
            )
    return lines


def _file_in_use(context: typer.Context) -> Path | None:
    file = file_of(context)
    return file.path if file is not None else None


def config(
    context: typer.Context,
    show: Annotated[
        bool, typer.Option("--show", help="Each option's value and where it came from (default).")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only check whether listen could start; exit with code 2 if not."
        ),
    ] = False,
) -> None:
    """Show or check what `listen` would do; takes its options, too."""
    if show and check:
        raise UsageError("--show and --check: give one of them")
    assert context.parent is not None
    listen = context.parent.command.get_command(context.parent, "listen")  # type: ignore[attr-defined]
    with listen.make_context("listen", list(context.args), parent=context.parent) as inner:
        if not check:
            for line in describe_origins(inner):
                if line.startswith("warning:"):
                    say(line)
            for line in _show(inner):
                typer.echo(line)
            return
        inner.meta[_CHECK] = True
        try:
            listen.invoke(inner)
        except StreamclfError as error:
            raise UsageError(error) from error
        except typer.Exit:
            typer.echo(f"{_name(inner)}: fine", err=True)


def _name(context: typer.Context) -> str:
    path = _file_in_use(context)
    return str(path) if path else f"no file ({user_config() or 'no home folder to look in'})"


def _options(command: Any) -> list[TyperOption]:
    return [param for param in command.params if isinstance(param, TyperOption)]


def _key(option: TyperOption) -> str:
    """The option's name on the command line, without dashes in front."""
    return next(name for name in option.opts if name.startswith("--")).removeprefix("--")


def is_comma_list(option: TyperOption) -> bool:
    """Whether an option is a text with commas, for which a file may write a list of texts."""
    return (option.metavar or "").endswith(",...")


def _check(
    context: typer.Context, file: ConfigFile, key: str, option: TyperOption, said: object
) -> object:
    """A value as the command line would have given it."""
    takes_list = option.multiple or is_comma_list(option)
    values = said if takes_list and isinstance(said, list) else [said]
    kind = option.type.name
    place = file.place(key)
    if key == "source" and file.line is not None:
        key = "url"  # its name in a table
    for value in values:
        if option.is_flag:
            fits, must = isinstance(value, bool), "true or false"
        elif kind.startswith(("float", "integer", "int")):
            number = (int, float) if kind.startswith("float") else (int,)
            fits = isinstance(value, number) and not isinstance(value, bool)
            must = "a number" if kind.startswith("float") else "a whole number"
        else:
            numbers = kind != "path" and not option.multiple  # device = 2 is a text, too
            fits = isinstance(value, str) or (isinstance(value, int) and numbers)
            fits, must = fits and not isinstance(value, bool), "a text in quotes"
            must += ", or a list of such texts" if takes_list else ""
            if fits and (choices := choices_of(option)):
                fits = value in choices
                must = join_choices([_as_toml(choice) for choice in choices])
            if isinstance(value, str) and "\0" in value:  # what no command line can say
                fits, must = False, "a text without a null character"
        if not fits:
            raise UsageError(f"{place}: {key} is {_as_toml(said)}, must be {must}")
    if values is said and not option.multiple:
        said = ",".join(map(str, values))
    try:
        option.type_cast_value(context, values if option.multiple else said)
    except typer.BadParameter as error:
        raise UsageError(f"{place}: {key}: {error.message}") from error
    return values if option.multiple else said


def is_on_command_line(context: typer.Context, message: str) -> bool:
    """Whether the option that a message begins with was given on the command line."""
    option = _option_of(context, message)
    return option is not None and _origin(context, option, None) == "command line"


def _option_of(context: typer.Context, message: str) -> TyperOption | None:
    found = re.match(r"--([a-z-]+)", message)
    return next(
        (each for each in _options(context.command) if found and _key(each) == found[1]), None
    )


def with_origin(context: typer.Context, message: str) -> str:
    """Put the place in front of a message such as ``--hop -1.0: must be above 0``."""
    option = _option_of(context, message)
    origin = _origin(context, option, file_of(context)) if option is not None else ""
    return f"{origin}: {message}" if origin not in ("", "default", "command line") else message


def _origin(context: typer.Context, option: TyperOption, file: ConfigFile | None) -> str:
    source = context.get_parameter_source(option.name or "")
    name = source.name if source is not None else "DEFAULT"
    key = _key(option).replace("-", "_")
    if name == "DEFAULT_MAP" and file is not None:
        return file.place(key)
    if name == "ENVIRONMENT":
        return PREFIX + key.upper()
    return "command line" if name == "COMMANDLINE" else "default"


def _show(context: typer.Context) -> list[str]:
    """All options as TOML, each with its origin as a comment."""
    from streamclf.core.redaction import mask_url

    file = file_of(context)
    rows = []
    for option in _options(context.command):
        key = _key(option)
        if key in _NOT_IN_FILE:
            continue
        value = context.params.get(option.name or "")
        if key == "source" and value:
            value = mask_url(value)
        unset = value is None or (option.multiple and not value)
        text = f"# {key} =" if unset else f"{key} = {_as_toml(value)}"
        rows.append((text, "not set" if unset else _origin(context, option, file)))
    width = min(max(len(text) for text, _ in rows), 40)
    return [f"{text:<{width}}  # {origin}" for text, origin in rows]


def _as_toml(value: object) -> str:
    """A value as TOML writes it; JSON's spelling of texts, numbers and lists is TOML's, too."""
    return json.dumps(value, default=str, ensure_ascii=False)
