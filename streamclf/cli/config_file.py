"""The file `streamclf.toml`: where it is, what it says, and in which line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from streamclf.core.errors import UsageError
from streamclf.core.text_files import parse_toml, read_text_file
from streamclf.core.user_folders import find_folder

NAME = "streamclf.toml"
NOTIFY_TABLES = ("rules", "targets", "mqtt")
"""Names of the tables about who is told what."""
TABLES = "[[sources]], [[rules]], [[targets]] and [mqtt]"
"""The tables that it may have."""


@dataclass(frozen=True)
class ConfigFile:
    """A settings file that was read.

    Attributes:
        path: The file.
        values: By key as written, with ``_`` in place of ``-``.
        lines: Where each key stands, from 1.
        text: The whole file.
        others: Values of keys that are no options of this command.
        line: Where the table begins whose keys these are; None for the whole file.
    """

    path: Path
    values: dict[str, Any]
    lines: dict[str, int]
    text: str = ""
    others: dict[str, Any] = field(default_factory=dict)
    line: int | None = None

    def place(self, key: str) -> str:
        """Position of a key as ``FILE:LINE``, as compilers write it; else that of its table."""
        line = self.lines.get(key, self.line)
        return f"{self.path}:{line}" if line is not None else str(self.path)


def user_config() -> Path | None:
    """Path of the user's own file; None for a user without a home."""
    import platformdirs

    folder = find_folder(lambda: platformdirs.user_config_path("streamclf"))
    return None if folder is None else folder / NAME


def find_config(given: Path | None) -> Path | None:
    """The file to read: the one given, or else the user's own if it is there; None for none."""
    if given is not None:
        return given
    own = user_config()
    return own if own is not None and _is_file(own) else None


def find_unread(used: Path | None) -> Path | None:
    """A file in the working directory that is not read: no folder one stands in gives orders.

    Args:
        used: The file that is read, if any.
    """
    here = Path(NAME)
    try:
        same = used is not None and here.samefile(used)
    except OSError:
        same = False
    return here if _is_file(here) and not same else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder above may not be entered
        return False


def read_config(
    path: Path,
    known: Iterable[str],
    others: Collection[str] = (),
    listing: str = "streamclf config --show",
) -> ConfigFile:
    """Read a file.

    Args:
        path: The file.
        known: The keys that it may have, with ``-``; the file may write ``_`` instead.
        others: Keys that it may have, too, and that are no options of this command.
        listing: The command that lists the keys.

    Raises:
        UsageError: It cannot be read, is no TOML, or has an unknown key. Names file and line.
    """
    text = read_text_file(path, f"{path}:", UsageError)
    said = parse_toml(text, str(path), UsageError)
    names = [name.replace("-", "_") for name in known]
    config = ConfigFile(path, {}, {}, text)
    for key, value in said.items():
        line = find_line(text, key)
        name = key.replace("-", "_")
        if name not in others and _is_table(value):
            raise UsageError(
                f"{path}:{line}: {key} is unknown as a table: the tables are {TABLES}, and all of "
                "them are for streamclf serve"
            )
        if name not in names and name not in others:
            raise UsageError(f"{path}:{line}: {describe_unknown(key, [*names, *others], listing)}")
        if name in config.lines:
            raise UsageError(f"{path}:{line}: {key} is said already in line {config.lines[name]}")
        config.lines[name] = line
        (config.values if name in names else config.others)[name] = value
    return config


def _is_table(value: object) -> bool:
    """Whether a value was written as a table, or as several of one name."""
    return any(isinstance(each, dict) for each in (value if isinstance(value, list) else [value]))


def find_line(text: str, key: str) -> int:
    """The line, from 1, in which a top-level key or table begins.

    tomllib does not tell. A line that looks right is right if what stands above it is whole: else
    it lies inside a string or a list that goes over several lines.
    """
    looks_right = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    for number, line in enumerate(outer_lines(text)):
        if looks_right.match(line):
            return number + 1
    return 1  # a key written with escapes


@lru_cache(maxsize=4)
def outer_lines(text: str) -> tuple[str, ...]:
    """Lines of a file that begin outside of the strings and lists of lines before them.

    Args:
        text: The file, which is TOML. Its lines are parted by line feeds.

    Returns:
        All its lines, an empty text in place of those that begin inside.
    """
    outside: list[str] = []
    begun = ""  # what has begun before this line and is not whole
    for line in text.split("\n"):
        outside.append("" if begun else line)
        begun += f"{line}\n"
        if _is_toml(begun):
            begun = ""
    return tuple(outside)


def _is_toml(text: str) -> bool:
    import tomllib

    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def describe_unknown(key: str, names: list[str], listing: str = "streamclf config --show") -> str:
    """Describe a key that is unknown, with the one that may be meant.

    Args:
        key: As it was written.
        names: The keys that there are.
        listing: The command that lists them.
    """
    hint = nearest(key.replace("-", "_"), names).replace("_", "-")
    return f"{key} is unknown{hint}: {listing} lists all that there is"


def nearest(name: str, names: list[str]) -> str:
    """The name that may be meant, as a question in brackets; empty where none is near."""
    import difflib

    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
