"""Places for questions to the store: few at once, and fewer for one viewer.

So whoever asks for a year again and again holds up nobody else, and fills no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web

AT_ONCE = 3
"""Questions that are answered at once."""
AT_ONCE_OF_ONE = 2
"""Those of them that one viewer may have asked."""
WAIT_S = 60.0
"""Longest wait for a place."""
_Result = TypeVar("_Result")


@dataclass
class _Own:
    """Places of one viewer, and how many questions have one or wait for one."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE_OF_ONE))
    n_questions: int = 0


class Places:
    """Places of an application."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "streamclf-page-store")
        self._all = asyncio.Semaphore(AT_ONCE)
        self._own: dict[str, _Own] = {}

    async def run(self, address: str, question: Callable[[], _Result]) -> _Result:
        """Run a question in a thread, once there is a place for it.

        Args:
            address: Who asks.
            question: What is run.

        Raises:
            web.HTTPServiceUnavailable: There was no place for too long.
        """
        async with self._place(address):
            return await asyncio.get_running_loop().run_in_executor(self._threads, question)

    async def close(self, app: web.Application | None = None) -> None:
        """Begin no further question; those that go on end with the connection of who asked."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def _place(self, address: str) -> AsyncIterator[None]:
        own = self._own.setdefault(address, _Own())
        own.n_questions += 1
        try:
            async with asyncio.timeout(WAIT_S) as wait, own.places, self._all:
                wait.reschedule(None)
                yield
        except TimeoutError as error:
            if not wait.expired():
                raise
            raise web.HTTPServiceUnavailable(
                text="Too many questions are being answered: try again in a minute."
            ) from error
        finally:
            own.n_questions -= 1
            if not own.n_questions:
                del self._own[address]


PLACES: web.AppKey[Places] = web.AppKey("places", Places)
"""Key of the places in the application."""
