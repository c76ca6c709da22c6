"""The page as the commands open it; aiohttp is imported only where there is one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamclf.core.errors import OK, StoreError, UsageError
from streamclf.core.standard_streams import is_terminal
from streamclf.runs.console import say
from streamclf.store.database import default_store
from streamclf.web.options import PageOptions

if TYPE_CHECKING:
    from streamclf.web.hub import LiveHub

NO_PAGE = PageOptions(port=0)
"""Options of a run without a page."""


@contextmanager
def open_page(
    options: PageOptions,
    store: Path | None,
    keys: Path | None,
    hub: LiveHub | None,
    health: Callable[[], dict[str, Any]],
) -> Iterator[None]:
    """Serve the page.

    Args:
        options: Where, and to whom; with port 0 there is no page.
        store: The store that the page asks; there is one where there is a page.
        keys: File of the password.
        hub: What sounds now.
        health: Describes how the process fares.

    Raises:
        UsageError: The page needs a password that it has not, or its port is taken.
        StoreError: The file of the password cannot be read.
    """
    if not options.port or store is None:
        yield
        return
    from streamclf.web.context import WebContext
    from streamclf.web.server import WebServer

    with WebServer(WebContext(store, options, keys, hub, health)) as server:
        say(f"the page is at {server.url}")
        yield


def make_hub(options: PageOptions) -> LiveHub | None:
    """Make what hands on what sounds now; None where there is no page."""
    if not options.port:
        return None
    from streamclf.web.hub import LiveHub

    return LiveHub()


def check_page(options: PageOptions, keys: Path | None) -> None:
    """Check whether the page may be shown to whoever can reach it; opens and makes nothing.

    Raises:
        UsageError: It needs a password.
        StoreError: The file of the password cannot be read.
    """
    if not options.port:
        return
    from streamclf.web.security import check_access

    check_access(options, keys if keys is not None and keys.exists() else None)


@contextmanager
def store_of_page(store: Path | None) -> Iterator[tuple[Path, Path]]:
    """Find the store of a page: that of the run, or one that lasts as long as the run.

    Args:
        store: The store of the run.

    Yields:
        The store, and the file of the password.
    """
    if store is not None:
        yield store, keys_of_page(store)
        return
    try:
        keys: Path | None = keys_of_page(default_store())
    except StoreError:  # nobody without a home has set a password
        keys = None
    with ExitStack() as stack:
        import tempfile

        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="streamclf-page-"))
        place = Path(folder)
        yield place / "heard.db", keys or place / "page.json"


def keys_of_page(store: Path) -> Path:
    """Path of the file that keeps the password of the page of a store, beside the store."""
    real = store.resolve()
    return real.with_name(f"{real.name}-page.json")


def set_page_password(store: Path) -> int:
    """Ask for a password, and set it. Returns the exit code.

    Raises:
        UsageError: It is too short, or was typed differently the second time.
        StoreError: The file cannot be written.
    """
    from streamclf.web.keys import set_password

    path = keys_of_page(store)
    set_password(path, _ask_password())
    say(f"the page has a new password, which counts at once; {path} keeps it")
    return OK


def _ask_password() -> str:
    if not is_terminal(sys.stdin):
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    from getpass import getpass

    password = getpass("Password of the page: ")
    if getpass("The same again: ") != password:
        raise UsageError("the two passwords differ: try again")
    return password
