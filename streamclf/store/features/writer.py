"""The thread that writes features, so that no disk delays what is heard.

What cannot be written waits in memory up to a limit, and is written as soon as possible. What
comes beyond the limit is lost and counted.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from streamclf.core.text_format import format_count, format_length
from streamclf.store.features.feature_file import append_records
from streamclf.store.features.layout import FeatureHeader
from streamclf.store.features.options import FeatureLimits
from streamclf.store.features.retention import FeatureSweeper

LIMIT_BYTES = 16_000_000
"""Most bytes that wait: eight hours of one source."""
GATHER_S = 1.0
"""Seconds between two writes; a process that is killed loses what came since the last one."""
RETRY_LIMIT_S = 30.0
"""Longest pause, in seconds, between two tries to write."""
CLOSE_S = 2.0
"""Longest wait, in seconds, for the last records to be written."""


class FeatureWriter:
    """Writes the records of several sinks.

    Args:
        report: Called with one line about each failure and recovery.
        limit_bytes: Most bytes of records that wait.
    """

    def __init__(self, report: Callable[[str], None], *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._report = report
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._waiting: list[tuple[Path, FeatureHeader, bytes]] = []
        self._waiting_bytes = 0
        self._n_lost = 0
        self._sweepers: dict[Path, tuple[FeatureLimits, FeatureSweeper]] = {}
        self._failed_at: float | None = None
        self._close_by: float | None = None
        self._thread = threading.Thread(target=self._work, name="streamclf-features", daemon=True)
        self._thread.start()

    @property
    def n_lost(self) -> int:
        """Number of records that are lost; any thread may read it."""
        return self._n_lost

    @property
    def is_written(self) -> bool:
        """Whether the last try to write succeeded."""
        return self._failed_at is None and self._thread.is_alive()

    def put(self, path: Path, header: FeatureHeader, record: bytes) -> bool:
        """Take a record to be written, without waiting; False if there is no room for it."""
        with self._changed:
            if self._waiting_bytes + len(record) > self._limit_bytes:
                self._n_lost += 1
                return False
            self._waiting.append((path, header, record))
            self._waiting_bytes += len(record)
        return True

    def look_after(self, folder: Path, limits: FeatureLimits) -> None:
        """Sweep the folder of a source now and then; other limits than before replace them."""
        with self._changed:
            if folder not in self._sweepers or self._sweepers[folder][0] != limits:
                self._sweepers[folder] = limits, FeatureSweeper(folder, limits)

    def close(self) -> None:
        """Write what waits, and end. Safe to call twice."""
        with self._changed:
            if self._close_by is not None:
                return
            self._close_by = time.monotonic() + CLOSE_S
            self._changed.notify_all()
        self._thread.join(2 * CLOSE_S)
        lost = self._n_lost + len(self._waiting)
        if lost:
            self._report(
                f"warning: features of {format_count(lost, 'window')} could not be written, and "
                "are lost"
            )

    # The methods below run in the thread.

    def _work(self) -> None:
        try:
            pause_s = GATHER_S
            while True:
                ending = self._wait(pause_s)
                pause_s = GATHER_S if self._write() else min(2 * pause_s, RETRY_LIMIT_S)
                if ending:
                    return
                self._sweep()
        except Exception as error:  # any error, because nothing else would report it
            self._report(
                "warning: features are written no more, by a mistake in streamclf itself: "
                f"{type(error).__name__}: {error}; all else goes on"
            )

    def _wait(self, pause_s: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._close_by is not None, pause_s)
            return self._close_by is not None

    def _write(self) -> bool:
        """Write what waits; False if some of it has to be tried again."""
        with self._changed:
            waiting, self._waiting = self._waiting, []
        left: list[tuple[Path, FeatureHeader, bytes]] = []
        for (path, header), records in _by_file(waiting):
            try:
                append_records(path, header, b"".join(records))
            except OSError as error:
                self._fail(path, error)
                left += [(path, header, record) for record in records]
        with self._changed:
            self._waiting = [*left, *self._waiting]
            self._waiting_bytes = sum(len(record) for _, _, record in self._waiting)
        if waiting and not left:
            self._recover()
        return not left

    def _fail(self, path: Path, error: OSError) -> None:
        if self._failed_at is None:
            self._failed_at = time.monotonic()
            reason = (error.strerror or str(error)).lower()
            self._report(
                f"warning: {path.parent}: features cannot be written: {reason}; they wait in "
                "memory, and all else goes on"
            )

    def _recover(self) -> None:
        if self._failed_at is not None:
            outage = format_length(time.monotonic() - self._failed_at)
            lost = f"; {format_count(self._n_lost, 'window')} had no room, and are lost"
            self._report(
                f"features are written again, after {outage}{lost if self._n_lost else ''}"
            )
            self._failed_at = None

    def _sweep(self) -> None:
        with self._changed:
            sweepers = [sweeper for _, sweeper in self._sweepers.values()]
        for sweeper in sweepers:
            if told := sweeper.sweep_if_due():
                self._report(told)


def _by_file(
    waiting: Iterable[tuple[Path, FeatureHeader, bytes]],
) -> Iterable[tuple[tuple[Path, FeatureHeader], list[bytes]]]:
    grouped: dict[tuple[Path, FeatureHeader], list[bytes]] = defaultdict(list)
    for path, header, record in waiting:
        grouped[path, header].append(record)
    return grouped.items()
