"""The store of a process: one file, one thread that writes it, a sink for each stream."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from streamclf.core.errors import StoreError
from streamclf.core.text_format import format_count, format_length
from streamclf.store.clip_limits import ClipLimits
from streamclf.store.database import (
    DamagedStoreError,
    UnwritableStoreError,
    connect,
    is_damage,
    is_passing,
    reason_of,
    refusal,
    set_aside,
    transaction,
)
from streamclf.store.figures import StoreFigures
from streamclf.store.retention import Sweeper
from streamclf.store.sink import Statement, StoreSink
from streamclf.store.writers import WriterLock, close_dead_runs, remove_old_locks

COUNT_EVERY_S = 10.0
"""Seconds between two writes while no event begins or ends; a kill loses the counts of this time at
most. It is not shorter, because each write wears a memory card."""
RETRY_FIRST_S, RETRY_LIMIT_S = 0.2, 2.0
"""First and longest pause, in seconds, between two tries to write."""
GIVE_UP_S = 30.0
"""Seconds after which a run that is not live gives up writing."""
CLOSE_S = 5.0
"""Longest wait, in seconds, for the last rows to be written when the store closes."""


class Store:
    """An open store that is written.

    Audio never waits for it: sinks keep what a thread writes, all of a moment in one transaction.
    So after a kill at any moment the store's sums are right, and the next start closes what was
    open. Nor does audio wait for it to be opened: while its disk is full, all waits in memory.

    Args:
        path: The file, which is made if it is not there.
        report: Called with one line about each failure and recovery, from any thread.
        live: Whether audio cannot wait. Otherwise a sink waits for the disk, and an error of the
            disk is raised: one that keeps the store from being opened at once, others after
            `GIVE_UP_S`.

    Attributes:
        path: As given.

    Raises:
        StoreError: The store cannot be opened or written, and waiting would not help.
        UnwritableStoreError: It cannot now, and ``live`` is false.
    """

    def __init__(self, path: Path, *, report: Callable[[str], None], live: bool) -> None:
        self.path = path
        self._report, self._live = report, live
        self._lock = WriterLock(path)
        self._connection: sqlite3.Connection
        self._inode: tuple[int, int] | None = None
        self._is_begun = self._is_open = self._is_aside = False
        self._lost_before = self._lost_by_gone = self._n_written = self._n_failures = 0
        self._sinks: list[StoreSink] = []
        self._sweepers: list[Sweeper] = []
        self._changed = threading.Condition()
        self._requested = self._written = 0
        self._urgent = False
        self._close_by: float | None = None
        self._closed = False
        self._failed_at: float | None = None
        self._error: StoreError | None = None
        try:
            self._begin()
        except UnwritableStoreError as error:
            if not live:
                raise
            self._report_failure(f"{error}; until then rows wait in memory, and all else goes on")
        self._thread = threading.Thread(target=self._work, name="streamclf-store", daemon=True)
        self._thread.start()

    def sink(
        self,
        source: str | None = None,
        on_close: Callable[[], None] = lambda: None,
        *,
        levels: bool = True,
    ) -> StoreSink:
        """Make a sink for one stream after another.

        Args:
            source: Name of the source; None takes each stream's own name, and for a recording the
                folder that it lies in.
            on_close: Called when the sink has been closed, such as the store's own `close`.
            levels: Whether it measures sound levels.
        """
        sink = StoreSink(
            self._lock.token,
            source,
            live=self._live,
            wake=self._wake,
            flush=self.flush,
            on_close=on_close,
            levels=levels,
        )
        with self._changed:
            gone = [each for each in self._sinks if each.settled]
            self._lost_by_gone += sum(each.n_lost for each in gone)
            self._sinks = [*(each for each in self._sinks if each not in gone), sink]
        return sink

    @property
    def figures(self) -> StoreFigures:
        """Figures so far; may be read from any thread."""
        with self._changed:
            return StoreFigures(
                n_written=self._n_written,
                n_waiting=sum(sink.n_waiting for sink in self._sinks),
                # What a closed sink still holds is not lost before the store closes.
                n_lost=self._count_lost()
                - sum(sink.n_waiting for sink in self._sinks if sink.closed),
                n_failures=self._n_failures,
                is_written=self._failed_at is None and self._thread.is_alive(),
                folders=[sweeper.figures for sweeper in self._sweepers],
            )

    def look_after(self, folder: Path, limits: ClipLimits) -> Sweeper:
        """Sweep a folder of clips now and then; other limits than before replace them.

        Returns:
            What is told of the clips that are written there.
        """
        with self._changed:
            others = [each for each in self._sweepers if not each.is_of(folder)]
            own = [each for each in self._sweepers if each.is_of(folder, limits)]
            sweeper = own[0] if own else Sweeper(folder, limits)
            for before in self._sweepers:
                if before.is_of(folder) and before is not sweeper:
                    sweeper.take_over(before)
            self._sweepers = [*others, sweeper]
            return sweeper

    def flush(self) -> None:
        """Wait until all that sinks hold now is written.

        Raises:
            StoreError: It cannot be written.
        """
        with self._changed:
            self._requested += 1
            mine = self._requested
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._written >= mine or self._error or not self._thread.is_alive()
            )
            if self._error:
                raise self._error
            if self._written < mine:
                raise StoreError(f"{self.path}: is written no more; what was written is kept")

    def _wake(self) -> None:
        with self._changed:
            self._urgent = True
            self._changed.notify_all()

    def close(self) -> None:
        """End all runs, write what waits, and release the file. Safe to call twice.

        Rows that cannot be written in time are counted and reported.
        """
        if self._closed:
            return
        self._closed = True
        for sink in self._sinks:
            sink.finish()
        with self._changed:
            self._close_by = time.monotonic() + CLOSE_S
            self._changed.notify_all()
        self._thread.join(CLOSE_S + RETRY_FIRST_S)
        n_waiting = sum(sink.n_waiting for sink in self._sinks)
        if n_waiting:
            self._report(
                f"warning: {self.path}: {format_count(n_waiting, 'row')} could not be written "
                "before the end, and are lost"
            )
        n_lost = self._count_lost()
        if n_lost > n_waiting:
            self._report(f"warning: {self.path}: lost {format_count(n_lost, 'row')} in all")
        if not self._thread.is_alive():
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _begin(self) -> None:
        """Open the store for the first time.

        Raises:
            StoreError: It cannot be opened or written.
            UnwritableStoreError: It cannot now, and may be later.
        """
        self._connection = _open(self.path, self._lock, self._report)
        self._inode = _inode(self.path)
        self._is_begun = self._is_open = True

    # The methods below run in the thread.

    def _work(self) -> None:
        try:
            while self._write_next():
                pass
        except Exception as error:  # any error, because nothing else would report it
            self._report(
                f"warning: {self.path}: is written no more, by a mistake in streamclf itself: "
                f"{type(error).__name__}: {error}; all else goes on"
            )
        finally:
            if self._is_begun:
                with suppress(sqlite3.Error):
                    self._connection.close()
            with self._changed:
                self._changed.notify_all()

    def _write_next(self) -> bool:
        """Wait for changes, and write them; False at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._urgent or self._requested > self._written or self._close_by,
                COUNT_EVERY_S,
            )
            self._urgent = False
            requested, ending, sinks = self._requested, self._close_by is not None, self._sinks
        pause_s = RETRY_FIRST_S
        while not self._write(sinks):
            if self._gives_up():
                return False
            self._pause(pause_s)
            pause_s = min(2 * pause_s, RETRY_LIMIT_S)
        with self._changed:
            self._written = requested
            self._changed.notify_all()
        if not ending:
            self._sweep()
        return not ending

    def _sweep(self) -> None:
        """Sweep the clips whose turn it is; the end of the store interrupts it."""
        for sweeper in self._sweepers:
            if not sweeper.is_due:
                continue
            try:
                told = sweeper.sweep(
                    self._connection, time.time_ns() // 1000, lambda: self._close_by is not None
                )
            except sqlite3.Error as error:
                told = f"warning: {self.path}: clips are not looked after: {reason_of(error)}"
            if told:
                self._report(told)

    def _write(self, sinks: list[StoreSink]) -> bool:
        """Write what the sinks hold, all or nothing; False if it has to be tried again."""
        try:
            self._reopen(sinks)
            self._execute([statement for sink in sinks for statement in sink.take()])
        except sqlite3.IntegrityError:
            return self._write_singly(sinks)
        except sqlite3.DatabaseError as error:
            self._fail(error)
            return False
        except StoreError as error:
            self._report_unwritable(str(error).removeprefix(f"{self.path}: "))
            return False
        for sink in sinks:
            sink.acknowledge()
        self._report_recovery()
        return True

    def _reopen(self, sinks: list[StoreSink]) -> None:
        """Open the file under the store's name, if it is not the one that is open.

        One that could not be opened at the start holds nothing of the sinks yet, so all that they
        hold is written to it.

        Raises:
            StoreError: It cannot be opened.
            sqlite3.DatabaseError: It is damaged.
        """
        if not self._is_begun:
            self._begin()
            return
        inode = _inode(self.path)
        if self._is_open and inode == self._inode:
            return
        is_same = inode is not None and inode == self._inode
        self._close_connection()
        try:
            self._connection = connect(self.path, create=True)
        except DamagedStoreError as error:
            self._put_aside(error.reason, inode)
            self._connection = connect(self.path, create=True)
            is_same = False
        else:
            if not is_same and not self._is_aside:
                self._report(f"warning: {self.path}: was moved or deleted; a new store begins")
        self._is_open, self._is_aside = True, False
        if not is_same:
            self._inode = _inode(self.path)
            for sink in sinks:
                sink.begin_anew()

    def _close_connection(self) -> None:
        """Close the connection; a file that was moved gets what its log holds."""
        if self._is_open:
            self._is_open = False
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with suppress(sqlite3.Error):
                self._connection.close()

    def _execute(self, statements: list[Statement]) -> None:
        if statements:
            with transaction(self._connection):
                for sql, values in statements:
                    self._connection.execute(sql, values)
            self._n_written += len(statements)

    def _write_singly(self, sinks: list[StoreSink]) -> bool:
        """Write each sink's rows by themselves, because some do not fit into the tables.

        That happens when somebody has deleted the rows of a run that is open. The run then begins
        anew.
        """
        for sink in sinks:
            try:
                try:
                    self._execute(sink.take())
                except sqlite3.IntegrityError as error:
                    self._report(
                        f"warning: {self.path}: rows of an open run were deleted ({error}): it "
                        "begins anew"
                    )
                    sink.begin_anew()
                    self._execute_fitting(sink)
            except sqlite3.DatabaseError as error:
                self._fail(error)
                return False
            sink.acknowledge()
        return True

    def _execute_fitting(self, sink: StoreSink) -> None:
        """Write a sink's rows, without those that fit into no table."""
        n_refused = 0
        with transaction(self._connection):
            for sql, values in sink.take():
                try:
                    self._connection.execute(sql, values)
                    self._n_written += 1
                except sqlite3.IntegrityError:
                    n_refused += 1
        if n_refused:
            sink.lose(n_refused)
            self._report(
                f"warning: {self.path}: {format_count(n_refused, 'row')} did not fit into its "
                "tables, and are lost"
            )

    def _fail(self, error: sqlite3.DatabaseError) -> None:
        """Tell of an error, and do what may end it before the next try."""
        if is_damage(error):
            inode = self._inode
            self._close_connection()
            try:
                self._put_aside(reason_of(error), inode)
            except StoreError as refused:
                self._report_unwritable(str(refused).removeprefix(f"{self.path}: "))
            return
        self._report_unwritable(reason_of(error))
        if not is_passing(error):
            self._close_connection()  # a new connection may do what this one cannot

    def _put_aside(self, reason: str, inode: tuple[int, int] | None) -> None:
        """Put a damaged store aside, unless another process has done so.

        Raises:
            StoreError: It cannot be renamed.
        """
        if _put_aside(self.path, reason, inode, self._report):
            self._is_aside = True

    def _report_unwritable(self, reason: str) -> None:
        self._report_failure(f"{self.path}: cannot be written: {reason}; rows wait in memory")

    def _report_failure(self, line: str) -> None:
        self._n_failures += 1
        if self._failed_at is None:
            self._failed_at = time.monotonic()
            self._lost_before = self._count_lost()
            self._report(f"warning: {line}")

    def _report_recovery(self) -> None:
        if self._failed_at is None:
            return
        outage = format_length(time.monotonic() - self._failed_at)
        n_lost = self._count_lost() - self._lost_before
        lost = f"; {format_count(n_lost, 'row')} had no room in memory, and are lost"
        self._report(f"{self.path}: is written again, after {outage}{lost if n_lost else ''}")
        self._failed_at = None

    def _count_lost(self) -> int:
        return self._lost_by_gone + sum(sink.n_lost for sink in self._sinks)

    def _gives_up(self) -> bool:
        now = time.monotonic()
        if self._close_by is not None and now >= self._close_by:
            return True
        if self._live or self._failed_at is None or now - self._failed_at < GIVE_UP_S:
            return False
        with self._changed:
            self._error = StoreError(
                f"{self.path}: could not be written for {GIVE_UP_S:g} s: make room or end what "
                "locks it, then run again with --resume"
            )
            self._changed.notify_all()
        return True

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if self._close_by is None:
                self._changed.wait_for(lambda: self._close_by is not None, seconds)
            else:
                self._changed.wait(min(seconds, RETRY_FIRST_S))


