"""Calls into a library that may hang, made one at a time by a thread, each with a deadline.

Closing a stream whose sound server has frozen blocks inside PortAudio for half a minute or for
ever, and no other thread may call PortAudio meanwhile. So one daemon thread makes all calls, and
each caller waits only until its own deadline.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from streamclf.sources.clock import Clock

T = TypeVar("T")


class _Call(Generic[T]):
    """A call and its result or error."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._result: list[T] = []
        self._error: BaseException | None = None
        self.done: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def run(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001, RUF100 - raised in the caller
            self._error = error
        self.done.put(True)

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result[0]


class Caller(Protocol):
    """Interface for calls with a deadline."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function; returns its result or raises its error.

        Raises:
            TimeoutError: The deadline has passed, or `interrupt` was called.
        """
        ...

    def interrupt(self) -> None:
        """Make the `call` in progress, and all later ones, raise `TimeoutError`."""
        ...

    def close(self, function: Callable[[], None], timeout_s: float) -> bool:
        """Make a last call, even after `interrupt`; returns whether it ended in time."""
        ...


class CallThread:
    """Daemon thread that makes calls in their order.

    A call past its deadline continues in the thread. Until it ends, later calls time out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._running: queue.SimpleQueue[bool] | None = None
        self._thread: threading.Thread | None = None
        self._interrupted = False
        self._turn = threading.Lock()

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function in the thread; returns its result or raises its error.

        Raises:
            TimeoutError: The call took longer, an earlier call has not ended, or `interrupt` was
                called.
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
        job = _Call(function)
        self._running = job.done
        self._jobs.put(job.run)
        self._await_running(deadline)
        return job.outcome()

    def interrupt(self) -> None:
        """Make the call in progress, and all later ones, time out; safe from a signal handler."""
        self._interrupted = True
        running = self._running
        if running is not None:
            running.put(False)

    def close(self, function: Callable[[], None], timeout_s: float) -> bool:
        """Make a last call, even after `interrupt`, and end the thread.

        If an earlier call hangs, the last one is made when that call ends after all, so that
        nothing stays open.

        Returns:
            Whether the last call ended in time.
        """
        if self._thread is None:
            return True
        self._interrupted = False
        try:
            self.call(function, timeout_s)
        except TimeoutError:
            self._jobs.put(_Call(function).run)
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
