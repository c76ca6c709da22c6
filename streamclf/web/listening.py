"""Live listening: the sound of a source as an endless MP3, for those who know the password.

``/media/live.mp3?source=NAME`` plays in any browser or player. To listen in on a house is more than
to read what was heard there, so nobody may without a password, or where `privacy` is on.

Each answer begins at the present. iPhones first ask for the bytes 0 to 1; they get the same answer,
with the status 200, and then ask again without a range, as they do with internet radio.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from aiohttp import web

from streamclf.runs.console import say
from streamclf.web.connections import abort
from streamclf.web.context import WebContext
from streamclf.web.hub import LiveHub
from streamclf.web.live_sound import LiveSound
from streamclf.web.rendering import refuse
from streamclf.web.security import Gate

PATH = "/media/live.mp3"
MPEG = "audio/mpeg"
EVERY_S = 0.1
"""Seconds between two looks for new sound."""
STUCK_S = 10.0
"""Seconds that one write may take, before a listener who reads nothing any more is let go."""
MOST_LISTENERS = 24
SEND_BUFFER_BYTES = 32_768
"""What the system may hold of an answer that is not fetched: 1.4 s of sound."""
_HEADERS = {
    "Content-Type": MPEG,
    "Cache-Control": "no-store",
    "Accept-Ranges": "none",
    "X-Accel-Buffering": "no",  # a proxy is to pass on what it gets
}


def add_routes(app: web.Application, context: WebContext, gate: Gate) -> None:
    """Add the sound of all sources."""
    listening = app[LISTENING] = Listening(context.hub, gate)
    app.on_shutdown.append(listening.close)
    app.router.add_get(PATH, listening.play)


class Listening:
    """All who listen to a source at this moment.

    Args:
        hub: What sounds now; None where nothing is heard by this process.
        gate: The gate, which knows whether there is a password.

    Attributes:
        n_listeners: Number of listeners, of all sources.
    """

    def __init__(self, hub: LiveHub | None, gate: Gate) -> None:
        self.n_listeners = 0
        self._hub = hub if hub is not None else LiveHub()
        self._gate = gate
        self._closing = False
        self._tasks: dict[LiveSound, asyncio.Task[None]] = {}

    @property
    def is_allowed(self) -> bool:
        """Whether the page has a password, without which nobody listens."""
        return self._gate.keys.password is not None

    async def close(self, app: web.Application | None = None) -> None:
        """End all answers."""
        self._closing = True

    async def play(self, request: web.Request) -> web.StreamResponse:
        """Send the sound of a source, until the listener goes or may not listen any more."""
        name = request.query.get("source", "")
        sound = self._hub.sound(name)
        if not self.is_allowed:
            return refuse(request, 403, _UNPROTECTED)
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return refuse(request, 403, "Another page asks for this, and only this one may.")
        if sound is None:
            raise web.HTTPNotFound(text="There is no such source, or it is heard no more.")
        if not self._hub.may_be_heard(name):
            return refuse(request, 403, _PRIVATE)
        if self.n_listeners >= MOST_LISTENERS:
            text = f"{MOST_LISTENERS} listen already, the limit: end one of them."
            return refuse(request, 503, text)
        response = web.StreamResponse(headers=_HEADERS)
        response.force_close()  # no other request waits behind an endless answer
        if request.method == "HEAD":
            return response
        transport = request.transport
        _limit_buffer(transport)
        async with self._listen(sound):
            try:
                await response.prepare(request)
                async for data in self._follow(name, sound, transport):
                    async with asyncio.timeout(STUCK_S):
                        await response.write(data)
            except (ConnectionError, TimeoutError, _LeftBehindError):
                # Whatever is sent after this, the end of the answer included, would wait as well.
                if transport is not None:
                    abort(transport)
        return response

    async def _follow(
        self, name: str, sound: LiveSound, transport: asyncio.BaseTransport | None
    ) -> AsyncIterator[bytes]:
        """Yield the sound as it is made.

        Raises:
            _LeftBehindError: The listener is too slow, or may not listen any more.
        """
        place: int | None = None
        while not self._closing and self._hub.sound(name) is sound:
            allowed = self._hub.may_be_heard(name) and self.is_allowed
            if not allowed or self._tasks[sound].done():
                raise _LeftBehindError
            if transport is None or transport.is_closing():
                raise ConnectionResetError
            if place is None:
                place = sound.place()
            frames = sound.after(place)
            if frames is None:
                raise _LeftBehindError
            if frames:
                place += len(frames)
                yield b"".join(frames)
            await asyncio.sleep(EVERY_S)

    @contextlib.asynccontextmanager
    async def _listen(self, sound: LiveSound) -> AsyncIterator[None]:
        """Count a listener. The first one starts the encoder, and the last one ends it."""
        self.n_listeners += 1
        sound.enter()
        if sound not in self._tasks:
            self._tasks[sound] = asyncio.create_task(_make(sound))
        try:
            yield
        finally:
            self.n_listeners -= 1
            sound.leave()
            if not sound.n_listeners:
                self._tasks.pop(sound).cancel()


LISTENING: web.AppKey[Listening] = web.AppKey("listening", Listening)


class _LeftBehindError(Exception):
    """A listener is let go in the middle of an answer."""


async def _make(sound: LiveSound) -> None:
    try:
        while True:
            await asyncio.to_thread(sound.make)
            await asyncio.sleep(EVERY_S)
    except Exception as error:  # any error: it ends the answers, and nothing else
        say(f"error: the page: live sound: {type(error).__name__}: {error}")


def _limit_buffer(transport: asyncio.BaseTransport | None) -> None:
    """Keep the system from holding minutes of sound for a listener who does not fetch it."""
    taken = transport.get_extra_info("socket") if transport is not None else None
    if taken is not None:
        with contextlib.suppress(OSError):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


_UNPROTECTED = (
    "Only a page with a password lets anybody listen: set one by streamclf serve --set-password."
)
_PRIVATE = "Nobody listens to this source: its setting privacy keeps speech out of what is kept."
