"""Options of the page: where it is, and who may see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from streamclf.core.declare_option import option
from streamclf.core.errors import UsageError

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8787
HIGHEST_PORT = 65_535


@dataclass(frozen=True)
class PageOptions:
    """Where the page is, and who may see it.

    Attributes:
        port: Its port; 0 for no page.
        host: Its address.
        base_path: Path under which all its pages stand, with ``/`` in front; empty for none.
        proxies: Addresses or networks of the proxies whose forwarded headers are believed.
        public_url: URL under which people outside find it; None if there is none.
        metrics_token_file: File of the token by which a program may read its metrics where it has a
            password; None for none.

    Raises:
        UsageError: An option makes no sense.
    """

    panel: ClassVar[str] = "Page"

    port: int = option(
        DEFAULT_PORT, "--port", metavar="PORT", help="Port of the page; 0 for no page."
    )
    host: str = option(
        LOOPBACK,
        "--host",
        metavar="ADDRESS",
        help="Address of the page; any other than this machine's own needs a password.",
    )
    base_path: str = option(
        "", "--base-path", metavar="PATH", help="Path under which the page stands, such as /sounds."
    )
    proxies: tuple[str, ...] = option(
        (),
        "--proxy",
        metavar="ADDRESS",
        help="Address or network of a proxy in front of the page; may be repeated.",
    )
    public_url: str | None = option(
        None, "--public-url", metavar="URL", help="URL by which people outside find the page."
    )
    metrics_token_file: Path | None = option(
        None,
        "--metrics-token-file",
        metavar="FILE",
        help="File of a token by which Prometheus may read /metrics without the page's password.",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.port <= HIGHEST_PORT:
            raise UsageError(
                f"--port {self.port}: must be from 1 to {HIGHEST_PORT}, or 0 for no page"
            )
        if not self.host.strip():
            raise UsageError(f"--host: is empty: name an address, or leave it out for {LOOPBACK}")
        object.__setattr__(self, "base_path", _checked_path(self.base_path))
        for proxy in self.proxies:
            _check_network(proxy)
        if self.public_url is not None:
            _check_url(self.public_url)


def _checked_path(path: str) -> str:
    """Return a path with ``/`` in front and none at its end; empty for the root.

    Raises:
        UsageError: It is no plain path.
    """
    parts = [part for part in path.split("/") if part]
    plain = all(
        part not in (".", "..")
        and part.isascii()
        and part.replace("-", "").replace("_", "").isalnum()
        for part in parts
    )
    if not plain:
        raise UsageError(
            f"--base-path {path}: must be of letters, digits, - and _, such as /sounds"
        )
    return "".join(f"/{part}" for part in parts)


def _check_network(proxy: str) -> None:
    import ipaddress  # which few need

    try:
        ipaddress.ip_network(proxy, strict=False)
    except ValueError as error:
        raise UsageError(
            f"--proxy {proxy}: must be an address such as 192.168.1.5, or a network such as "
            "172.30.32.0/23"
        ) from error


def _check_url(url: str) -> None:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        fine = fine and "@" not in parts.netloc
    except ValueError:
        fine = False
    if not fine:
        raise UsageError(f"--public-url {url}: must be such as https://sounds.example")
