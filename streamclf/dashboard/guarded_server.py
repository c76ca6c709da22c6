"""textual-serve that accepts requests of its own page only.

Without this check, any other web page in a browser on this machine could control the dashboard. It
could connect to the dashboard's WebSocket: browsers send the page's ``Origin`` header, but leave it
to the server to refuse. Or it could resolve its own name to 127.0.0.1 ("DNS rebinding"): the
``Host`` header then holds that name.
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
"""The page loads nothing from other hosts, and no other page can embed it in a frame."""


class AllowedHosts:
    """The ``Host`` headers by which a browser may reach the dashboard.

    Args:
        host: Address at which the dashboard is served.
        port: Port at which it is served.
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
        # The owner of a name can make it resolve to this machine. An address has no such owner.
        return name in self._names or (self._every and _is_address(name))

    @property
    def url(self) -> str:
        """URL of the dashboard."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class GuardedServer(Server):
    """A server that checks both headers, and whose page loads nothing from other hosts.

    Args:
        command: Command line that is run once for every page.
        allowed_hosts: Address of the server, and the names by which it may be reached.
        title: Title of the page.
    """

    def __init__(self, command: str, allowed_hosts: AllowedHosts, title: str) -> None:
        super().__init__(
            command,
            allowed_hosts.host,
            allowed_hosts.port,
            title=title,
            public_url=allowed_hosts.url,
        )
        self._allowed_hosts = allowed_hosts

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
        if not self._allowed_hosts.allow(host):
            return self._refuse("Host", host)
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return self._refuse("Origin", origin)
        return await handler(request)

    def _refuse(self, header: str, value: str) -> web.Response:
        shown = one_line(value[:_SHOWN]) or "missing"
        text = f"{header} is {shown}, not the dashboard's own: open {self._allowed_hosts.url}\n"
        return web.Response(status=403, text=text)

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """Serve the page, with links to the address by which it was requested."""
        # The base class reads this before another request can run.
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
