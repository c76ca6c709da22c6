"""Whether there is a dashboard, and where."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from streamclf.core.errors import UsageError
from streamclf.core.options import option
from streamclf.core.standard_streams import is_terminal


@dataclass(frozen=True)
class ScreenOptions:
    """Whether and where there is a dashboard.

    Attributes:
        ui: Wanted, unwanted, or None for where there is a terminal.
        web: Port to serve it at; None for the terminal.
        web_host: Address to serve it at; None for this machine alone.
        web_allow_network: Whether that may be one that others reach.
        fresh: Whether to ignore the settings of the last session, and leave them to the next.
        given: Names of the options that the user gave.
        arguments: The command line, to run it anew for a browser.

    Raises:
        UsageError: What is asked for does not go together.
    """

    panel: ClassVar[str] = "Screen"

    ui: bool | None = option(
        None,
        "--ui/--no-ui",
        help="Show the dashboard, or not; on a terminal listen shows it, file only if asked.",
    )
    web: int | None = option(
        None, "--web", metavar="[PORT]", help="Show the dashboard in a browser on this machine."
    )
    web_host: str | None = option(
        None, "--web-host", metavar="ADDRESS", help="Address for --web instead of 127.0.0.1."
    )
    web_allow_network: bool = option(
        False, "--web-allow-network", help="Let others reach --web; there is no password."
    )
    fresh: bool = option(
        False,
        "--fresh",
        help="Begin without the last session's settings, and leave them as they are.",
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
            UsageError: It was asked for, and there is no terminal for it.
        """
        lacking = _lacking()
        if self.ui and lacking:
            raise UsageError(f"--ui {lacking}; --web shows the dashboard in a browser")
        return self.ui if self.ui is not None else by_default and not lacking


def _lacking() -> str:
    """What the dashboard needs and does not find here; empty if it can be shown."""
    # textual-serve runs the program without a terminal, and says so by this variable.
    if "TEXTUAL_DRIVER" in os.environ:
        return ""
    if not all(is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return "needs a terminal"
    kind = os.environ.get("TERM", "")
    if kind in ("dumb", "unknown"):
        return f"needs a terminal that can move its cursor, TERM is {kind}"
    return ""
