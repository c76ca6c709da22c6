"""What tests of the page share: a real server, and requests as browsers send them."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from live_runs import PATIENCE_S

from streamclf.web.context import WebContext
from streamclf.web.keys import set_password
from streamclf.web.options import PageOptions
from streamclf.web.server import WebServer

PASSWORD = "correct horse battery"
PAGE = "text/html,application/xhtml+xml"


@dataclass
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Browser:
    """A browser that knows its cookies, and sends what browsers send.

    Args:
        server: The server.
        host: Name by which the page is asked for; that of the server by default.
        headers: Further headers of each request.
    """

    def __init__(self, server: WebServer, host: str | None = None, **headers: str) -> None:
        self.port = server.port
        self.host = host or f"127.0.0.1:{server.port}"
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []

    def ask(
        self, path: str = "/login", method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a request; ``_`` in a header's name stands for ``-``; empty ones are left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        sent = {"Host": self.host, "Accept": PAGE, **self.headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        sent |= {key.replace("_", "-"): value for key, value in headers.items()}
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for key, value in sent.items():
                if value:
                    connection.putheader(key, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            found = connection.getresponse()
            answer = Answer(found.status, found.headers, found.read())
        finally:
            connection.close()
        self.set_cookies = found.headers.get_all("Set-Cookie") or []
        for text in self.set_cookies:
            for key, morsel in SimpleCookie(text).items():
                self.cookies[key] = morsel.value
        return answer

    def token(self, path: str = "/login") -> str:
        """The token in a page's form."""
        found = re.search(r'name="csrf" value="(\w+)"', self.ask(path).text)
        assert found
        return found[1]

    def post(self, path: str, token: str | None = None, **fields: str) -> Answer:
        """Send a form, with the token that its page holds."""
        fields = {"csrf": self.session()["csrf"] if token is None else token, **fields}
        return self.ask(
            path, "POST", urlencode(fields).encode(),
            Content_Type="application/x-www-form-urlencoded", Origin=f"http://{self.host}",
        )  # fmt: skip

    def session(self) -> dict:
        """What the page says of the session."""
        import json

        return json.loads(self.ask("/api/session").text)

    def log_in(self, password: str = PASSWORD, following: str = "") -> Answer:
        return self.post("/login", password=password, next=following)


Serve = Callable[..., WebServer]


def make_context(folder: Path, *, password: str | None = None, **options: object) -> WebContext:
    """What the pages of a test share."""
    keys = folder / "page.json"
    if password is not None:
        set_password(keys, password)
    return WebContext(folder / "store.db", PageOptions(port=0, **options), keys)
