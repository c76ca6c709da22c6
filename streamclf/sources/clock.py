"""Time and waiting for live sources; tests replace the clock."""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Monotonic time, and waiting on a queue."""

    def now(self) -> float:
        """Return the seconds of a monotonic clock, unaffected by changes of the system's time."""
        ...

    def wait(self, items: queue.SimpleQueue[T], timeout_s: float) -> T:
        """Take the next item, waiting for it at most ``timeout_s`` seconds.

        Raises:
            queue.Empty: No item came in time.
        """
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return `time.monotonic`."""
        return time.monotonic()

    def wait(self, items: queue.SimpleQueue[T], timeout_s: float) -> T:
        """Wait on the queue, without polling."""
        return items.get(timeout=max(0.0, timeout_s))


class StopSignal:
    """Flag that stays set, and that ends a sleep at once.

    It uses `queue.SimpleQueue` because ``put`` may be called from a signal handler that interrupts
    the sleeping thread itself; a `threading.Event` can deadlock there.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_set = False

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._is_set

    def set(self) -> None:
        """Set the flag and end the current sleep."""
        self._is_set = True
        self._wakes.put(None)

    def wake(self) -> None:
        """End the current sleep, or the next one, without setting the flag."""
        self._wakes.put(None)

    def sleep(self, seconds: float) -> bool:
        """Sleep for at most that long.

        Returns:
            Whether the flag is set; setting it ends the sleep.
        """
        if not self._is_set:
            with suppress(queue.Empty):
                self._clock.wait(self._wakes, seconds)
        return self._is_set
