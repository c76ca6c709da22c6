"""The terminal that the dashboard draws on. It may vanish at any moment.

Textual writes in a thread. If a write fails (the window was closed, the connection broke off), that
thread ends silently. Its short queue then fills, and the drawing thread waits forever and no longer
reacts to signals. Here, therefore, a write never fails: the first failure is reported to the app,
and all later writes are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from textual.driver import Driver


class HangupSafeFile:
    """A terminal's output file whose writes never fail.

    Args:
        file: The terminal's output file.
        on_gone: Called once, in the writing thread, when the terminal is gone.

    Attributes:
        gone: Whether the terminal is gone.
    """

    def __init__(self, file: TextIO, on_gone: Callable[[], None]) -> None:
        self.gone = False
        self._file = file
        self._on_gone = on_gone

    def write(self, text: str) -> int:
        """Write a text, or drop it if the terminal is gone."""
        if not self.gone:
            try:
                return self._file.write(text)
            except (OSError, ValueError):  # ValueError: it was closed
                self._lose()
        return len(text)

    def flush(self) -> None:
        """Flush the buffered text, or drop it if the terminal is gone."""
        if not self.gone:
            try:
                self._file.flush()
            except (OSError, ValueError):
                self._lose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _lose(self) -> None:
        self.gone = True
        self._on_gone()


def make_hangup_safe(driver: type[Driver], on_gone: Callable[[], None]) -> type[Driver]:
    """Make a subclass of a Textual driver that survives the loss of its terminal.

    Args:
        driver: Driver class of Textual.
        on_gone: Called in the app's own thread when the terminal is gone.
    """

    class HangupSafeDriver(driver):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            file = getattr(self, "_file", None)
            if file is None:  # a driver without a terminal, such as the headless one
                return
            loop = asyncio.get_running_loop()

            def report() -> None:
                with contextlib.suppress(RuntimeError):  # the app has ended in the meantime
                    loop.call_soon_threadsafe(on_gone)

            self._file = HangupSafeFile(file, report)

    return HangupSafeDriver


def discard_output() -> None:
    """Redirect standard output and error to the null device, once the terminal is gone."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        # isatty() is false for a terminal that is gone; it is still a character device.
        if stream is not None and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
            os.dup2(null_device, stream.fileno())
    os.close(null_device)
