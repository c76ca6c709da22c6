"""Calls into a library that may never come back, one at a time, each with a deadline.

Closing a stream whose sound server has frozen blocks inside PortAudio for half a minute or for
ever, and no other thread may call PortAudio meanwhile. So one daemon thread makes all the calls;
whoever asked waits as long as it likes and no longer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from streamclf.sources.clock import Clock

T = TypeVar("T")


class _Job(Generic[T]):
    """A call and its outcome."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._result: list[T] = []
        self._error: BaseException | None = None
        self.done: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def run(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001, RUF100 - handed to the caller
            self._error = error
        self.done.put(True)

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result[0]


class Caller(Protocol):
    """What makes calls with a deadline."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """The function's result or exception; `TimeoutError` past the deadline."""
        ...

    def interrupt(self) -> None:
        """End the wait of a `call` in progress, and of all to come, by `TimeoutError`."""
        ...

    def close(self, function: Callable[[], None], timeout_s: float) -> bool:
        """Make a last call, even after `interrupt`; False if it did not come back in time."""
        ...


class SerialThread:
    """Makes calls on one daemon thread, in order.

    A call past its deadline goes on; until it comes back every later one is refused.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._running: queue.SimpleQueue[bool] | None = None
        self._thread: threading.Thread | None = None
        self._interrupted = False
        self._turn = threading.Lock()

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Run ``function`` on the thread and return what it returns, or raise what it raises.

        Raises:
            TimeoutError: It took longer, or an earlier one is still not back, or `interrupt`.
        """
        if not self._turn.acquire(timeout=timeout_s):
            raise TimeoutError
        try:
            return self._call(function, timeout_s)
        finally:
            self._turn.release()

    def _call(self, function: Callable[[], T], timeout_s: float) -> T:
        deadline = self._clock.now() + timeout_s
        self._await_running(deadline)
        if self._interrupted:
            raise TimeoutError
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="audio system", daemon=True)
            self._thread.start()
        job = _Job(function)
        self._running = job.done
        self._jobs.put(job.run)
        self._await_running(deadline)
        return job.outcome()

    def interrupt(self) -> None:
        """End the wait of the call in progress; safe from a signal handler."""
        self._interrupted = True
        running = self._running
        if running is not None:
            running.put(False)

    def close(self, function: Callable[[], None], timeout_s: float) -> bool:
        """Make a last call, even after `interrupt`, and end the thread; False if it hangs.

        Where an earlier call hangs, the last one follows should that come back after all: what it
        opened is not left open.
        """
        if self._thread is None:
            return True
        self._interrupted = False
        try:
            self.call(function, timeout_s)
        except TimeoutError:
            self._jobs.put(_Job(function).run)
            return False
        finally:
            self._jobs.put(None)
        return True

    def _await_running(self, deadline: float) -> None:
        while self._running is not None:
            if self._interrupted:
                raise TimeoutError
            try:
                finished = self._clock.wait(self._running, deadline - self._clock.now())
            except queue.Empty:
                raise TimeoutError from None
            if finished:
                self._running = None

    def _run(self) -> None:
        jobs = self._jobs
        while (job := jobs.get()) is not None:
            job()
