"""Clips of events in the store: where their files lie, and whether somebody wants them kept.

A row outlives its file. All functions take part in the caller's transaction, if there is one.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

NOTE_CLIP = """
INSERT INTO clips (event_id, folder, path, bytes, written_us)
SELECT events.id, :folder, :path, :bytes, :written_us
FROM events JOIN runs ON runs.id = events.run_id
WHERE runs.token = :run AND events.label = :label AND events.onset = :onset
ON CONFLICT (event_id) DO UPDATE SET
    folder = excluded.folder, path = excluded.path, bytes = excluded.bytes,
    written_us = excluded.written_us, gone_us = NULL, gone_why = NULL"""
"""SQL that notes a clip for its event, if the store has the event."""

_ENDING = ".flac"
_MAGIC = b"fLaC"


def note_clip(
    connection: sqlite3.Connection,
    run_token: str,
    label: str,
    onset: int,
    folder: Path,
    path: PurePath,
    n_bytes: int,
    written_us: int,
) -> bool:
    """Note that the clip of an event was written; a clip written anew takes the place of the old.

    Args:
        connection: The store.
        run_token: The run's name.
        label: Label of the event.
        onset: Position of its first sample.
        folder: Folder of the clips.
        path: The file, below that folder.
        n_bytes: Its size.
        written_us: When it was written, in microseconds since 1970-01-01 UTC.

    Returns:
        Whether the event is in the store. A clip of an event that was lost has no row.
    """
    cursor = connection.execute(
        NOTE_CLIP, state_clip(run_token, label, onset, folder, path, n_bytes, written_us)
    )
    return cursor.rowcount > 0


def state_clip(
    run_token: str,
    label: str,
    onset: int,
    folder: Path,
    path: PurePath,
    n_bytes: int,
    written_us: int,
) -> dict[str, Any]:
    """Return the values of `NOTE_CLIP` for what `note_clip` takes."""
    return {
        "run": run_token, "label": label, "onset": onset, "folder": name_folder(folder),
        "path": path.as_posix(), "bytes": n_bytes, "written_us": written_us,
    }  # fmt: skip


def name_folder(folder: Path) -> str:
    """Name a folder of clips as the store does: by its absolute path, links as they are."""
    return os.path.abspath(folder)  # noqa: PTH100 - Path.absolute leaves ".." in it


def keep_clip(connection: sqlite3.Connection, event_id: int, *, kept: bool = True) -> bool:
    """Say whether the clip of an event is kept, whatever its age and its size.

    Returns:
        Whether the event has a clip that is still there.
    """
    cursor = connection.execute(
        "UPDATE clips SET kept = ? WHERE event_id = ? AND gone_us IS NULL", (kept, event_id)
    )
    return cursor.rowcount > 0


def is_clip_name(path: str) -> bool:
    """Whether a clip may have this path below its folder, whatever is there."""
    parts = PurePosixPath(path)
    return not (parts.is_absolute() or ".." in parts.parts) and parts.suffix.lower() == _ENDING


def find_clip_file(folder: str, path: str) -> Path | None:
    """Return the file of a clip; None unless it is one below its folder, whatever its row says.

    A store may have come from elsewhere, and its rows must not open other files.
    """
    parts = PurePosixPath(path)
    if not is_clip_name(path):
        return None
    try:
        root = Path(folder).resolve(strict=True)
        file = (root / parts).resolve(strict=True)
        if not file.is_relative_to(root) or not stat.S_ISREG(file.stat().st_mode):
            return None
        with file.open("rb") as opened:
            return file if opened.read(len(_MAGIC)) == _MAGIC else None
    except (OSError, ValueError):
        return None
