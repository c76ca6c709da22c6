"""What can still be read of a damaged store, as a store whose lines can be exported.

SQLite's own tool for it, `.recover`, is missing in the `sqlite3` of Debian and of a Raspberry Pi.
Here each table is read row by row; where a page is damaged, reading goes on at the next row that
can be read. Levels, clips and reviews are left out, for lines do not hold them.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from streamclf.core.errors import StoreError
from streamclf.core.text_format import format_count
from streamclf.store.database import connect, is_damage, reason_of
from streamclf.store.last_model import UNKNOWN_MODEL

TABLES = ("models", "sources", "recordings", "runs", "events", "gaps")
_LAST_ROW = 2**62


@contextmanager
def rescued(path: Path, report: Callable[[str], None]) -> Iterator[Path]:
    """Read what is left of a damaged store.

    Args:
        path: The damaged store, which is not changed.
        report: Called with a line about each table of which rows are missing.

    Yields:
        Path of a store with what could be read, which is removed afterwards.

    Raises:
        StoreError: Nothing of it can be read.
    """
    with tempfile.TemporaryDirectory(prefix="streamclf-") as folder:
        copy = Path(folder) / "rescued.db"
        with closing(_open(path)) as damaged, closing(connect(copy, create=True)) as whole:
            whole.execute("PRAGMA foreign_keys = OFF")
            whole.execute("BEGIN")
            for table in TABLES:
                _copy(damaged, whole, table, report)
            _fill_in(whole)
            whole.execute("UPDATE runs SET state = 'cut' WHERE state = 'open'")
            for table in ("events", "gaps"):
                _leave_out_lost(whole, table, report)
            whole.execute("COMMIT")
        yield copy


def _open(path: Path) -> sqlite3.Connection:
    """Open a damaged store; what lies in the log beside it counts."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file")
    try:
        connection = sqlite3.connect(path.absolute(), isolation_level=None)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: nothing of it can be read: {reason_of(error)}: take a copy of an earlier day"
        ) from error
    return connection


def _copy(
    damaged: sqlite3.Connection,
    whole: sqlite3.Connection,
    table: str,
    report: Callable[[str], None],
) -> None:
    """Copy the rows of a table that can be read."""
    names = [{row[1] for row in each.execute(f"PRAGMA table_info({table})")}
             for each in (damaged, whole)]  # fmt: skip
    columns = sorted(names[0] & names[1])
    if not columns:
        report(f"warning: {table}: is not there any more")
        return
    rows = _Rows(damaged, table, columns)
    marks = ", ".join("?" * len(columns))
    quoted = ", ".join(f'"{name}"' for name in columns)
    sql = f"INSERT OR IGNORE INTO {table} ({quoted}) VALUES ({marks})"
    n_rows = 0
    for row in rows:
        n_rows += whole.execute(sql, row).rowcount
    if rows.n_breaks:
        report(
            f"warning: {table}: {format_count(n_rows, 'row')} read; rows in "
            f"{format_count(rows.n_breaks, 'damaged place')} cannot be read"
        )


class _Rows:
    """Rows of a table in the order of their numbers, without those on damaged pages.

    Attributes:
        n_breaks: Number of places where rows are missing, so far.
    """

    def __init__(self, connection: sqlite3.Connection, table: str, columns: list[str]) -> None:
        quoted = ", ".join(f'"{name}"' for name in columns)
        self._connection = connection
        self._select = f"SELECT rowid, {quoted} FROM {table} NOT INDEXED WHERE rowid >= ?"
        self.n_breaks = 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        first: int | None = -_LAST_ROW
        while first is not None:
            following = first
            try:
                for row in self._connection.execute(f"{self._select} ORDER BY rowid", (first,)):
                    following = row[0] + 1
                    yield row[1:]
                return
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self.n_breaks += 1
                first = self._next_readable(following)

    def _next_readable(self, first: int) -> int | None:
        """Return a row's number from which on reading works again; None if there is none.

        Steps double until a row can be read, and are then halved back to the first such row.
        """
        step, bad = 1, max(first, 0)
        while not self._can_read(bad + step):
            bad, step = bad + step, 2 * step
            if bad > _LAST_ROW:
                return None
        good = bad + step
        while good - bad > 1:
            middle = (bad + good) // 2
            bad, good = (bad, middle) if self._can_read(middle) else (middle, good)
        return good

    def _can_read(self, number: int) -> bool:
        try:
            rows = self._connection.execute(f"{self._select} ORDER BY rowid LIMIT 1", (number,))
            rows.fetchone()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return False
        return True


def _fill_in(whole: sqlite3.Connection) -> None:
    """Put rows in place of those that others refer to and that cannot be read."""
    whole.execute(
        "INSERT OR IGNORE INTO models (id, name, version, sha256) "
        f"SELECT DISTINCT model_id, '{UNKNOWN_MODEL}', '', 'lost ' || model_id FROM runs "
        "WHERE model_id NOT IN (SELECT id FROM models)"
    )
    whole.execute(
        "INSERT OR IGNORE INTO sources (id, name) SELECT DISTINCT source_id, 'lost source ' || "
        "source_id FROM runs WHERE source_id NOT IN (SELECT id FROM sources)"
    )
    whole.execute(
        "INSERT OR IGNORE INTO recordings (id, path, bytes, modified_us) SELECT DISTINCT "
        "recording_id, 'lost-recording-' || recording_id || '.wav', 0, 0 FROM runs "
        "WHERE recording_id NOT IN (SELECT id FROM recordings)"
    )


def _leave_out_lost(whole: sqlite3.Connection, table: str, report: Callable[[str], None]) -> None:
    """Leave out rows of runs that cannot be read: nothing tells when they were, and where."""
    lost = whole.execute(f"DELETE FROM {table} WHERE run_id NOT IN (SELECT id FROM runs)").rowcount
    if lost:
        report(
            f"warning: {table}: {format_count(lost, 'row')} of runs that cannot be read left out"
        )
