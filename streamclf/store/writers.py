"""The processes that write a store: which of them live, and what the dead ones left open.

Each writer locks a file beside the store for as long as it lives, and the system releases the lock
when the process ends, however it ends. So a start tells by the locks which runs belong to nobody
any more, and closes them at the last audio that is known.
"""

from __future__ import annotations

import glob
import secrets
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.core.errors import StoreError
from streamclf.core.text_format import format_count
from streamclf.store.database import reason_of, refusal, transaction

if TYPE_CHECKING:
    from filelock import BaseFileLock


_MARK = "-writer-"


class WriterLock:
    """The lock of this writer, from `take` to `release`.

    Args:
        path: The store.

    Attributes:
        token: Name of this writer in the store's ``runs``.
    """

    def __init__(self, path: Path) -> None:
        self.token = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self._path, self._file = path, _lock_file(path, self.token)
        self._lock: BaseFileLock | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            StoreError: The lock's file cannot be made.
            UnwritableStoreError: It cannot be made now, and may be later.
        """
        try:
            self._lock = _try_lock(self._file)
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                raise refusal(self._path, error.__cause__) from error
            raise
        if self._lock is None:
            raise StoreError(f"{self._file}: is locked by another process: start again")

    def release(self) -> None:
        """Release the lock, and delete its file. Safe to call twice, and before `take`."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            with suppress(OSError):
                self._file.unlink()


@dataclass(frozen=True)
class Recovery:
    """What a start closed, because its writer had been killed.

    Attributes:
        n_runs: Number of runs.
        n_events: Number of events that were still open.
        until_us: Time of the last audio that is known in any of them; None where it is unknown.
    """

    n_runs: int
    n_events: int
    until_us: int | None

    def describe(self) -> str:
        """Describe it in one line for people."""
        until = ""
        if self.until_us is not None:
            # A year that no clock knows is not told.
            with suppress(OverflowError, OSError, ValueError):
                moment = datetime.fromtimestamp(self.until_us / 1e6).astimezone()
                until = f", at the last audio that is known, {moment:%Y-%m-%d %H:%M:%S}"
        return (
            f"{format_count(self.n_runs, 'run')} of a process that was killed "
            f"{'is' if self.n_runs == 1 else 'are'} closed with "
            f"{format_count(self.n_events, 'open event')}{until}"
        )


def close_dead_runs(connection: sqlite3.Connection, path: Path) -> Recovery | None:
    """Close the runs whose writer lives no more, with their open events.

    Args:
        connection: A connection to the store.
        path: The store.

    Returns:
        What was closed; None if there was nothing.

    Raises:
        sqlite3.Error: The store cannot be written.
    """
    dead = find_dead_writers(connection, path)
    if not dead:
        return None
    marks = ",".join("?" * len(dead))
    with transaction(connection):
        open_runs = f"SELECT id FROM runs WHERE state = 'open' AND writer IN ({marks})"
        (n_runs,) = connection.execute(f"SELECT count(*) FROM ({open_runs})", dead).fetchone()
        (until_us,) = connection.execute(
            f"SELECT max(begun_us + {LENGTH_US.format('elapsed_samples')}) FROM runs "
            f"WHERE id IN ({open_runs})",
            dead,
        ).fetchone()
        n_events = connection.execute(f"{CLOSE_EVENTS} AND run_id IN ({open_runs})", dead).rowcount
        connection.execute(
            f"UPDATE runs SET state = 'cut' WHERE state = 'open' AND writer IN ({marks})", dead
        )
    return Recovery(n_runs, n_events, until_us)


def find_dead_writers(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Find the writers that live no more and have left runs open.

    Args:
        connection: A connection to the store.
        path: The store.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    rows = connection.execute("SELECT DISTINCT writer FROM runs WHERE state = 'open'")
    return [writer for (writer,) in rows.fetchall() if not _is_alive(path, writer)]


LENGTH_US = "({0} / sample_rate * 1000000 + {0} % sample_rate * 1000000 / sample_rate)"
"""SQL of a length in microseconds, from samples: in integers, which years of audio fit into."""
_CUT_SAMPLES = "max(0, first_position + elapsed_samples - onset)"
CUT_OFFSET_US = f"onset_us + {LENGTH_US.format(_CUT_SAMPLES)}"
"""SQL of the end of an event that ends at the last audio of its run that is known."""
CLOSE_EVENTS = f"""
UPDATE events SET (state, offset, offset_us) = (
    SELECT 'cut', onset + {_CUT_SAMPLES}, {CUT_OFFSET_US} FROM runs WHERE id = run_id
)
WHERE state = 'open'"""
"""Ends events at the last audio of their run that is known."""


def remove_old_locks(path: Path) -> None:
    """Delete the files of locks that nobody holds; a kill leaves one.

    Files of the last minute stay, because their writers may be about to lock them.
    """
    before = time.time() - 60
    for file in path.parent.glob(f"{glob.escape(path.name)}{_MARK}*"):
        with suppress(OSError):
            if file.stat().st_mtime < before:
                _is_alive(path, file.name.removeprefix(f"{path.name}{_MARK}"))


def _is_alive(path: Path, writer: str) -> bool:
    file = _lock_file(path, writer)
    if not file.exists():
        return False
    try:
        lock = _try_lock(file)
    except StoreError:  # another user's
        return True
    if lock is None:
        return True
    lock.release()
    with suppress(OSError):
        file.unlink()
    return False


def _lock_file(path: Path, writer: str) -> Path:
    return path.with_name(f"{path.name}{_MARK}{writer}")


def _try_lock(file: Path) -> BaseFileLock | None:
    from filelock import FileLock, Timeout

    lock = FileLock(file, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"{file}: cannot be locked: {reason_of(error)}") from error
    return lock
