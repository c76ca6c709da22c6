"""The terminal that the dashboard draws on, which may be gone from one moment to the next.

Textual writes in a thread. Where a write fails (the window was closed, the connection broke off),
that thread would end without a word; its short queue would fill, and whoever draws would wait for
ever, deaf to signals. So a write never fails here: the first that would is told, and the rest are
dropped.
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
    """A terminal's file, of which a write never fails.

    Args:
        file: The terminal's.
        on_gone: Called once, in the writing thread, when the terminal is gone.

    Attributes:
        gone: Whether it is.
    """

    def __init__(self, file: TextIO, on_gone: Callable[[], None]) -> None:
        self.gone = False
        self._file = file
        self._on_gone = on_gone

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        if not self.gone:
            try:
                return self._file.write(text)
            except (OSError, ValueError):  # ValueError: it was closed
                self._lose()
        return len(text)

    def flush(self) -> None:
        """Write what is held back, or drop it."""
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
    """The driver, with a terminal that may go.

    Args:
        driver: Textual's.
        on_gone: Called in the app's own thread when the terminal is gone.
    """

    class HangupSafeDriver(driver):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            file = getattr(self, "_file", None)
            if file is None:  # it draws on no terminal
                return
            loop = asyncio.get_running_loop()

            def tell() -> None:
                with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
                    loop.call_soon_threadsafe(on_gone)

            self._file = HangupSafeFile(file, tell)

    return HangupSafeDriver


def discard_output() -> None:
    """Let what is still printed go nowhere, as the terminal is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        # A terminal that is gone does not say any more that it is one.
        if stream is not None and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
