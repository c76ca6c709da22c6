"""Who asks, and by which name: the headers of a request, believed as far as they can be."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from streamclf.web.options import PageOptions

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
FORWARDED = (
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix",
    "X-Ingress-Path", "X-Real-IP",
)  # fmt: skip
"""Headers by which a proxy says for whom it asks."""
_PREFIX = re.compile(r"(/[\w.~-]+)+", re.ASCII)
_LOCAL_NAME = "localhost"


@dataclass(frozen=True)
class Viewer:
    """Who asks, and by which name.

    Attributes:
        address: Address of the browser, as far as a named proxy tells it.
        host: Name and port by which the browser knows the page.
        scheme: ``http`` or ``https``, as the browser sees it.
        prefix: Path under which the browser sees the page, without the base path.
        through_proxy: Whether a named proxy asks.
        through_ingress: Whether it shows the page in a frame of its own.
    """

    address: str
    host: str
    scheme: str
    prefix: str
    through_proxy: bool
    through_ingress: bool

    @property
    def origin(self) -> str:
        """Origin of the page itself, as browsers write it: without the port that is usual."""
        usual = ":443" if self.scheme == "https" else ":80"
        return f"{self.scheme}://{self.host.removesuffix(usual)}".lower()


VIEWER: web.RequestKey[Viewer] = web.RequestKey("viewer", Viewer)
"""Key, in a request, of who asks."""


def find_viewer(request: web.Request, options: PageOptions) -> Viewer:
    """Find who asks. What only a proxy may say is read where the proxy is a named one."""
    peer = _peer(request)
    host, scheme, prefix = request.headers.get("Host", ""), "http", ""
    through_proxy = _is_proxy(peer, options)
    ingress = False
    if through_proxy:
        n_proxies = 1
        for each in reversed(_said(request, "X-Forwarded-For")):
            if (address := read_address(each)) is None:
                break
            peer = str(address)
            if not _is_proxy(peer, options):
                break
            n_proxies += 1
        host = _said_first(request, "X-Forwarded-Host", n_proxies) or host
        said = _said_first(request, "X-Forwarded-Proto", n_proxies).lower()
        scheme = said if said in ("http", "https") else scheme
        ingress = "X-Ingress-Path" in request.headers
        said = (
            _said_first(request, "X-Ingress-Path", n_proxies)
            or _said_first(request, "X-Forwarded-Prefix", n_proxies)
        ).rstrip("/")
        prefix = said if _PREFIX.fullmatch(said) else ""
    return Viewer(peer, host, scheme, prefix, through_proxy, ingress)


def is_sent_elsewhere(request: web.Request, viewer: Viewer, options: PageOptions) -> bool:
    """Whether the request's first line names another page than its `Host` does."""
    if viewer.through_proxy:
        return False
    try:
        target = request.url.raw_authority
    except ValueError:
        return True
    return not may_name(replace(viewer, host=target), options)


def is_forwarded(request: web.Request) -> bool:
    """Whether a proxy, named or not, says that it asks for somebody else."""
    return any(header in request.headers for header in FORWARDED)


def may_name(viewer: Viewer, options: PageOptions) -> bool:
    """Whether the name by which a browser came is one of the page's own.

    The owner of any other name can let it lead to this machine, so that a page of theirs counts as
    a page of this machine ("DNS rebinding"). An address has no such owner.
    """
    if viewer.through_ingress:  # the proxy's own path holds a secret that no other page knows
        return True
    try:
        parts = urlsplit(f"//{viewer.host}")
        name = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if parts.netloc != viewer.host or "@" in viewer.host:
        return False
    if name in own_names(options):
        return True
    address = read_address(name)
    return address is not None and (address.is_loopback or not is_local(options.host))


@cache
def own_names(options: PageOptions) -> frozenset[str]:
    """Names by which the page is known."""
    names = {_LOCAL_NAME, options.host.lower()}
    if not is_local(options.host):
        own = socket.gethostname().lower()
        short = own.partition(".")[0]
        names |= {own, short, f"{short}.local"}
    if options.public_url is not None:
        names.add(urlsplit(options.public_url).hostname or "")
    return frozenset({*names, *map(_in_ascii, names)} - {""})


def _in_ascii(name: str) -> str:
    """The name as browsers send it: ``xn--mnchen-3ya.example`` for one with an umlaut."""
    try:
        return name.encode("idna").decode()
    except UnicodeError:  # it is too long for any host
        return name


def is_local(host: str) -> bool:
    """Whether only this machine can connect to the address."""
    address = read_address(host)
    return address.is_loopback if address is not None else host.lower() == _LOCAL_NAME


def read_address(text: str) -> _Address | None:
    """Read an address, with or without brackets and a port; None if it is none."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _peer(request: web.Request) -> str:
    transport = request.transport
    name = transport.get_extra_info("peername") if transport is not None else None
    address = read_address(str(name[0]).partition("%")[0]) if name else None
    return str(address) if address is not None else "unknown"


def _is_proxy(address: str, options: PageOptions) -> bool:
    known = read_address(address)
    return known is not None and any(
        known in ipaddress.ip_network(proxy, strict=False) for proxy in options.proxies
    )


def _said(request: web.Request, header: str) -> list[str]:
    """All that proxies said by a header, the nearest one last, in one line or in several."""
    lines = request.headers.getall(header, [])
    return [part for line in lines for each in line.split(",") if (part := each.strip())]


def _said_first(request: web.Request, header: str, n_proxies: int) -> str:
    """What the farthest of the named proxies said; anybody may have said what is before that."""
    said = _said(request, header)
    return said[-min(n_proxies, len(said))] if said else ""
