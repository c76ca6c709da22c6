"""Sessions that were ended by a logout, beyond the end of the process.

Each is a line of a file beside the password's: its name, and when it would have ended by itself.
Lines are only added, so that two processes with one password lose none of each other's.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from streamclf.runs.console import say

LARGEST = 100_000
"""Bytes of the file after which lines whose time is over are left out: some 2000 logouts."""
_NOBODY_ELSE = 0o600


class EndedSessions:
    """Names of sessions that nobody may use any more.

    Args:
        path: Their file; None to forget them with the process.
        now: Clock in seconds since 1970.
    """

    def __init__(self, path: Path | None, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._until: dict[str, int] = {}
        self._seen: tuple[int, int, int] | None = None
        self._lock = threading.Lock()

    def __contains__(self, name: str) -> bool:
        """Whether a session was ended; another process may have done it."""
        with self._lock:
            self._look()
            return name in self._until

    def add(self, name: str, until_s: int) -> None:
        """End a session.

        Args:
            name: Its name.
            until_s: When it would end by itself, in seconds since 1970.
        """
        with self._lock:
            self._look()
            now = self._now()
            self._until = {each: until for each, until in self._until.items() if until > now}
            self._until[name] = until_s
            if self._path is None:
                return
            try:
                _append(self._path, f"{name} {until_s}\n")
                if self._path.stat().st_size > LARGEST:
                    self._shorten(self._path)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                say(
                    f"warning: the page: {self._path}: a logout cannot be noted: {reason}; it "
                    "holds until the next start: a new password ends all sessions for good"
                )

    def _look(self) -> None:
        """Read the file, if it has changed."""
        if self._path is None:
            return
        with suppress(OSError):  # there is none, or nothing can be known of it
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                    name, _, until = line.partition(" ")
                    if until.isascii() and until.isdecimal() and int(until) > self._now():
                        self._until[name] = int(until)
                self._seen = seen

    def _shorten(self, path: Path) -> None:
        aside = path.with_name(f"{path.name}.new")
        with suppress(FileNotFoundError):
            aside.unlink()
        _append(aside, "".join(f"{name} {until}\n" for name, until in self._until.items()))
        aside.replace(path)


def _append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _NOBODY_ELSE)
    with os.fdopen(number, "a", encoding="utf-8") as file:
        file.write(text)
