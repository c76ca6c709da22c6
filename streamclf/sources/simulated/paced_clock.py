"""Time for a simulated device: as fast as real time, faster, or as fast as anybody waits."""

from __future__ import annotations

import heapq
import itertools
import queue
from collections.abc import Callable
from typing import TypeVar

from streamclf.sources.clock import Clock, SystemClock

T = TypeVar("T")


class PacedClock:
    """A `Clock` at which things are due, such as a device's next block.

    What is due happens in the thread of whoever waits, as if it had happened at its time: a
    reader that was busy finds the blocks of that time in the ring, or what was left of them.

    Args:
        speed: Times real time; 0 lets time pass only while someone waits, and then at once.
        base: Real time.
    """

    def __init__(self, speed: float, base: Clock | None = None) -> None:
        self._speed = speed
        self._base = base or SystemClock()
        self._started: float | None = None
        self._hand = 0.0
        self._acting: float | None = None
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        """Seconds since the clock was first read; while something happens, when it was due."""
        if self._acting is not None:
            return self._acting
        if not self._speed:
            return self._hand
        now = self._base.now()
        if self._started is None:
            self._started = now
        return (now - self._started) * self._speed

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Have ``action`` happen at ``time``."""
        heapq.heappush(self._due, (time, next(self._numbers), action))

    def wait(self, items: queue.SimpleQueue[T], timeout_s: float) -> T:
        """Take the next item, waiting for it at most ``timeout_s``.

        Raises:
            queue.Empty: None came in time.
        """
        now = self.now()
        deadline = now + max(0.0, timeout_s)
        while True:
            self._act_until(now)
            try:
                return items.get_nowait()
            except queue.Empty:
                if now >= deadline:
                    raise
            target = min(deadline, self._due[0][0] if self._due else deadline)
            if self._speed:
                # Whoever puts something there, such as a stop, ends the wait.
                try:
                    return self._base.wait(items, max(target - now, 0.0) / self._speed)
                except queue.Empty:
                    # A timer may go off a little early; what was waited for is due all the same.
                    now = max(self.now(), target)
            else:
                now = self._hand = max(target, self._hand)

    def _act_until(self, time: float) -> None:
        while self._due and self._due[0][0] <= time:
            due, _, action = heapq.heappop(self._due)
            self._acting = due
            try:
                action()
            finally:
                self._acting = None
