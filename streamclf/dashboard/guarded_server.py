"""textual-serve with a door: only pages of its own, at an address of its own, may drive it.

A page of any other site that is open in a browser on this machine could otherwise connect to the
dashboard's WebSocket (browsers send its ``Origin``, but do not refuse), or, by a name that it has
resolved to 127.0.0.1 ("DNS rebinding"), pass for the dashboard itself (the ``Host`` tells).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

from streamclf.core.redaction import one_line

_LOCAL = ("localhost", "127.0.0.1", "::1")
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_LINK = re.compile(r"<link\b[^>]*\bhref\s*=\s*[\"']https?://[^>]*>", re.IGNORECASE)
_SHOWN = 100
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:; "
    "frame-ancestors 'none'"
)
"""The page loads nothing from elsewhere, and no page of others can hold it in a frame."""


class Addresses:
    """What a browser may call the dashboard: ``Host`` headers.

    Args:
        host: The address that is served.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        name = socket.gethostname().lower()
        short = name.partition(".")[0]
        self._every = host in _EVERY_ADDRESS
        own = {name, short, f"{short}.local"} if self._every else {host.lower()}
        self._names = {*_LOCAL, *own}

    def allow(self, host: str) -> bool:
        """Whether a ``Host`` header names this dashboard."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        if parts.netloc != host or "@" in host or port != self.port:
            return False
        # A name may be made to lead here by those who own it; an address cannot.
        return name in self._names or (self._every and _is_address(name))

    @property
    def url(self) -> str:
        """Where to open it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class GuardedServer(Server):
    """The server, with both headers checked, and a page that loads nothing from elsewhere.

    Args:
        command: Run anew for every page.
        addresses: Where it is served.
        title: The page's.
    """

    def __init__(self, command: str, addresses: Addresses, title: str) -> None:
        super().__init__(
            command, addresses.host, addresses.port, title=title, public_url=addresses.url
        )
        self._addresses = addresses

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._check)
        return app

    @web.middleware
    async def _check(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if not self._addresses.allow(host):
            return self._refuse("Host", host)
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return self._refuse("Origin", origin)
        return await handler(request)

    def _refuse(self, header: str, value: str) -> web.Response:
        said = one_line(value[:_SHOWN]) or "missing"
        text = f"{header} is {said}, not the dashboard's own: open {self._addresses.url}\n"
        return web.Response(status=403, text=text)

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page, with the address by which it was asked for in its links."""
        # Read below before anything else can run.
        self.public_url = f"http://{request.headers['Host']}"
        page = await super().handle_index(request)
        assert isinstance(page, web.Response)
        assert page.text is not None
        own = f"http://{request.headers['Host']}/"
        page.text = _LINK.sub(lambda found: found[0] if own in found[0] else "", page.text)
        page.headers["Content-Security-Policy"] = _POLICY
        return page


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
