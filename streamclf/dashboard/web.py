"""The dashboard in a browser: textual-serve runs the program once for every visitor."""

from __future__ import annotations

import io
import ipaddress
import os
import re
import shlex
import subprocess
import sys
from typing import IO, cast

from streamclf.core import child_python
from streamclf.core.errors import UsageError
from streamclf.core.redaction import mask_text
from streamclf.runs.console import say

LOOPBACK = "127.0.0.1"
LINE_WIDTH = 10_000
"""Characters in a line of the server's log. A password that is split over lines is not masked."""
NETWORK_WARNING = (
    "warning: {host} can be reached from the network, and there is no password: whoever opens "
    "the page hears the microphone's sounds named and may write files here. Better leave it at "
    "127.0.0.1 and come to it by ssh -L {port}:127.0.0.1:{port}, which asks for a password or a key"
)


def check_address(host: str | None, port: int, *, allowed: bool) -> str:
    """Check the address to serve at, and return it.

    Raises:
        UsageError: The port is out of range, or the address is open to the network and that was not
            allowed.
    """
    if not 1 <= port <= 65535:
        raise UsageError(f"--web {port}: must lie between 1 and 65535 (8787 is usual)")
    host = host or LOOPBACK
    if is_local(host):
        return host
    if not allowed:
        raise UsageError(
            f"--web-host {host}: would open the dashboard to the network without a password; "
            "add --web-allow-network to do so all the same"
        )
    say(NETWORK_WARNING.format(host=host, port=port))
    return host


def is_local(host: str) -> bool:
    """Whether only this machine can connect to the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(arguments: list[str], host: str, port: int) -> int:
    """Serve a command line of streamclf until interrupted; return the exit code."""
    from rich.console import Console

    from streamclf.dashboard.guarded_server import AllowedHosts, GuardedServer

    own = [sys.executable, "-m", "streamclf", *without_web(arguments), "--ui"]
    allowed_hosts = AllowedHosts(host, port)
    say(f"the dashboard is at {allowed_hosts.url}; Ctrl-C ends")
    server = GuardedServer(command_line(own, windows=os.name == "nt"), allowed_hosts, "streamclf")
    # The server prints its command, and errors with all variables. Passwords in them are masked.
    server.console = Console(file=cast(IO[str], _MaskedStderr()), width=LINE_WIDTH)
    before = dict(os.environ)
    os.environ.update(child_python.environment())  # textual-serve passes the environment on
    try:
        server.serve()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return 130


def command_line(arguments: list[str], *, windows: bool) -> str:
    """Quote arguments for the system's shell.

    Args:
        arguments: The program and its arguments.
        windows: Whether the shell is cmd.exe. It replaces ``%NAME%`` by the variable even within
            quotes, and nothing prevents that.
    """
    return " ".join(map(_quote_for_cmd, arguments)) if windows else shlex.join(arguments)


def _quote_for_cmd(argument: str) -> str:
    quoted = subprocess.list2cmdline([argument])
    # Programs do not need these characters quoted, but cmd.exe would interpret them.
    return f'"{quoted}"' if quoted == argument and re.search(r"[&|<>^()%!,;=]", quoted) else quoted


class _MaskedStderr(io.TextIOBase):
    """Standard error with passwords masked."""

    def write(self, text: str) -> int:
        return sys.stderr.write(mask_text(text))

    def flush(self) -> None:
        sys.stderr.flush()


def without_web(arguments: list[str]) -> list[str]:
    """The command line without the options that say how to serve it."""
    kept, skip = [], False
    for argument in arguments:
        name, has_value, _ = argument.partition("=")
        if skip or name in ("--web", "--web-host", "--web-allow-network", "--ui", "--no-ui"):
            skip = not skip and not has_value and name in ("--web", "--web-host")
            continue
        kept.append(argument)
    return kept
