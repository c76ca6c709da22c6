"""Tables ``[[sources]]`` in `streamclf.toml`: one for each source of `streamclf serve`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from streamclf.cli.config_file import ConfigFile, describe_unknown, is_whole
from streamclf.core.errors import UsageError

SOURCES = "sources"
FOR_ALL = (
    "store", "format", "updates", "top", "append", "overwrite", "rotate",
    "port", "host", "base_path", "proxy", "public_url",
    "log_format", "log_level", "quiet",
)  # fmt: skip
"""Keys that hold for the whole process, with ``_``."""
OF_A_SOURCE = ("source", "device", "name")
"""Keys that choose a single source, and cannot hold for several."""
LISTING = "streamclf serve --help"
"""What lists the options of `serve`."""
_HEADER = re.compile(rf"\s*\[\[\s*([\"']?){SOURCES}\1\s*\]\]")
_ANY_HEADER = re.compile(r"\s*\[")


@dataclass(frozen=True)
class SourceTable:
    """A table.

    Attributes:
        line: Where it begins, from 1.
        values: By the option's key, with ``_`` in place of ``-``: ``source`` for ``url``.
        lines: Where each key stands, from 1.
    """

    line: int
    values: dict[str, Any]
    lines: dict[str, int]


def read_source_tables(file: ConfigFile, known: Collection[str]) -> list[SourceTable]:
    """Read the tables of a file; there may be none.

    Args:
        file: The file, whose other keys hold for all sources.
        known: Keys of options, with ``_``.

    Raises:
        UsageError: A table has an unknown key, or one that holds for all sources. Names file and
            line.
    """
    if SOURCES not in file.others:
        return []
    said = file.others[SOURCES]
    if not (isinstance(said, list) and said and all(isinstance(each, dict) for each in said)):
        raise UsageError(
            f"{file.place(SOURCES)}: {SOURCES} must be tables: write a line [[{SOURCES}]], and the "
            "keys of the source below it"
        )
    for key in OF_A_SOURCE:
        if key in file.values:
            shown = _shown(key)
            raise UsageError(
                f"{file.place(key)}: {shown} stands beside [[{SOURCES}]]: put it into a table, "
                "below a line of its own [[sources]]"
            )
    places = _find_tables(file.text)
    if len(places) != len(said):  # written as a list in brackets
        places = [(file.lines[SOURCES], file.lines[SOURCES])] * len(said)
    return [
        _read_table(file, table, place, known) for table, place in zip(said, places, strict=True)
    ]


def settings_of(file: ConfigFile, table: SourceTable | None) -> ConfigFile:
    """The settings of one source: those of its table, and of the file where it says nothing.

    A key above the tables holds for the sources that it makes sense for: ``loop`` for simulated
    microphones, ``rotate`` where there are outputs.

    Args:
        file: The file.
        table: The table; None for what holds for all.
    """
    own = table.values if table is not None else {}
    values = {**file.values, **own}
    source = values.get("source")
    simulated = isinstance(source, str) and source.startswith("sim:")
    fits = {
        "speed": simulated,
        "loop": simulated,
        "no_reconnect": not simulated,
        "append": bool(values.get("output")),
        "rotate": bool(values.get("output")),
        **dict.fromkeys(("clips_limit", "clips_days", "clips_min"), "clips" in values),
    }
    if table is None:
        fits |= dict.fromkeys(("speed", "loop"), False)
    kept = {key: value for key, value in values.items() if key in own or fits.get(key, True)}
    lines = {**file.lines, **(table.lines if table is not None else {})}
    return ConfigFile(
        file.path, kept, lines, file.text, file.others, None if table is None else table.line
    )


def _read_table(
    file: ConfigFile, said: dict[str, Any], place: tuple[int, int], known: Collection[str]
) -> SourceTable:
    first, end = place
    table = SourceTable(first, {}, {})
    allowed = [name for name in known if name not in FOR_ALL]
    for key, value in said.items():
        line = _find_key(file.text, key, first, end)
        where = f"{file.path}:{line}"
        name = key.replace("-", "_")
        if name == "source":
            raise UsageError(f"{where}: source is called url in [[{SOURCES}]]: write url")
        if name in FOR_ALL:
            raise UsageError(
                f"{where}: {key} holds for all sources: put it above the first [[{SOURCES}]]"
            )
        name = "source" if name == "url" else name
        if name not in allowed:
            raise UsageError(f"{where}: {describe_unknown(key, [*map(_shown, allowed)], LISTING)}")
        if name in table.values:
            raise UsageError(f"{where}: {key} is said already in line {table.lines[name]}")
        table.values[name], table.lines[name] = value, line
    return table


def _shown(name: str) -> str:
    return "url" if name == "source" else name.replace("_", "-")


def _find_tables(text: str) -> list[tuple[int, int]]:
    """Find the first line, from 1, of each table, and the last that belongs to it."""
    lines = text.splitlines()
    headers = [
        number
        for number, line in enumerate(lines, 1)
        if _ANY_HEADER.match(line) and is_whole("\n".join(lines[: number - 1]))
    ]
    return [
        (first, following - 1)
        for first, following in pairwise([*headers, len(lines) + 1])
        if _HEADER.match(lines[first - 1])
    ]


def _find_key(text: str, key: str, first: int, end: int) -> int:
    """Find the line of a key within a table; the table's first line where it cannot be told."""
    lines = text.splitlines()
    looks_right = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]")
    for number in range(first, end):
        if looks_right.match(lines[number]) and is_whole("\n".join(lines[:number])):
            return number + 1
    return first
