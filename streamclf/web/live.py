"""What sounds now, as server-sent events and as JSON.

``/api/live`` sends ``reset`` (everything as it is), then each ``began``, ``ended``, ``gap``,
``notice``, ``source`` and ``gone`` with an id. In between come, without an id, the ``pictures``
drawn so far, and a few times a second ``frames``: levels, sounds and new columns of all sources.
``troubles`` says, at first and whenever it changes, what somebody should look after beside the
sources, such as messages that nobody takes. A viewer who comes back with ``Last-Event-ID``, or with
``?after=ID``, gets what it missed and nothing twice. ``/api/live?of=health`` sends how the process
fares instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from streamclf.web.context import CONTEXT, WebContext
from streamclf.web.health_texts import health_texts, process_troubles
from streamclf.web.hub import LiveHub, server_sent
from streamclf.web.rendering import answer_json, refuse

FRAMES_PER_S = 5
HEALTH_EVERY_S = 5.0
HEARTBEAT_S = 15.0
"""Seconds after which viewers, and proxies between, are shown that the stream is alive."""
STUCK_S = 30.0
"""Seconds that one write may take, before a viewer who reads nothing any more is let go."""
MOST_VIEWERS = 100
_RETRY_MS = 2000
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy is not to gather events before it passes them on
}


class Broadcast:
    """Heartbeat of all viewers of an application: it beats while there are any.

    Args:
        hub: What sounds now.
        describe_health: Describes how the process fares.

    Attributes:
        frames: Levels, sounds and new columns of all sources as an event, made once for all.
        n_viewers: Number of viewers.
        closing: Whether the application ends.
    """

    def __init__(self, hub: LiveHub, describe_health: Callable[[], dict[str, Any]]) -> None:
        self.hub = hub
        self.frames = b""
        self.n_viewers = 0
        self.closing = False
        self._describe_health = describe_health
        self._health = self._troubles_event = b""
        self._troubles: list[str] = []
        self._health_at = -HEALTH_EVERY_S
        self._beat = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def viewing(self) -> AsyncIterator[None]:
        """Count a viewer, and beat meanwhile."""
        self.n_viewers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self.n_viewers -= 1
            if not self.n_viewers and self._task is not None:
                self._task.cancel()
                self._task, self.frames = None, b""  # old ones tell nobody how it is later

    async def beat(self) -> None:
        """Wait for the next beat, or for the end."""
        if not self.closing:
            await self._beat.wait()

    async def health(self) -> bytes:
        """How the process fares, as an event: the same bytes until it is described anew."""
        await self._look()
        return self._health

    async def troubles(self) -> list[str]:
        """What somebody should look after beside the sources, in sentences."""
        await self._look()
        return self._troubles

    async def troubles_event(self) -> bytes:
        """The same as an event: the same bytes until it changes."""
        await self._look()
        return self._troubles_event

    async def _look(self) -> None:
        """Have the process described anew, if that was long ago."""
        if time.monotonic() - self._health_at < HEALTH_EVERY_S:
            return
        self._health_at = time.monotonic()
        described = await asyncio.to_thread(self._describe_health)
        self._health = server_sent("health", health_texts(described))
        self._troubles = list(process_troubles(described))
        self._troubles_event = server_sent("troubles", {"texts": self._troubles})

    async def close(self, app: web.Application | None = None) -> None:
        """End all streams."""
        self.closing = True
        self._beat.set()

    async def _run(self) -> None:
        before: list[Any] | None = None
        while not self.closing:
            frames = self.hub.frames()
            if frames != before:
                before = frames
                now = round(time.time() * 1000)
                self.frames = server_sent("frames", {"now": now, "sources": frames})
            beat, self._beat = self._beat, asyncio.Event()
            beat.set()
            await asyncio.sleep(1 / FRAMES_PER_S)


BROADCAST: web.AppKey[Broadcast] = web.AppKey("broadcast", Broadcast)


def add_routes(app: web.Application, context: WebContext) -> None:
    """Add the stream of what sounds now, and the state of sources and process as JSON."""
    hub = context.hub if context.hub is not None else LiveHub()
    broadcast = app[BROADCAST] = Broadcast(hub, context.health)
    app.on_shutdown.append(broadcast.close)
    app.router.add_get("/api/live", stream_live)
    app.router.add_get("/api/health", show_health)
    app.router.add_get("/api/sources", show_sources)


async def show_health(request: web.Request) -> web.Response:
    """How the process and its sources fare."""
    health = await asyncio.to_thread(request.config_dict[CONTEXT].health)
    return answer_json(health, headers={"Cache-Control": "no-store"})


async def show_sources(request: web.Request) -> web.Response:
    """Level, sounds and open events of each source now."""
    snapshot = await asyncio.to_thread(request.app[BROADCAST].hub.snapshot)
    return answer_json(
        {key: snapshot[key] for key in ("now", "sources")}, headers={"Cache-Control": "no-store"}
    )


async def stream_live(request: web.Request) -> web.StreamResponse:
    """Send what sounds now, until the viewer goes or the application ends."""
    broadcast = request.app[BROADCAST]
    if broadcast.n_viewers >= MOST_VIEWERS:
        text = f"{MOST_VIEWERS} viewers look on already, the limit: close one of the pages."
        return refuse(request, 503, text)
    seen = request.headers.get("Last-Event-ID") or request.query.get("after") or ""
    send = _send_health if request.query.get("of") == "health" else _send_sounds
    response = web.StreamResponse(headers=_HEADERS)
    if request.method == "HEAD":  # which would have a place for ever, and get nothing
        return response
    async with broadcast.viewing():
        with contextlib.suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            await response.write(f"retry: {_RETRY_MS}\n\n".encode())
            await send(broadcast, _Viewer(request, response).write, seen)
    return response


class _Viewer:
    """A viewer, who is let go when it reads nothing any more."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._written_at = time.monotonic()

    async def write(self, data: bytes) -> None:
        """Write an event, or now and then a sign of life in place of nothing.

        Raises:
            ConnectionError: The viewer is gone.
            TimeoutError: It reads nothing any more.
        """
        if not data:
            if time.monotonic() - self._written_at < HEARTBEAT_S:
                return
            data = b"event: alive\ndata: {}\n\n"
        try:
            async with asyncio.timeout(STUCK_S):
                await self._response.write(data)
        except TimeoutError:
            # Whatever is sent after this, the end of the answer included, would wait as well.
            if self._request.transport is not None:
                self._request.transport.abort()
            raise
        self._written_at = time.monotonic()


