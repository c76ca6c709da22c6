"""Clock of a simulated device, which runs in real time, faster, or without any waiting."""

from __future__ import annotations

import heapq
import itertools
import queue
from collections.abc import Callable
from typing import TypeVar

from streamclf.core.errors import UsageError
from streamclf.sources.clock import Clock, SystemClock

T = TypeVar("T")


def check_speed(speed: float) -> None:
    """Check the speed of a simulated device.

    Raises:
        UsageError: It is below 0 or not finite.
    """
    if not 0 <= speed < float("inf"):
        raise UsageError(f"--speed {speed}: must be 0 (as fast as it goes) or above")


class PacedClock:
    """A `Clock` with scheduled actions, such as the next block of a device.

    Actions run in the thread that waits on the clock, as if they had run at their time. So a
    reader that was busy finds the blocks of that time in the ring, or those that had room in it.

    Args:
        speed: Speed in multiples of real time. With 0, time passes only while a thread waits, and
            then without delay.
        base: Clock of real time; the system's by default.
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
        """Return the seconds since the first call; during an action, its scheduled time."""
        if self._acting is not None:
            return self._acting
        if not self._speed:
            return self._hand
        now = self._base.now()
        if self._started is None:
            self._started = now
        return (now - self._started) * self._speed

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Schedule an action for a time in seconds of this clock."""
        heapq.heappush(self._due, (time, next(self._numbers), action))

    def wait(self, items: queue.SimpleQueue[T], timeout_s: float) -> T:
        """Take the next item, waiting for it at most ``timeout_s`` seconds of this clock.

        Raises:
            queue.Empty: No item came in time.
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
                # An item put by another thread, such as a request to stop, ends the wait.
                try:
                    return self._base.wait(items, max(target - now, 0.0) / self._speed)
                except queue.Empty:
                    # The wait may end slightly early; the next action is due nevertheless.
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
