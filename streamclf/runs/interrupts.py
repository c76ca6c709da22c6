"""Signals that end a run as if its stream had ended."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_ENDING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class Interrupts:
    """Context in which SIGINT, SIGTERM and SIGHUP end the run as if its stream had ended.

    A second SIGINT raises KeyboardInterrupt, in case the run does not end. A signal that was
    ignored when the process started (`nohup`) stays ignored.

    A thread acts on the signals. Python's own handlers run in the main thread, and a signal that
    comes just before this thread waits for audio would not wake it.

    Args:
        stop: Called on each signal that ends the run.
        reopen: Called on SIGHUP, which then does not end the run; None for no such function.

    Attributes:
        happened: Whether a signal has come that ends the run.
    """

    def __init__(self, stop: Callable[[], None], reopen: Callable[[], None] | None = None) -> None:
        self.happened = False
        self._stop = stop
        self._reopen = reopen
        self._n_interrupts = 0
        self._before: dict[int, Any] = {}
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._sockets = socket.socketpair()
        self._sockets[1].setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(
            self._sockets[1].fileno(), warn_on_full_buffer=False
        )
        self._thread = threading.Thread(target=self._watch, name="streamclf-signals", daemon=True)
        self._thread.start()
        for number in _ENDING:
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:
                # Stored before the handler is set: a signal may come at once, and the thread
                # ignores signals that are not stored.
                self._before[number] = before
                signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._sockets is not None and self._thread is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            self._sockets[1].close()
            self._thread.join()
            self._sockets[0].close()
            self._sockets = None

    def _watch(self) -> None:
        """Act on each signal, whose number the system writes to the socket."""
        assert self._sockets is not None
        while numbers := self._sockets[0].recv(64):
            for number in numbers:
                if number not in self._before:
                    continue
                if self._reopen is not None and number not in (signal.SIGINT, signal.SIGTERM):
                    self._reopen()
                else:
                    self.happened = True
                    self._stop()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._n_interrupts += number == signal.SIGINT
        if self._n_interrupts > 1:
            raise KeyboardInterrupt
