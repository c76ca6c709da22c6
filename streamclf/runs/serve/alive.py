"""Sign of life of several threads together: it is given only while all of them live."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable


class AliveTogether:
    """Sign of life that is passed on each time that all members have given theirs.

    So a single member that hangs stops it, and no thread of its own is needed that would live on
    when all others hang.

    Args:
        alive: Called in the thread of the member that was the last of the round.
    """

    def __init__(self, alive: Callable[[], None]) -> None:
        self._alive = alive
        self._lock = threading.Lock()
        self._members: set[Hashable] = set()
        self._seen: set[Hashable] = set()

    def join(self, member: Hashable) -> None:
        """Wait for this member from now on."""
        with self._lock:
            self._members.add(member)

    def leave(self, member: Hashable) -> None:
        """Wait for this member no longer."""
        with self._lock:
            self._members.discard(member)
            self._seen.discard(member)
            self._pass_on()

    def note(self, member: Hashable) -> None:
        """Note that a member lives: it has heard audio, or waits for lost audio."""
        with self._lock:
            self._seen.add(member)
            self._pass_on()

    def _pass_on(self) -> None:
        if self._members and self._seen >= self._members:
            self._seen.clear()
            self._alive()
