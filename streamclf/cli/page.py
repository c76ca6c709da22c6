"""The page as the commands open it; aiohttp is imported only where there is one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamclf.core.errors import OK, StoreError, UsageError
from streamclf.core.standard_streams import is_terminal
from streamclf.runs.console import say
from streamclf.store.database import default_store
from streamclf.web.options import PageOptions

if TYPE_CHECKING:
    from streamclf.model.options import ModelOptions
    from streamclf.notify.rules import Rule
    from streamclf.runs.figures import ProcessFigures
    from streamclf.web.hub import LiveHub

NO_PAGE = PageOptions(port=0)
"""Options of a run without a page."""


@dataclass(frozen=True)
class Told:
    """What a page is told of the process, in answer to a call.

    Attributes:
        health: Describes how the process fares.
        figures: Figures of the process.
        is_alive: Whether all that listens gives signs of life.
        models: Tells the models that listen, which the page may teach; none for no teaching.
        rules: Tells the rules of the settings, which the page may try.
    """

    health: Callable[[], dict[str, Any]]
    figures: Callable[[], ProcessFigures]
    is_alive: Callable[[], bool]
    models: Callable[[], Sequence[ModelOptions]] = tuple
    rules: Callable[[], Sequence[Rule]] = tuple


@contextmanager
def open_page(
    options: PageOptions,
    store: Path | None,
    keys: Path | None,
    hub: LiveHub | None,
    told: Told,
) -> Iterator[Callable[[], None]]:
    """Serve the page.

    Args:
        options: Where, and to whom; with port 0 there is no page.
        store: The store that the page asks; there is one where there is a page.
        keys: File of the password.
        hub: What sounds now.
        told: What the page is told of the process.

    Yields:
        What says where the page is; to be called once nothing can keep the run from beginning.

    Raises:
        UsageError: The page needs a password that it has not, or its port is taken.
        StoreError: The file of the password cannot be read.
    """
    if not options.port or store is None:
        yield lambda: None
        return
    from streamclf.web.context import WebContext
    from streamclf.web.server import WebServer

    context = WebContext(
        store,
        options,
        keys,
        hub,
        told.health,
        figures=told.figures,
        is_alive=told.is_alive,
        models=told.models,
        rules=told.rules,
    )
    with WebServer(context) as server:
        yield lambda: say(f"the page is at {server.url}")


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
