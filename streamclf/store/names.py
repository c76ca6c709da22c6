"""Names in the store: labels and sources, found by what people write."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from streamclf.core.errors import UsageError
from streamclf.core.label_choice import plain_name, spoken_names, suggest_labels
from streamclf.store.display_names import read_display_names
from streamclf.store.question import Database

N_LISTED = 6
"""Most names that an error lists."""

_LABELS = """
WITH RECURSIVE found(label) AS (
    SELECT min(label) FROM events
    UNION ALL
    SELECT (SELECT min(label) FROM events WHERE label > found.label) FROM found
    WHERE found.label IS NOT NULL
)
SELECT label FROM found WHERE label IS NOT NULL"""
"""Every label once, by a search of the index each, not by all its rows."""


@dataclass(frozen=True)
class Source:
    """A source.

    Attributes:
        id: Its row.
        name: Its name.
        calibration_db: Added to dBFS for dB SPL; None where levels are dBFS.
    """

    id: int
    name: str
    calibration_db: float | None


def list_labels(connection: Database) -> list[str]:
    """Every label that has an event, in alphabetical order."""
    return [label for (label,) in connection.execute(_LABELS)]


def list_sources(connection: Database) -> list[Source]:
    """Every source, in the order of their names."""
    rows = connection.execute("SELECT id, name, calibration_db FROM sources ORDER BY name")
    return [Source(*row) for row in rows]


def find_labels(connection: Database, names: Sequence[str]) -> tuple[str, ...]:
    """Find labels by their names, or by the names that people read.

    Case and punctuation do not matter where no name is written so.

    Raises:
        UsageError: A name fits no label that was heard.
    """
    if not names:
        return ()
    shown = {label: label for label in list_labels(connection)}
    shown |= {k: v for k, v in read_display_names(connection).items() if k in shown}
    found: dict[str, None] = {}
    for name in [part for text in names for part in _split(text, shown)]:
        fitting = _fitting(name, shown)
        if not fitting:
            near = suggest_labels(name, shown, shown.__getitem__) or _list(list(shown))
            raise UsageError(f"--label {name}: the store has no event of this name{near}")
        found.update(dict.fromkeys(fitting))
    return tuple(found)


def _split(text: str, shown: dict[str, str]) -> list[str]:
    """Split a text at its commas, unless it is a name with a comma in it."""
    if _fitting(text, shown) or not text.strip(", "):
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]


def _fitting(name: str, shown: dict[str, str]) -> list[str]:
    """The labels that a name may mean, each of which has such a name."""
    if name in shown:  # models write the same label in different cases
        return [
            name,
            *(each for each in shown if each != name and each.casefold() == name.casefold()),
        ]
    plain = plain_name(name)
    return [label for label, read in shown.items() if read == name] or [
        label for label, read in shown.items() if plain in spoken_names(label) | spoken_names(read)
    ]


def find_sources(
    connection: Database, patterns: Sequence[str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find sources and recordings by name, by the end of a path, or by a pattern.

    Args:
        connection: The store.
        patterns: Each a name, the last parts of a path (``site-3``, ``site-3/night.wav``), or a
            pattern with ``*``, ``?`` or ``[...]``.

    Returns:
        Rows of `sources`, and rows of `recordings`.

    Raises:
        UsageError: A pattern fits nothing.
    """
    sources = [(each.id, each.name) for each in list_sources(connection)]
    source_ids: dict[int, None] = {}
    recording_ids: dict[int, None] = {}
    recordings: list[tuple[int, str]] | None = None
    for pattern in patterns:
        if found := _find(pattern, sources):
            source_ids.update(dict.fromkeys(found))
            continue
        if recordings is None:
            recordings = connection.execute("SELECT id, path FROM recordings").fetchall()
        if not (found := _find(pattern, recordings)):
            names = [name for _, name in sources]
            told = _suggest(pattern, names)
            raise UsageError(f"--source {pattern}: the store has no source of this name{told}")
        recording_ids.update(dict.fromkeys(found))
    return tuple(source_ids), tuple(recording_ids)


def find_names(pattern: str, names: Sequence[str], where: Path) -> list[str]:
    """Find names as `find_sources` does.

    Args:
        pattern: A name, the last parts of a path, or a pattern.
        names: What there is.
        where: Folder that has them, to tell of.

    Raises:
        UsageError: The pattern fits nothing.
    """
    found = _find(pattern, enumerate(names))
    if not found:
        told = _suggest(pattern, names)
        raise UsageError(f"--source {pattern}: {where} has no source of this name{told}")
    return [names[place] for place in found]


def name_streams(
    connection: Database, source_ids: Sequence[int], recording_ids: Sequence[int]
) -> set[str]:
    """Return the names of sources, and the paths of recordings, by their rows."""
    chosen = set(source_ids)
    names = {each.name for each in list_sources(connection) if each.id in chosen}
    for row in recording_ids:
        names |= {path for (path,) in connection.execute(
            "SELECT path FROM recordings WHERE id = ?", (row,)
        )}  # fmt: skip
    return names


def _suggest(pattern: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(pattern, [_last(name) for name in names], n=3)
    return f" (did you mean {', '.join(near)}?)" if near else _list(names)


def _find(pattern: str, named: Iterable[tuple[int, str]]) -> list[int]:
    """Find names: equal ones, else those that end so, else those that the pattern fits."""
    named = list(named)
    tail = "/" + pattern.replace("\\", "/").strip("/")
    for fits in (
        lambda name: name == pattern,
        lambda name: name.replace("\\", "/").rstrip("/").endswith(tail),
        lambda name: name.casefold() == pattern.casefold(),
        lambda name: fnmatchcase(name, pattern) or fnmatchcase(name.replace("\\", "/"), "*" + tail),
    ):
        if found := [row for row, name in named if pattern and fits(name)]:
            return found
    return []


def _last(name: str) -> str:
    """Last part of a path; another name as it is."""
    return PurePath(name).name if PurePath(name).is_absolute() else name


def _list(names: Sequence[str]) -> str:
    if not names:
        return "; it is empty"
    more = f" and {len(names) - N_LISTED} more" if len(names) > N_LISTED else ""
    return f"; it has {', '.join(names[:N_LISTED])}{more}"


def shorten_names(names: Iterable[str]) -> dict[str, str]:
    """Leave out the folders that all paths among names have in common.

    Returns:
        What to show for each name.
    """
    names = list(names)
    paths = [name for name in names if PurePath(name).is_absolute()]
    if not paths:
        return {name: name for name in names}
    try:
        above = PurePath(os.path.commonpath(paths))
    except ValueError:  # they lie on several drives
        return {name: name for name in names}
    shown = {name: name for name in names}
    for name in paths:
        # The folder above all others is shown by its own name.
        shown[name] = str(PurePath(name).relative_to(above).as_posix())
        if shown[name] == ".":
            shown[name] = above.name or name
    return shown if len(set(shown.values())) == len(shown) else {name: name for name in names}
