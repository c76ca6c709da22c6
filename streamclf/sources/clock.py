"""Waiting: the one place where live sources meet real time, so that tests can replace it."""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Monotonic time, and waiting on a queue."""

    def now(self) -> float:
        """Seconds of a clock that setting the system's time does not move."""
        ...

    def wait(self, items: queue.SimpleQueue[T], timeout_s: float) -> T:
        """Take the next item, waiting for it at most ``timeout_s``.

        Raises:
            queue.Empty: None came in time.
        """
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """`time.monotonic`."""
        return time.monotonic()

    def wait(self, items: queue.SimpleQueue[T], timeout_s: float) -> T:
        """Block on the queue, without polling."""
        return items.get(timeout=max(0.0, timeout_s))


class StopSignal:
    """A flag that stays up once set, and ends a sleep at once.

    Built on `queue.SimpleQueue` because its ``put`` may be called from a signal handler that
    interrupted the very thread that sleeps; a `threading.Event` can deadlock there.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_set = False

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._is_set

    def set(self) -> None:
        """Raise the flag and end any sleep."""
        self._is_set = True
        self._wakes.put(None)

    def wake(self) -> None:
        """End a sleep, or the next one, without raising the flag."""
        self._wakes.put(None)

    def sleep(self, seconds: float) -> bool:
        """Sleep; returns early, and True, when the flag is up."""
        if not self._is_set:
            with suppress(queue.Empty):
                self._clock.wait(self._wakes, seconds)
        return self._is_set
