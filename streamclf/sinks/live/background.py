"""Lines written by a thread, so that neither a disk nor a reader delays the audio.

Lines that cannot be written wait in memory, up to a limit, and are written as soon as possible.
Lines beyond the limit are lost and counted; a line in their place states their number.
"""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from streamclf.core.errors import SinkError
from streamclf.core.text_format import format_count, format_length
from streamclf.sinks.lines import Lines
from streamclf.sinks.live.targets import Target

LIMIT_BYTES = 4_000_000
"""Most bytes of waiting lines. Events take days to fill it, the top classes of each hop over an
hour."""
SYNC_EVERY_S = 5.0
"""Seconds between two flushes to the disk; a power cut loses the lines of this time at most."""
RETRY_FIRST_S, RETRY_LIMIT_S = 0.1, 5.0
"""First and longest pause, in seconds, between two tries to write."""
CLOSE_S = 0.3
"""Longest wait, in seconds, for lines to be written when the output closes."""

_Item: TypeAlias = tuple[bytes, int]
"""Whole lines, and the number of results in them."""
_NOTHING: _Item = (b"", 0)


class BackgroundLines(Lines):
    """Output that takes lines without ever waiting, from one thread at a time.

    Args:
        target: Destination of the lines.
        report: Called with one line about each failure and recovery, from either thread.
        on_gone: Called when the target has lost its reader for good; None reports it in a line.
        limit_bytes: Most bytes of waiting lines.
    """

    def __init__(
        self,
        target: Target,
        *,
        report: Callable[[str], None] = lambda message: None,
        on_gone: Callable[[], None] | None = None,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self.name = target.name
        self._target = target
        self._report = report
        self._on_gone = on_gone
        self._limit_bytes = limit_bytes
        # SimpleQueue, because a signal handler also puts items.
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._n_put = self._n_taken = 0  # bytes; each counter is changed by one thread only
        self._lines_put = self._lines_taken = 0
        self._n_dropped = self._n_unreported = 0
        self._close_by: float | None = None
        self._failed_at: float | None = None
        self._gone = self._closed = False
        self._reopen_requested = False
        self._thread = threading.Thread(target=self._work, name="streamclf-lines", daemon=True)
        self._thread.start()

    @property
    def n_lost(self) -> int:
        """Number of lines that are lost."""
        left = self._lines_put - self._lines_taken if self._closed else 0
        return self._n_dropped + left

    @property
    def waiting_bytes(self) -> int:
        """Bytes of lines that wait to be written."""
        return self._n_put - self._n_taken

    def write_header(self, line: str) -> None:
        """Set the first line of this file, and of each file that follows it."""
        self._target.header = _encode(line)
        self._items.put(_NOTHING)

    def write(self, *lines: str) -> None:
        """Append lines, given without their line breaks, without waiting.

        Raises:
            SinkError: The output is closed.
        """
        if self._closed:
            raise SinkError(f"{self.name}: is closed already")
        data = _encode(*lines)
        if self._gone or self._n_put - self._n_taken + len(data) > self._limit_bytes:
            self._drop(len(lines))
            return
        self._report_loss()
        self._put(data, len(lines))

    def _put(self, data: bytes, n_lines: int) -> None:
        self._n_put += len(data)
        self._lines_put += n_lines
        self._items.put((data, n_lines))

    def _drop(self, n_lines: int) -> None:
        if not self._n_unreported and not self._gone:
            self._report(
                f"warning: {self.name}: {self._limit_bytes / 1e6:g} MB of lines wait to be "
                "written: those that follow are lost until there is room"
            )
        self._n_dropped += n_lines
        self._n_unreported += n_lines

    def _report_loss(self) -> None:
        """Report lost lines, and put a line about them in their place."""
        if self._n_unreported:
            lost = format_count(self._n_unreported, "line")
            self._report(f"warning: {self.name}: lost {lost}, there is room again")
            if self.describe_loss is not None:
                self._put(_encode(self.describe_loss(self._n_unreported)), 0)
            self._n_unreported = 0

    def reopen(self) -> None:
        """Reopen the file of this name for the next line; safe in a signal handler."""
        self._reopen_requested = True
        self._wake()

    def finish(self) -> None:
        """Let the thread write the waiting lines and end; do not wait for it."""
        if self._close_by is None:
            self._close_by = time.monotonic() + CLOSE_S
            self._wake()

    def _wake(self) -> None:
        self._items.put(_NOTHING)
        self._wakes.put(None)

    def close(self) -> None:
        """End the thread; report the lines that are not written in time. Safe to call twice."""
        if self._closed:
            return
        if not self._gone:
            self._report_loss()
        self.finish()
        assert self._close_by is not None
        self._thread.join(max(self._close_by - time.monotonic(), 0) + RETRY_FIRST_S)
        self._closed = True
        if self.n_lost and not (self._gone and self._on_gone):
            self._report(f"warning: {self.name}: lost {format_count(self.n_lost, 'line')} in all")

    # The methods below run in the thread.

    def _work(self) -> None:
        try:
            self._run()
        except Exception as error:  # any error, because nothing else would report it
            self._gone = True
            self._report(
                f"warning: {self.name}: is written no more, by a mistake in streamclf itself: "
                f"{type(error).__name__}: {error}; all else goes on"
            )

    def _run(self) -> None:
        sync_at: float | None = None
        while True:
            data, n_lines = self._next(sync_at)
            self._reopen_if_asked()
            if not self._deliver(data):
                break
            self._n_taken += len(data)
            self._lines_taken += n_lines
            if data and sync_at is None:
                sync_at = time.monotonic() + SYNC_EVERY_S
            ending = self._close_by is not None and self._items.empty()
            if sync_at is not None and (ending or time.monotonic() >= sync_at):
                self._sync()
                sync_at = None
            if ending:
                break
        with suppress(OSError):
            self._target.close()

    def _next(self, until: float | None) -> _Item:
        """Return the next lines, or none when another task is due."""
        timeout_s = None if until is None else max(until - time.monotonic(), 0)
        with suppress(queue.Empty):
            return self._items.get(timeout=timeout_s)
        return _NOTHING

    def _deliver(self, data: bytes) -> bool:
        """Write lines, with as many tries as necessary; False if writing has become impossible."""
        rest, pause_s = data, RETRY_FIRST_S
        while True:
            try:
                if self._failed_at is not None:
                    self._target.recover()
                self._target.begin()
                while rest:
                    rest = rest[self._target.put(rest) :]
                break
            except BlockingIOError:
                pause_s = RETRY_FIRST_S  # a slow reader is no failure
            except OSError as error:
                if not self._fail(error):
                    return False
                pause_s = min(2 * pause_s, RETRY_LIMIT_S)
            if not self._pause(pause_s):
                return False
        self._recovered()
        return True

    def _fail(self, error: OSError) -> bool:
        """Report a failure once; False if it is permanent."""
        if self._target.is_permanent(error):
            self._gone = True
            if self._on_gone is not None:
                self._on_gone()
            else:
                self._report(f"warning: {self.name}: its reader has gone; all else goes on")
            return False
        if self._failed_at is None:
            self._failed_at = time.monotonic()
            self._report(
                f"warning: {self.name}: cannot be written: {_reason(error)}; lines wait in memory"
            )
        return True

    def _recovered(self) -> None:
        if self._failed_at is not None:
            outage = format_length(time.monotonic() - self._failed_at)
            self._report(f"{self.name}: is written again, after {outage}")
            self._failed_at = None

    def _pause(self, seconds: float) -> bool:
        """Wait before another try; False if the output closes before it."""
        if self._close_by is not None:
            seconds = min(seconds, RETRY_FIRST_S)
        with suppress(queue.Empty):
            self._wakes.get(timeout=seconds)
        self._reopen_if_asked()
        return self._close_by is None or time.monotonic() < self._close_by

    def _reopen_if_asked(self) -> None:
        if not self._reopen_requested:
            return
        self._reopen_requested = False
        self._sync()
        try:
            if self._target.reopen():
                self._report(f"{self.name}: opened anew")
        except OSError as error:
            self._fail(error)

    def _sync(self) -> None:
        try:
            self._target.sync()
        except OSError as error:
            self._report(f"warning: {self.name}: may not be on the disk: {_reason(error)}")


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENXIO, errno.EPIPE):
        return "nobody reads it"
    return (error.strerror or str(error)).lower()


def _encode(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
