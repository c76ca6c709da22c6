"""Compaction of a store: the room that deleted rows left goes back to the disk."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.text_format import format_bytes
from streamclf.store.database import COMPANIONS, connect, reason_of

COPIES = 2
"""Times its size that a store needs while it is compacted: a copy, and a log to write it from."""


@dataclass(frozen=True)
class Compaction:
    """Sizes of a store with its log, in bytes.

    Attributes:
        before: Bytes before.
        after: Bytes after.
    """

    before: int
    after: int


def compact(path: Path) -> Compaction:
    """Write a store anew, as small as it can be.

    Others may read it meanwhile; who writes it waits.

    Raises:
        StoreError: There is no store, it is locked, or the disk has no room for a copy.
    """
    with closing(connect(path)) as connection:
        before = _measure(path)
        free = shutil.disk_usage(path.absolute().parent).free
        if free < COPIES * before:
            raise StoreError(
                f"{path}: has {format_bytes(before)}, and is compacted with {COPIES} times as much "
                f"free; {format_bytes(free)} are free: make room"
            )
        try:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{path}: cannot be compacted: {reason_of(error)}; it is as it was: make room, "
                "end what locks it, or see `streamclf store check`"
            ) from error
        return Compaction(before, _measure(path))


def describe_compaction(sizes: Compaction) -> str:
    """Describe it in one line for people."""
    return f"{format_bytes(sizes.before)} before, {format_bytes(sizes.after)} now"


def _measure(path: Path) -> int:
    files = [path, path.with_name(path.name + COMPANIONS[0])]
    return sum(file.stat().st_size for file in files if file.exists())
