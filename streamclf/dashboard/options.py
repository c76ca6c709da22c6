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
        web: Port of the page in a browser; None for the terminal.
        web_host: Address of the page; None for this machine only.
        web_allow_network: Whether other machines may reach that address.
        fresh: Whether to ignore the settings of the last session and keep them unchanged.
        given: Names of the options that the user gave.
        arguments: Command line, which is run again for a browser.

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
        None, "--web", metavar="[PORT]", help="Show the dashboard in a browser on this machine."
    )
    web_host: str | None = option(
        None, "--web-host", metavar="ADDRESS", help="Address for --web instead of 127.0.0.1."
    )
    web_allow_network: bool = option(
        False,
        "--web-allow-network",
        help="Allow other machines to reach --web; there is no password.",
    )
    fresh: bool = option(
        False,
        "--fresh",
        help="Ignore the settings of the last session, and do not change them.",
    )
    given: Collection[str] = ()
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, given in [
            ("--web-host", self.web_host is not None),
            ("--web-allow-network", self.web_allow_network),
        ]:
            if given and self.web is None:
                raise UsageError(f"{name} goes with --web")
        if self.web is not None and self.ui is False:
            raise UsageError("--web shows the dashboard, --no-ui does not: leave one out")

    def wanted(self, *, by_default: bool) -> bool:
        """Whether to show the dashboard on this terminal.

        Raises:
            UsageError: The user asked for it, and there is no suitable terminal.
        """
        lacking = _lacking()
        if self.ui and lacking:
            raise UsageError(f"--ui {lacking}; --web shows the dashboard in a browser")
        return self.ui if self.ui is not None else by_default and not lacking


def _lacking() -> str:
    """Describe what the terminal lacks for the dashboard; empty if it lacks nothing."""
    # textual-serve runs the program without a terminal, and sets this variable.
    if "TEXTUAL_DRIVER" in os.environ:
        return ""
    if not all(is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return "needs a terminal"
    kind = os.environ.get("TERM", "")
    if kind in ("dumb", "unknown"):
        return f"needs a terminal that can move its cursor, TERM is {kind}"
    return ""
