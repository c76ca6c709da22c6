"""The server of the pages: a thread of its own, so that audio never waits for a browser."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiohttp import web

from streamclf.core.errors import UsageError
from streamclf.web.app import build_app
from streamclf.web.broken_requests import RequestHandler
from streamclf.web.connections import Connections
from streamclf.web.context import WebContext
from streamclf.web.options import PageOptions
from streamclf.web.security import check_access
from streamclf.web.visitors_log import make_log

STOP_S = 0.2
"""Time in which answers that go on, such as event streams, may end by themselves."""
_JOIN_S = 3.0
_LINGER_S = 2.0
_BACKLOG = 128


class WebServer:
    """Serves the pages from `__enter__` to `__exit__`.

    Args:
        context: What all pages share.
        connections: Limits of connections; the usual ones by default.
        build: Makes the application; tests replace it.

    Attributes:
        port: Port at which it serves, once it is entered.
    """

    def __init__(
        self,
        context: WebContext,
        connections: Connections | None = None,
        build: Callable[[WebContext, Connections], web.Application] = build_app,
    ) -> None:
        self.port = context.options.port
        self._context = context
        # One without a single connection is false, and still the one to use.
        self._connections = Connections() if connections is None else connections
        self._build = build
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to serve.

        Raises:
            UsageError: The address is open to others and there is no password, or the port is
                taken.
            StoreError: The file of the password cannot be read.
        """
        check_access(self._context.options, self._context.keys)
        sockets = _bind(self._context.options)
        self.port = sockets[0].getsockname()[1]
        self._thread = threading.Thread(
            target=self._run, args=(sockets,), name="streamclf-page", daemon=True
        )
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all answers and connections."""
        if self._loop is not None and self._end is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._end.set)
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    @property
    def url(self) -> str:
        """URL of the pages."""
        options = self._context.options
        if options.public_url is not None:
            return options.public_url
        host = f"[{options.host}]" if ":" in options.host else options.host
        return f"http://{host}:{self.port}{options.base_path}/"

    def _run(self, sockets: list[socket.socket]) -> None:
        try:
            asyncio.run(self._serve(sockets))
        finally:
            self._ready.set()
            for each in sockets:
                each.close()

    async def _serve(self, sockets: list[socket.socket]) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        log = make_log()
        runner = web.AppRunner(
            self._build(self._context, self._connections),
            access_log=None,
            logger=log,
            handle_signals=False,
            shutdown_timeout=STOP_S,
        )
        await runner.setup()
        manager = runner.server
        assert manager is not None
        loop = self._loop

        def make() -> RequestHandler:
            return RequestHandler(
                manager,
                loop=loop,
                access_log=None,  # type: ignore[arg-type]  # which is what the runner hands on
                logger=log,
                lingering_time=_LINGER_S,
            )

        guarded = self._connections.guard(make)
        servers = [
            await self._loop.create_server(guarded, sock=each, backlog=_BACKLOG) for each in sockets
        ]
        self._ready.set()
        try:
            await self._end.wait()
        finally:
            for server in servers:
                server.close()
            await runner.cleanup()


def _bind(options: PageOptions) -> list[socket.socket]:
    """Open the sockets of an address.

    Raises:
        UsageError: The address is none of this machine's, or its port is taken.
    """
    place = f"--host {options.host}"
    try:
        found = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise UsageError(
            f"{place}: is unknown: name an address of this machine, or 127.0.0.1"
        ) from error
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(_listen(family, kind, protocol, address))
    except OSError as error:
        for each in sockets:
            each.close()
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"--port {options.port}: cannot be opened at {options.host}: {reason}: choose another "
            "--port, or 0 for no page"
        ) from error
    return sockets


def _listen(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows lets others take it otherwise
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made
