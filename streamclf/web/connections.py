"""Limits for connections, so that slow ones cannot hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

FIRST_REQUEST_S = 10.0
"""Time in which a new connection must have sent the whole header of its first request."""
IDLE_S = 120.0
"""Time in which an answer must be fetched, and the next request be there."""
MAX_CONNECTIONS = 256


@dataclass(eq=False)
class _Connection:
    transport: asyncio.BaseTransport
    since_s: float
    ends: asyncio.TimerHandle | None
    handled: int = 0


class Connections:
    """All open connections; those on which no request is being answered are closed in time.

    Where all places are taken, a new connection takes that of the one that has been idle longest.

    Args:
        first_request_s: See `FIRST_REQUEST_S`.
        idle_s: See `IDLE_S`.
        limit: Number of connections.
    """

    def __init__(
        self,
        *,
        first_request_s: float = FIRST_REQUEST_S,
        idle_s: float = IDLE_S,
        limit: int = MAX_CONNECTIONS,
    ) -> None:
        self._first_request_s = first_request_s
        self._idle_s = idle_s
        self._limit = limit
        self._open: dict[asyncio.BaseTransport, _Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def guard(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return what makes a protocol with limits, for `asyncio.loop.create_server`."""
        return lambda: _Guarded(make(), self)

    @contextmanager
    def handling(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Context in which a request of a connection is answered: it may take its time."""
        connection = self._open.get(transport) if transport is not None else None
        if connection is None:  # it is not guarded, or was closed already
            yield
            return
        connection.handled += 1
        self._cancel(connection)
        try:
            yield
        finally:
            connection.handled -= 1
            if connection.transport in self._open and not connection.handled:
                self._wait(connection, self._idle_s)

    @contextmanager
    def waiting(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Context, within `handling`, in which a connection is to send more, and is idle so far."""
        connection = self._open.get(transport) if transport is not None else None
        if connection is None:
            yield
            return
        connection.handled -= 1
        if not connection.handled:
            self._wait(connection, self._idle_s)
        try:
            yield
        finally:
            connection.handled += 1
            self._cancel(connection)

    def add(self, transport: asyncio.BaseTransport) -> bool:
        """Note a new connection; returns whether there is a place for it."""
        if len(self._open) >= self._limit:
            idle = [each for each in self._open.values() if not each.handled]
            if not idle:
                return False
            self._close(min(idle, key=lambda each: each.since_s))
        connection = self._open[transport] = _Connection(transport, 0.0, None)
        self._wait(connection, self._first_request_s)
        return True

    def remove(self, transport: asyncio.BaseTransport) -> None:
        """Note that a connection was closed."""
        connection = self._open.pop(transport, None)
        if connection is not None:
            self._cancel(connection)

    def _wait(self, connection: _Connection, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        connection.since_s = loop.time()
        connection.ends = loop.call_later(seconds, self._close, connection)

    def _cancel(self, connection: _Connection) -> None:
        if connection.ends is not None:
            connection.ends.cancel()
            connection.ends = None

    def _close(self, connection: _Connection) -> None:
        self.remove(connection.transport)
        abort(connection.transport)


def abort(transport: asyncio.BaseTransport) -> None:
    """Close a connection without waiting for what it has not fetched."""
    if isinstance(transport, asyncio.Transport):
        transport.abort()


class _Guarded(asyncio.Protocol):
    """A protocol whose connection is noted."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._connections.add(transport):
            abort(transport)
            return
        self._transport = transport
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._connections.remove(self._transport)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
