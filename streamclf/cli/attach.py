"""The command `attach`: a running `serve` in this terminal."""

from __future__ import annotations

import os
import sys

from streamclf.core.errors import UsageError
from streamclf.core.standard_streams import is_terminal
from streamclf.dashboard.options import lacks_terminal

PASSWORD_VARIABLE = "STREAMCLF_PASSWORD"  # noqa: S105 - the variable's name


def attach(url: str, *, fresh: bool = False) -> int:
    """Show a running `serve` until the user quits. Returns the exit code.

    Raises:
        UsageError: The address is none, this is no terminal, or nobody tells the password.
        StreamclfError: There is no page that answers, or the screen failed.
    """
    from streamclf.dashboard.attached.client import PageClient

    client = PageClient(url)
    if lacking := lacks_terminal():
        raise UsageError(f"attach {lacking}; in a browser, {client.url} shows the same")
    if client.needs_password():
        client.log_in(_find_password(client.url))
    from streamclf.dashboard.launch import open_attached

    return open_attached(client, fresh=fresh)


def _find_password(url: str) -> str:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        return password
    if not is_terminal(sys.stdin):
        raise UsageError(
            f"{url}: asks for a password, and there is no terminal to ask on: set "
            f"{PASSWORD_VARIABLE}"
        )
    from getpass import getpass

    return getpass(f"Password of {url}: ")
