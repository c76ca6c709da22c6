"""Opening of the store's file: settings of the connection, migrations, and damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from streamclf.core.errors import StoreError
from streamclf.core.user_folders import find_folder
from streamclf.store.schema import APPLICATION_ID, MIGRATIONS, VERSION

NAME = "streamclf.db"
BUSY_S = 5.0
"""Longest wait, in seconds, for another process that writes the same store."""
COMPANIONS = ("-wal", "-shm")
"""Endings of the files that SQLite keeps beside an open store."""


def default_store() -> Path:
    """Path of the store of this user.

    Raises:
        StoreError: The user has no home.
    """
    import platformdirs

    folder = find_folder(lambda: platformdirs.user_data_path("streamclf"))
    if folder is None:
        raise StoreError("there is no home folder for a store: name its file by --store FILE")
    return folder / NAME


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open a store, and bring a store of an earlier version up to date.

    The connection may be used from one thread at a time. Transactions are explicit, see
    `transaction`.

    Args:
        path: The file.
        create: Make the store, and the folders above it, if it is not there.

    Raises:
        StoreError: There is no such file, it cannot be read or written, or it is no store.
        DamagedStoreError: The file is damaged.
    """
    if not create and not path.is_file():
        raise StoreError(
            f"{path}: there is no store: `streamclf serve`, or `listen` and `file` with --store, "
            "write one"
        )
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.OperationalError) as error:
        raise StoreError(f"{path}: cannot be opened: {reason_of(error)}") from error
    try:
        _prepare(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        if is_damage(error):
            raise DamagedStoreError(path, reason_of(error)) from error
        raise StoreError(f"{path}: cannot be opened: {reason_of(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a store for questions alone; nothing can be written through the connection.

    Raises:
        StoreError: There is no such file, it cannot be read, or it is no store.
        DamagedStoreError: The file is damaged.
    """
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


class DamagedStoreError(StoreError):
    """The file of a store is damaged.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path}: is damaged: {reason}; move it away to begin anew, or recover what is in it "
            "with sqlite3's .recover"
        )
        self.path = path
        self.reason = reason


def set_aside(path: Path) -> Path:
    """Rename a damaged store, so that a new one can begin under its name.

    Returns:
        Its new path, beside the old one.

    Raises:
        StoreError: It cannot be renamed.
    """
    stem = f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    taken, n = path.with_name(stem), 1
    while taken.exists():
        n += 1
        taken = path.with_name(f"{stem}-{n}")
    try:
        path.rename(taken)
        for ending in COMPANIONS:
            companion = path.with_name(path.name + ending)
            if companion.exists():
                companion.rename(taken.with_name(taken.name + ending))
    except OSError as error:
        raise StoreError(f"{path}: is damaged and cannot be renamed: {reason_of(error)}") from error
    return taken


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run statements that are written together, or not at all.

    Raises:
        sqlite3.Error: Nothing was written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error tells that the file itself is damaged, or is no database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )


def reason_of(error: Exception) -> str:
    """Describe an error of the disk or of SQLite in a few words."""
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (n_tables or application):
        raise StoreError(f"{path}: is a database of another program: name another file")
    if version > VERSION:
        raise StoreError(
            f"{path}: is a store of version {version}, this streamclf knows {VERSION} at most: "
            "install a newer streamclf, or name another file"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    if version < VERSION:
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the store to this version, in one transaction."""
    with transaction(connection):
        # Another process may have done it since: the version counts that is read inside.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for statements in MIGRATIONS[version:]:
            for statement in _split(statements):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _split(statements: str) -> Iterator[str]:
    """Yield the single statements; `executescript` would end the transaction."""
    statement = ""
    for line in statements.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
