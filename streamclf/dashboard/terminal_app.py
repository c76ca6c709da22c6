"""App that ends well, whatever becomes of its terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

from textual.app import App
from textual.driver import Driver

from streamclf.core.errors import INTERRUPTED
from streamclf.dashboard.terminal import make_hangup_safe


class TerminalApp(App[int]):
    """App on a terminal. It ends on signals, with its terminal, and with its first failure.

    Attributes:
        failure: Exception that ended the app; None if there was none.
        has_terminal: Whether the terminal still exists.
    """

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"), (70, "-normal"), (105, "-wide"),
    ]  # fmt: skip
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-tiny"), (16, "-short"), (32, "-tall"), (50, "-very-tall"),
    ]  # fmt: skip

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.failure: Exception | None = None
        self.has_terminal = True

    def choose_theme(self, name: str | None) -> None:
        """Use a theme, if it is there; without one, what suits the terminal."""
        if name in self.available_themes:
            self.theme = name
        elif self.console.color_system in ("standard", "windows"):
            # With 16 colours, the dark greys of other themes all become black.
            self.theme = "ansi-dark"

    def get_driver_class(self) -> type[Driver]:
        """Textual's driver, changed to survive the loss of the terminal."""
        return make_hangup_safe(super().get_driver_class(), self._lose_terminal)

    def _lose_terminal(self) -> None:
        """End as by a signal, once the terminal is gone."""
        self.has_terminal = False
        self.exit(INTERRUPTED)

    def end_on_signals(self) -> None:
        """End on SIGTERM and SIGHUP."""
        if threading.current_thread() is threading.main_thread() and os.name == "posix":
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.exit, INTERRUPTED)

    async def action_quit(self) -> None:
        """End the app with exit code 0."""
        self.exit(0)

    def action_interrupt(self) -> None:
        """End the app with exit code 130, as by Ctrl-C."""
        self.exit(INTERRUPTED)

    def _handle_exception(self, error: Exception) -> None:
        """Keep the exception for the log, and end without printing it to the terminal."""
        self.failure = self.failure or error
        super()._handle_exception(error)
        self._exit_renderables.clear()
