"""Recordings as the store knows them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.model_hash import hash_model
from streamclf.core.records import ModelIdentity
from streamclf.store.database import connect_to_read, reason_of


@dataclass(frozen=True)
class StoredRecording:
    """A recording as the store knows it.

    Attributes:
        path: Absolute path, without ``..``.
        n_bytes: Size of the file.
        modified_us: Time of its last change, in microseconds UTC.
    """

    path: str
    n_bytes: int
    modified_us: int

    @classmethod
    def of(cls, path: Path) -> StoredRecording:
        """Describe a recording.

        Raises:
            OSError: It cannot be found.
        """
        status = path.stat()
        return cls(text_of(place_of(path)), status.st_size, status.st_mtime_ns // 1000)

    @property
    def source(self) -> str:
        """Name of its source, the folder that it lies in."""
        return str(Path(self.path).parent)


def place_of(path: Path) -> Path:
    """Return a path from the root, without ``..``, so that it is one path from whatever folder.

    Links stay as they are named. Before a ``..`` they are followed, as where the file is opened.
    """
    absolute = path.absolute()
    parts = absolute.parts
    if ".." not in parts:
        return absolute
    n_before = len(parts) - parts[::-1].index("..")
    return Path(*parts[:n_before]).resolve().joinpath(*parts[n_before:])


def text_of(path: Path) -> str:
    """Write a path as text that any file can hold; a name that is not UTF-8 is escaped."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def find_whole_recordings(store: Path, model: Path) -> set[StoredRecording]:
    """Find the recordings that a model has heard to their end.

    Args:
        store: The store.
        model: File of the model.

    Raises:
        StoreError: The store cannot be read.
    """
    sha256 = hash_model(ModelIdentity("", "", str(model)))
    with closing(connect_to_read(store)) as connection:
        try:
            rows = connection.execute(
                "SELECT path, bytes, modified_us FROM recordings JOIN runs "
                "ON runs.recording_id = recordings.id JOIN models ON runs.model_id = models.id "
                "WHERE runs.state = 'ended' AND models.sha256 = ?",
                (sha256,),
            ).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{store}: cannot be read: {reason_of(error)}") from error
    # Stores of earlier versions have paths with ``..``.
    return {StoredRecording(str(place_of(Path(path))), *file) for path, *file in rows}