def _open(path: Path, lock: WriterLock, report: Callable[[str], None]) -> sqlite3.Connection:
    """Open the store, or a new one in place of a damaged one, and close what a kill left open."""
    for _ in range(2):
        inode = _inode(path)
        try:
            return _open_sound(path, lock, report)
        except DamagedStoreError as error:
            _put_aside(path, error.reason, inode, report)
    raise StoreError(f"{path}: cannot be opened: name another file")


def _open_sound(path: Path, lock: WriterLock, report: Callable[[str], None]) -> sqlite3.Connection:
    connection = connect(path, create=True)
    try:
        lock.take()
    except StoreError:
        connection.close()
        raise
    try:
        recovery = close_dead_runs(connection, path)
        if recovery is not None:
            report(f"{path}: {recovery.describe()}")
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise DamagedStoreError(path, " ".join(str(found).split()))
        remove_old_locks(path)
    except BaseException as error:
        connection.close()
        lock.release()
        if isinstance(error, sqlite3.DatabaseError):
            if is_damage(error):
                raise DamagedStoreError(path, reason_of(error)) from error
            raise refusal(path, error) from error
        raise
    return connection


def _put_aside(
    path: Path, reason: str, inode: tuple[int, int] | None, report: Callable[[str], None]
) -> bool:
    """Put a damaged store aside; False if another process has put a new one in its place.

    Raises:
        StoreError: It cannot be renamed.
    """
    if _inode(path) != inode:
        return False
    report(_describe_aside(path, reason, set_aside(path)))
    return True


def _describe_aside(path: Path, reason: str, aside: Path) -> str:
    return f"warning: {path}: is damaged ({reason}): it is now {aside.name}, and a new store begins"


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
