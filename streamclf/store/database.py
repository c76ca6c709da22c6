"""Opening of the store's file: settings of the connection, migrations, and damage."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
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
ENDINGS = (".db", ".sqlite", ".sqlite3")
"""Endings by which a file is taken for a store though nothing in it can be read."""
COMPANIONS = ("-wal", "-shm")
"""Endings of the files that SQLite keeps beside an open store."""
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_PAGE_BYTES = 4096
"""Size of a database in which nothing is yet, such as a store that is being made."""
_LEAST_ROOM_BYTES = 256 * 1024
"""Room on a disk without which SQLite may not open a store: it needs small files beside it."""


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
        UnwritableStoreError: It cannot be opened now, and may be later.
        DamagedStoreError: The file is damaged.
    """
    _check_place(path, create=create)
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        # Absolute, because SQLite takes some relative names, such as ":memory:", for no file.
        connection = sqlite3.connect(
            path.absolute(), timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
    except (OSError, ValueError, sqlite3.OperationalError) as error:
        raise refusal(path, error) from error
    return _prepared(connection, path)


def check_before_opening(path: Path) -> None:
    """Refuse a file that can be no store of this streamclf, by its header; changes nothing.

    What another process does with the store at this moment is not in the header, and a damaged
    store is not refused, as whoever writes begins another one.

    Raises:
        StoreError: It is a folder, some other file, or a store of a later version.
    """
    _check_place(path, create=True)
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise refusal(path, error) from error
    if header.startswith(_MAGIC) and len(header) == _HEADER_BYTES:
        version, application = int.from_bytes(header[60:64]), int.from_bytes(header[68:72])
        if application != APPLICATION_ID and (application or size > _PAGE_BYTES):
            raise _of_another_program(path)
        _check_version(path, version)
    elif header and not _was_a_store(path):
        raise _no_store(path)


def _no_store(path: Path) -> StoreError:
    return StoreError(f"{path}: is not a store, and may be a file of yours: name another file")


def _of_another_program(path: Path) -> StoreError:
    return StoreError(f"{path}: is a database of another program: name another file")


def _check_version(path: Path, version: int) -> None:
    if version > VERSION:
        raise StoreError(
            f"{path}: is a store of version {version}, this streamclf knows {VERSION} at most: "
            "install a newer streamclf, or name another file"
        )


def _check_place(path: Path, *, create: bool) -> None:
    """Refuse a path where there is no store, and can be none.

    Raises:
        StoreError: It is a folder, or there is nothing and nothing shall be made.
    """
    try:
        if path.is_dir():
            raise StoreError(f"{path}: is a folder, and a store is a file: name a file in it")
        there = path.is_file() and path.stat().st_size > 0  # a question makes no store of a file
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise refusal(path, error) from error
    if not create and not there:
        raise StoreError(
            f"{path}: there is no store: `streamclf serve`, or `listen` and `file` with --store, "
            "write one"
        )


def _prepared(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        _prepare(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        if not is_damage(error):
            raise refusal(path, error) from error
        if not _was_a_store(path):
            raise _no_store(path) from error
        raise DamagedStoreError(path, reason_of(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


class UnwritableStoreError(StoreError):
    """A store cannot be opened now, and may be later: who listens can wait for it.

    Its disk is full, fails or may only be read, or another program locks it.
    """


def refusal(path: Path, error: Exception) -> StoreError:
    """Say why a store cannot be opened, and what to do.

    Returns:
        The error; an `UnwritableStoreError` where it may be opened later.
    """
    reason = reason_of(error)
    may_pass = True
    if _is_busy(error):
        ways = "another program locks it: end that program, or wait"
    elif _tells_of_full_disk(error, path):
        reason, ways = "the disk is full", "make room, or name another file"
    elif _tells_of_failing_disk(error, path) and is_there(path):
        ways = "look whether its disk is sound and may be written, or name another file"
    else:
        may_pass, ways = False, _way_out(path, error)
    kind = UnwritableStoreError if may_pass else StoreError
    return kind(f"{path}: cannot be opened: {reason}; {ways}")


def _way_out(path: Path, error: Exception) -> str:
    """Say what to do where waiting does not help."""
    if isinstance(error, ValueError):
        return "name another file"
    if os.access(path, os.F_OK) and not os.access(path, os.R_OK | os.W_OK):
        return "give yourself the rights to read and write it, or name another file"
    if not os.access(path.parent, os.F_OK | os.W_OK | os.X_OK):
        return f"give yourself the rights to write into {path.parent}, or name another file"
    return "make room, or name another file"


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_busy(error: Exception) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _tells_of_full_disk(error: Exception, path: Path) -> bool:
    """Whether an error says that there is no room, or comes of it: SQLite's own words are vague."""
    if _code(error) == sqlite3.SQLITE_FULL:
        return True
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    vague = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    return _code(error) in vague and _is_full(path)


def _is_full(path: Path) -> bool:
    """Whether the disk of a file has room for no more, or for no other file."""
    try:
        if not hasattr(os, "statvfs"):
            return shutil.disk_usage(path.parent).free < _LEAST_ROOM_BYTES
        disk = os.statvfs(path.parent)
    except (OSError, ValueError):
        return False
    no_files = disk.f_files > 0 and disk.f_favail == 0
    return no_files or disk.f_bavail * disk.f_frsize < _LEAST_ROOM_BYTES


def _tells_of_failing_disk(error: Exception, path: Path) -> bool:
    """Whether an error says that a disk fails, or may only be read, as systems make a failing one.

    Rights that are missing say nothing of the disk: somebody has to give them.
    """
    if isinstance(error, OSError):
        return error.errno in (errno.EIO, errno.EROFS)
    if _code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        try:
            return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
        except (AttributeError, OSError, ValueError):
            return False
    return _code(error) == sqlite3.SQLITE_IOERR


def is_there(path: Path) -> bool:
    """Whether there is a file with something in it, which may be a store."""
    try:
        return path.stat().st_size > 0
    except (OSError, ValueError):
        return False


def _was_a_store(path: Path) -> bool:
    """Whether a file that SQLite cannot read was a store, and is no other file of the user's.

    Its header tells so. Where the header is gone, its ending or SQLite's files beside it must do.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        return False
    if header.startswith(_MAGIC):
        # A file that is too short to hold the number may be a store that was cut off.
        return len(header) < 72 or header[68:72] == APPLICATION_ID.to_bytes(4)
    companions = (path.with_name(path.name + ending) for ending in COMPANIONS)
    return path.suffix.lower() in ENDINGS or any(each.exists() for each in companions)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a store for questions alone; nothing can be written through the connection.

    Raises:
        StoreError: There is no such file, it cannot be read, or it is no store.
        DamagedStoreError: The file is damaged.
    """
    try:
        connection = connect(path)
    except DamagedStoreError:
        raise
    except StoreError as error:
        found = _connect_unchanging(path) or _connect_alone(path, error)
        if found is None:
            raise
        connection = found
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect_unchanging(path: Path) -> sqlite3.Connection | None:
    """Open a store on a disk, or in a folder, that cannot be written; None where it could be.

    SQLite needs a file beside the store to read it while others write. Where there can be none,
    nobody writes the store either, so it can be read as it is.
    """
    log = path.with_name(path.name + COMPANIONS[0])
    if os.access(path.parent, os.W_OK) and os.access(path, os.W_OK):
        return None
    if not os.access(path, os.R_OK) or (log.exists() and log.stat().st_size):
        return None
    uri = f"{path.absolute().as_uri()}?immutable=1"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError:
        return None
    return _if_store(connection)


def _connect_alone(path: Path, error: StoreError) -> sqlite3.Connection | None:
    """Open a store on a full disk, where it could not be opened otherwise; None where it cannot.

    SQLite has no room there for the file beside the store by which several share it. Who has the
    store alone needs none, so others wait for as long as this connection is open.
    """
    cause = error.__cause__
    if not isinstance(error, UnwritableStoreError) or not isinstance(cause, sqlite3.Error):
        return None
    if _is_busy(cause):
        return None
    try:
        connection = sqlite3.connect(
            path.absolute(), timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.OperationalError:
        return None
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return _if_store(connection)


def _if_store(connection: sqlite3.Connection) -> sqlite3.Connection | None:
    """Return a connection if it is one to a store that can be read, else close it."""
    try:
        version, application, _ = _identify(connection)
    except sqlite3.DatabaseError:
        version = application = 0
    # One of an earlier version lacks a column at most, which whoever reads it allows for.
    if 1 <= version <= VERSION and application == APPLICATION_ID:
        return connection
    connection.close()
    return None


class DamagedStoreError(StoreError):
    """The file of a store is damaged.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: is damaged: {reason}; move it away to begin anew")
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
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_passing(error: sqlite3.Error) -> bool:
    """Whether an error passes by itself: another process writes, or the disk is full."""
    return _is_busy(error) or _code(error) == sqlite3.SQLITE_FULL


def reason_of(error: Exception) -> str:
    """Describe an error of the disk or of SQLite in a few words."""
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]


def _identify(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Read a file's version, the number of its program, and its number of tables."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return version, application, n_tables


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version, application, n_tables = _identify(connection)
    if application != APPLICATION_ID and (n_tables or application):
        raise _of_another_program(path)
    _check_version(path, version)
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    if version < VERSION:
        _migrate(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let others read while one writes. A new store that another process makes is waited for.

    Raises:
        sqlite3.OperationalError: It is locked for longer than `BUSY_S`.
    """
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite itself does not wait where two processes make the same file.
            if not _is_busy(error) or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


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
    # The file's own header tells from now on whose it is, whatever happens to the log beside it.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _split(statements: str) -> Iterator[str]:
    """Yield the single statements; `executescript` would end the transaction."""
    statement = ""
    for line in statements.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
