"""Questions to the store from a page: a short connection each, in a thread of its own.

So the event loop waits for none. A question ends when nobody waits for its answer any more.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

from aiohttp import web

from streamclf.core.errors import StoreError, UsageError
from streamclf.store.database import (
    DamagedStoreError,
    connect,
    connect_to_read,
    is_damage,
    reason_of,
    transaction,
)
from streamclf.store.days import place_time
from streamclf.web.context import CONTEXT
from streamclf.web.places import PLACES
from streamclf.web.rendering import refuse
from streamclf.web.viewer import VIEWER

LONGEST_S = 60.0
"""Longest time for an answer."""
_STEPS = 50_000
"""Steps of SQLite, some milliseconds, after which it is asked whether to go on."""
Answer = TypeVar("Answer")
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


YOUNG_S = 10.0
"""Age in seconds up to which a store that cannot be read is one that is still being made."""


class StartingError(StoreError):
    """The store is not there yet, and this process is about to make it."""


def understands(handler: Handler) -> Handler:
    """Make a handler name the value that is wrong in an address, in place of an answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except UsageError as error:
            text = str(error)
            return refuse(request, 400, f"{text[:1].upper()}{text[1:]}.")

    return answer


def now() -> datetime:
    """Return the present, with an offset."""
    return datetime.now(UTC)


def place_now(store: sqlite3.Connection) -> datetime:
    """Return the present by the place's clock, without an offset."""
    return place_time(store, now())


async def ask(request: web.Request, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Ask the store.

    Args:
        request: The request that wants to know.
        question: Called in another thread with a connection that reads alone.

    Raises:
        StoreError: The store cannot be read.
        ConnectionError: Who asked has gone.
        web.HTTPServiceUnavailable: It takes too long.
    """
    deadline_s = math.inf

    def is_over() -> bool:
        return time.monotonic() > deadline_s or _has_gone(request)

    def read(connection: sqlite3.Connection) -> Answer:
        nonlocal deadline_s
        deadline_s = time.monotonic() + LONGEST_S
        connection.set_progress_handler(is_over, _STEPS)
        return question(connection)

    try:
        return await request.config_dict[PLACES].run(
            request[VIEWER].address, lambda: _run(request, read, connect_to_read)
        )
    except StoreError as error:
        if _has_gone(request):
            raise ConnectionResetError("who asked has gone") from error
        if time.monotonic() > deadline_s:
            raise web.HTTPServiceUnavailable(
                text=f"This takes longer than {LONGEST_S:g} s: ask for fewer days."
            ) from error
        raise


def _has_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def change(request: web.Request, step: Callable[[sqlite3.Connection, int], Answer]) -> Answer:
    """Change the store, all of it or nothing.

    Args:
        request: The request that wants it.
        step: Called in another thread with a connection in a transaction, and the present in
            microseconds since 1970-01-01 UTC.

    Raises:
        StoreError: The store cannot be written.
    """

    def write(connection: sqlite3.Connection) -> Answer:
        with transaction(connection):
            return step(connection, time.time_ns() // 1000)

    return await request.config_dict[PLACES].run(
        request[VIEWER].address, lambda: _run(request, write, connect)
    )


def _run(
    request: web.Request,
    question: Callable[[sqlite3.Connection], Answer],
    opened: Callable[..., sqlite3.Connection],
) -> Answer:
    context = request.config_dict[CONTEXT]
    path = context.store
    try:
        connection = opened(path)
    except DamagedStoreError:
        raise
    except StoreError as error:
        if context.hub is not None and _is_young(path):
            raise StartingError(f"{path}: is not there yet; try again") from error
        raise
    try:
        return question(connection)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise DamagedStoreError(path, reason_of(error)) from error
        raise StoreError(f"{path}: cannot be asked now: {reason_of(error)}; try again") from error
    finally:
        connection.close()


def _is_young(path: Path) -> bool:
    """Whether there is no store yet, or it has just been made."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return path.is_file() and (not status.st_size or time.time() - status.st_mtime < YOUNG_S)
