"""Names in the store: labels and sources, found by what people write."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePath

from streamclf.core.errors import UsageError
from streamclf.core.label_names import suggest_labels
from streamclf.core.vocabulary import Vocabulary
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


def read_vocabulary(connection: Database, more: Iterable[str] = ()) -> Vocabulary:
    """Read what names mean to all models in a store together.

    Args:
        connection: The store.
        more: Labels besides those of its models and events.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    columns = [row[1] for row in connection.execute("PRAGMA table_info('models')").fetchall()]
    # A store of version 1 that nobody may write does not say which labels are broader.
    broader = "broader" if "broader" in columns else "'{}'"
    rows = connection.execute(f"SELECT display_names, {broader} FROM models ORDER BY id")
    models = [_read_model(names, direct) for names, direct in rows]
    known = {label for model in models for label in model.shown}
    # The models of imported events are not known: these are called by their labels alone.
    others = {label: label for label in (*list_labels(connection), *more) if label not in known}
    return Vocabulary.join([Vocabulary(others), *models])


@lru_cache(16)
def _read_model(names: str, direct: str) -> Vocabulary:
    """Read the vocabulary of a model, which takes some milliseconds, from its row."""
    return Vocabulary(json.loads(names), json.loads(direct))


def find_labels(connection: Database, names: Sequence[str]) -> tuple[str, ...]:
    """Find the labels of events that names mean, narrower ones included (`Vocabulary.meant`).

    Raises:
        UsageError: A name means no label that was heard.
    """
    if not names:
        return ()
    vocabulary, there = read_vocabulary(connection), list_labels(connection)
    found: dict[str, None] = {}
    for name in [part for text in names for part in _split(text, vocabulary)]:
        # A model that knows no broader labels may have the same ones in small letters.
        meant = {label.casefold() for label in vocabulary.meant(name)}
        fitting = [label for label in there if label.casefold() in meant]
        if not fitting:
            raise UsageError(
                f"--label {name}: the store has no event of {_missing(name, vocabulary, there)}"
            )
        found.update(dict.fromkeys(fitting))
    return tuple(found)


def _missing(name: str, vocabulary: Vocabulary, there: Sequence[str]) -> str:
    """Say what was not heard, and what was, or what could be asked for."""
    if known := vocabulary.named(name):
        return " or ".join(map(vocabulary.show, known)) + _list(there)
    broader = (broad for label in there for broad in vocabulary.broader_than(label))
    near = suggest_labels(name, dict.fromkeys([*there, *broader]), vocabulary.show)
    return f"this name{near or _list(there)}"


def _split(text: str, vocabulary: Vocabulary) -> list[str]:
    """Split a text at its commas, unless it is a name with a comma in it."""
    if vocabulary.named(text) or not text.strip(", "):
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]


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
