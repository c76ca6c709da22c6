"""The dashboard in a browser: textual-serve runs the program anew for every visitor."""

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

LOCAL = "127.0.0.1"
WIDTH = 10_000
"""Letters in a line that is broken nowhere else: a broken password could not be masked."""
WARNING = (
    "warning: {host} can be reached from the network, and there is no password: whoever opens "
    "the page hears the microphone's sounds named and may write files here. Better leave it at "
    "127.0.0.1 and come to it by ssh -L {port}:127.0.0.1:{port}, which asks for a password or a key"
)


def check_address(host: str | None, port: int, *, allowed: bool) -> str:
    """The address to serve at.

    Raises:
        UsageError: It is open to the network, and that was not allowed.
    """
    if not 1 <= port <= 65535:
        raise UsageError(f"--web {port}: must lie between 1 and 65535 (8787 is usual)")
    host = host or LOCAL
    if is_local(host):
        return host
    if not allowed:
        raise UsageError(
            f"--web-host {host}: would open the dashboard to the network without a password; "
            "add --web-allow-network to do so all the same"
        )
    say(WARNING.format(host=host, port=port))
    return host


def is_local(host: str) -> bool:
    """Whether only this machine can connect."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(arguments: list[str], host: str, port: int) -> int:
    """Serve a command line of streamclf's until interrupted."""
    from rich.console import Console

    from streamclf.dashboard.guarded_server import Addresses, GuardedServer

    own = [sys.executable, "-m", "streamclf", *without_web(arguments), "--ui"]
    addresses = Addresses(host, port)
    say(f"the dashboard is at {addresses.url}; Ctrl-C ends")
    server = GuardedServer(command_line(own, windows=os.name == "nt"), addresses, "streamclf")
    # It shows the command that it serves, and errors with all variables: whole lines, to be masked.
    server.console = Console(file=cast(IO[str], _Masked()), width=WIDTH)
    before = dict(os.environ)
    os.environ.update(child_python.environment())  # textual-serve hands it on
    try:
        server.serve()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return 130


def command_line(arguments: list[str], *, windows: bool) -> str:
    """A line that the system's shell takes apart into these arguments.

    Args:
        arguments: The program and what it is given.
        windows: Whether the shell is cmd.exe; it puts variables in place of ``%NAME%`` all the
            same, which nothing prevents.
    """
    return " ".join(map(_quote_for_cmd, arguments)) if windows else shlex.join(arguments)


def _quote_for_cmd(argument: str) -> str:
    quoted = subprocess.list2cmdline([argument])
    # Programs do not need these quoted, but cmd.exe would obey them.
    return f'"{quoted}"' if quoted == argument and re.search(r"[&|<>^()%!,;=]", quoted) else quoted


class _Masked(io.TextIOBase):
    """Standard error, without passwords."""

    def write(self, text: str) -> int:
        return sys.stderr.write(mask_text(text))

    def flush(self) -> None:
        sys.stderr.flush()


def without_web(arguments: list[str]) -> list[str]:
    """The command line without what says how to serve it."""
    kept, skip = [], False
    for argument in arguments:
        name, has_value, _ = argument.partition("=")
        if skip or name in ("--web", "--web-host", "--web-allow-network", "--ui", "--no-ui"):
            skip = not skip and not has_value and name in ("--web", "--web-host")
            continue
        kept.append(argument)
    return kept