async def _send_sounds(
    broadcast: Broadcast, write: Callable[[bytes], Awaitable[None]], seen: str
) -> None:
    hub = broadcast.hub
    frames, troubles, knows_pictures = b"", b"", False
    while not broadcast.closing:
        if seen != hub.newest_id:
            messages = hub.after(seen)
            if messages is None:
                snapshot = await asyncio.to_thread(hub.snapshot)
                seen = snapshot["id"]
                await write(server_sent("reset", snapshot, seen))
            elif messages:
                seen = messages[-1].id
                await write(b"".join(message.event for message in messages))
        if not knows_pictures:
            knows_pictures = True
            await write(server_sent("pictures", hub.pictures()))
        if (newest := await broadcast.troubles_event()) != troubles:
            troubles = newest
            await write(troubles)
        # Frames that came while a slow viewer read are dropped: the newest one counts.
        fresh = broadcast.frames if broadcast.frames is not frames else b""
        frames = broadcast.frames
        await write(fresh)
        await broadcast.beat()


async def _send_health(
    broadcast: Broadcast, write: Callable[[bytes], Awaitable[None]], seen: str
) -> None:
    told = b""
    while not broadcast.closing:
        health = await broadcast.health()
        await write(health if health is not told else b"")
        told = health
        await broadcast.beat()
