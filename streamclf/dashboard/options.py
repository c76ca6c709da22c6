"""Options of the dashboard: whether to show it, and where."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError
from streamclf.core.standard_streams import is_terminal


@dataclass(frozen=True)
class ScreenOptions:
    """Options of the dashboard: whether to show it, and where.

    Attributes:
        ui: Whether to show it; None to decide by the command and the terminal.
        web: Port of the page in a browser; None for no page.
        fresh: Whether to ignore the settings of the last session and keep them unchanged.
        given: Names of the options that the user gave.

    Raises:
        UsageError: The options contradict each other.
    """

    panel: ClassVar[str] = "Screen"

    ui: bool | None = option(
        None,
        "--ui/--no-ui",
        help="Show the dashboard, or not; by default listen shows it on a terminal, and file "
        "does not.",
    )
    web: int | None = option(
        None, "--web", metavar="[PORT]", help="Show the page in a browser, in place of a dashboard."
    )
    fresh: bool = option(
        False,
        "--fresh",
        help="Ignore the settings of the last session, and do not change them.",
    )
    given: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.web is not None and self.ui:
            raise UsageError("--ui shows the dashboard, and --web the page: leave one out")

    def wanted(self, *, by_default: bool) -> bool:
        """Whether to show the dashboard on this terminal.

        Raises:
            UsageError: The user asked for it, and there is no suitable terminal.
        """
        lacking = lacks_terminal()
        if self.ui and lacking:
            raise UsageError(f"--ui {lacking}; listen --web shows a page in a browser")
        return self.ui if self.ui is not None else by_default and not lacking and self.web is None


def lacks_terminal() -> str:
    """Describe what the terminal lacks for the dashboard; empty if it lacks nothing."""
    if not all(is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return "needs a terminal"
    kind = os.environ.get("TERM", "")
    if kind in ("dumb", "unknown"):
        return f"needs a terminal that can move its cursor, TERM is {kind}"
    return ""
