"""Tables in `streamclf.toml`, such as ``[[rules]]`` and ``[mqtt]``: values, lines, and options.

TOML's reader in the standard library does not tell in which line a key stands. Here each table and
each key gets its line, so that every error names the place that is to be mended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from streamclf.cli.config_file import ConfigFile, describe_unknown, outer_lines
from streamclf.core.errors import UsageError
from streamclf.core.redaction import HIDDEN
from streamclf.core.table_keys import convert, keys_of

T = TypeVar("T")
_ANY_HEADER = re.compile(r"\s*\[")


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Its name as the file writes it, with its brackets: ``[[rules]]``.
        path: The file.
        line: Where it begins, from 1.
        values: By key, with ``_`` in place of ``-``.
        lines: Where each key stands, from 1.
    """

    name: str
    path: Path
    line: int
    values: dict[str, Any]
    lines: dict[str, int]

    def place(self, key: str = "") -> str:
        """Position of a key as ``FILE:LINE``; that of the table where it does not have the key."""
        return f"{self.path}:{self.lines.get(key.replace('-', '_'), self.line)}"


@dataclass(frozen=True)
class RawTable:
    """A table as TOML's reader gives it, and its place.

    Attributes:
        said: Values by the keys as written.
        first: Its first line, from 1.
        end: The last line that belongs to it.
    """

    said: dict[str, Any]
    first: int
    end: int


def find_tables(file: ConfigFile, name: str, *, several: bool = True) -> list[RawTable]:
    """Find the tables of a name in a file; there may be none.

    Args:
        file: The file.
        name: Their name, without brackets.
        several: Whether there may be several, each below a line ``[[name]]``; else one, ``[name]``.

    Raises:
        UsageError: The key is there and is no table. Names file and line.
    """
    if name not in file.others:
        return []
    said = file.others[name]
    shown = _shown(name, several)
    fits = (
        isinstance(said, list) and said and all(isinstance(each, dict) for each in said)
        if several
        else isinstance(said, dict)
    )
    if not fits:
        must = "must be tables" if several else "must be one table"
        raise UsageError(
            f"{file.place(name)}: {name} {must}: write a line {shown}, and its keys below it"
        )
    tables = said if several else [said]
    places = _find_places(file.text, name, several)
    if len(places) != len(tables):  # written in brackets, as a list or as an inline table
        places = [(file.lines[name], file.lines[name])] * len(tables)
    return [RawTable(table, first, end) for table, (first, end) in zip(tables, places, strict=True)]


def read_tables(file: ConfigFile, name: str, *, several: bool = True) -> list[Table]:
    """Read the tables of a name, whatever their keys are.

    Args:
        file: The file.
        name: Their name, without brackets.
        several: Whether there may be several.

    Raises:
        UsageError: The key is no table, or one key stands twice in a table, once with ``-`` and
            once with ``_``. Names file and line.
    """
    return [
        _read_table(file, _shown(name, several), raw)
        for raw in find_tables(file, name, several=several)
    ]


def _read_table(file: ConfigFile, shown: str, raw: RawTable) -> Table:
    table = Table(shown, file.path, raw.first, {}, {})
    for key, value in raw.said.items():
        line, name = find_key(file.text, key, raw), key.replace("-", "_")
        if name in table.values:
            raise UsageError(
                f"{file.path}:{line}: {key} is said already in line {table.lines[name]}"
            )
        table.values[name], table.lines[name] = value, line
    return table


def read_options(kind: type[T], table: Table, listing: str) -> T:
    """Make the dataclass that a table describes.

    Args:
        kind: The dataclass, whose fields are the table's keys (`streamclf.core.table_keys`).
        table: The table.
        listing: What lists its keys, for messages: a command or a page of the documentation.

    Raises:
        UsageError: A key is unknown or missing, or a value makes no sense. Names file and line.
    """
    keys = keys_of(kind)
    by_name = {key.name.replace("-", "_"): name for name, key in keys.items()}
    given = {}
    for said, value in table.values.items():
        if said not in by_name:
            names = [key.name for key in keys.values()]
            unknown = describe_unknown(said.replace("_", "-"), names, listing)
            raise UsageError(f"{table.place(said)}: {unknown}")
        key = keys[by_name[said]]
        given[by_name[said]] = read = convert(key, value)
        if read is None:
            shown = json.dumps(value, default=str, ensure_ascii=False)
            shown = HIDDEN if key.secret else shown
            raise UsageError(f"{table.place(said)}: {key.name} is {shown}, must be {key.must}")
    for name, key in keys.items():
        if key.required and name not in given:
            help = key.help.replace("`", "")
            raise UsageError(f"{table.place()}: {table.name} has no {key.name}: {help}")
    try:
        return kind(**given)
    except UsageError as error:
        raise placed(table, error) from error


def placed(table: Table, error: UsageError) -> UsageError:
    """Put file and line in front of an error: those of the key that it begins with, if any."""
    found = re.match(r"[a-z][a-z-]*", str(error))
    return UsageError(f"{table.place(found[0] if found else '')}: {error}")


def find_key(text: str, key: str, raw: RawTable) -> int:
    """Find the line of a key within a table; the table's first line where it cannot be told."""
    lines = outer_lines(text)
    looks_right = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]")
    for number in range(raw.first, raw.end):
        if looks_right.match(lines[number]):
            return number + 1
    return raw.first


def _shown(name: str, several: bool) -> str:
    return f"[[{name}]]" if several else f"[{name}]"


def _find_places(text: str, name: str, several: bool) -> list[tuple[int, int]]:
    """Find the first line, from 1, of each table, and the last that belongs to it."""
    quoted = rf"\s*([\"']?){re.escape(name)}\1\s*"
    header = re.compile(rf"\s*\[\[{quoted}\]\]" if several else rf"\s*\[{quoted}\]")
    lines = outer_lines(text)
    headers = [number for number, line in enumerate(lines, 1) if _ANY_HEADER.match(line)]
    return [
        (first, following - 1)
        for first, following in pairwise([*headers, len(lines) + 1])
        if header.match(lines[first - 1])
    ]
