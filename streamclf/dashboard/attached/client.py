"""Client of the page's interface: a session, questions in JSON, and the stream of what sounds."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

from streamclf import __version__
from streamclf.core.errors import StreamclfError, UsageError
from streamclf.core.redaction import one_line
from streamclf.dashboard.attached.server_sent import ServerSent, read_events

DEFAULT_URL = "http://127.0.0.1:8787/"
TIMEOUT_S = 10.0
SILENT_S = 45.0
"""Seconds without a byte after which a stream is taken for lost; the page gives a sign in 15 s."""
RETRY_S = 2.0
STOP_S = 2.0
"""Seconds in which a thread ends that waits for nothing but its connection."""
MAX_BYTES = 64_000_000
"""Longest answer, or line of the stream, that is read."""
Json: TypeAlias = dict[str, Any]


class PageError(StreamclfError):
    """The page cannot be asked, or refuses."""


class PasswordError(PageError):
    """The page asks for a password, or for another one."""


class PageClient:
    """A client of one page. Each question has a connection of its own, in the caller's thread.

    Args:
        url: Address of the page.
        password: The page's password; None where it wants none, or nobody has told it.

    Raises:
        UsageError: The address is none.
    """

    def __init__(self, url: str = DEFAULT_URL, password: str | None = None) -> None:
        self.url, self._https, self._host, self._port, self._base = _split(url)
        self._password = password
        self._cookies: dict[str, str] = {}
        self._lock = threading.Lock()

    def needs_password(self) -> bool:
        """Whether the page asks for a password before it answers.

        Raises:
            PageError: There is no page that answers.
        """
        session = self._session()
        return bool(session["needs_password"]) and not session["logged_in"]

    def log_in(self, password: str) -> None:
        """Log in.

        Raises:
            PasswordError: It is not the password.
            PageError: The page cannot be asked.
        """
        token = str(self._session().get("csrf", ""))
        form = urlencode({"csrf": token, "password": password, "next": ""}).encode()
        status, _ = self._ask("POST", "/login", form, accept="text/html")
        if status == 429:
            raise PasswordError(
                f"{self.url}: too many wrong passwords: wait a minute, then try again"
            )
        if status == 401:
            raise PasswordError(
                f"{self.url}: this is not the page's password: try again, or set a new one by "
                "`streamclf serve --set-password`"
            )
        if status >= 400:
            raise PageError(f"{self.url}: the login was refused ({status}): try again")
        self._password = password

    def ask(self, path: str) -> Json:
        """Ask a question.

        Args:
            path: Below the address of the page, such as ``/api/health``.

        Raises:
            PasswordError: The page asks for a password.
            PageError: It cannot be asked, or refuses.
        """
        status, body = self._ask("GET", path)
        if status == 401 and self._log_in_again():
            status, body = self._ask("GET", path)
        return self._read(status, body)

    def order(self, path: str, order: Json) -> Json:
        """Have something done.

        Args:
            path: Below the address of the page.
            order: What to do, in JSON.

        Raises:
            PasswordError: The page asks for a password.
            PageError: It cannot be asked, or refuses.
        """
        body = json.dumps(order).encode()

        def post() -> tuple[int, bytes]:
            token = str(self._session().get("csrf", ""))
            extra = {"Content-Type": "application/json", "X-CSRF-Token": token}
            return self._ask("POST", path, body, extra=extra)

        status, answer = post()
        if status == 401 and self._log_in_again():
            status, answer = post()
        return self._read(status, answer)

    def fetch(self, path: str) -> bytes:
        """Fetch a file.

        Args:
            path: Below the address of the page.

        Raises:
            PasswordError: The page asks for a password.
            PageError: It cannot be asked, or refuses.
        """
        status, body = self._ask("GET", path, accept="application/json, */*")
        if status == 401 and self._log_in_again():
            status, body = self._ask("GET", path, accept="application/json, */*")
        if status != 200:
            self._read(status, body)
            raise PageError(f"{self.url}: this is no page of streamclf: look at its address")
        return body

    def stream(self, seen: str, stopped: Stop) -> Iterator[ServerSent]:
        """Yield what happens, from a place in the stream on, until the stream breaks off.

        Args:
            seen: Place up to which everything is known; empty for none.
            stopped: Ends the stream.

        Raises:
            PasswordError: The page asks for a password.
            PageError: It cannot be asked, or the stream breaks off.
        """
        connection = self._connect(SILENT_S)
        try:
            connection.connect()
            stopped.use(connection.sock)
            extra = {"Last-Event-ID": seen} if seen else {}
            answer = self._send(connection, "GET", "/api/live", None, "text/event-stream", extra)
            if answer.status == 401 and self._log_in_again():
                raise PageError(f"{self.url}: logged in again")
            if answer.status != 200:
                self._read(answer.status, answer.read(MAX_BYTES))
                raise PageError(f"{self.url}: this is no page of streamclf")
            yield from read_events(iter(lambda: answer.readline(MAX_BYTES), b""), seen)
            raise PageError(f"{self.url}: the stream has ended")
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        finally:
            connection.close()

    def _session(self) -> Json:
        session = self.ask("/api/session")
        if "needs_password" not in session:
            raise PageError(f"{self.url}: this is no page of streamclf: look at its address")
        return session

    def _log_in_again(self) -> bool:
        """Log in with the password that was right before, if there was one."""
        password, self._password = self._password, None
        if password is None:
            return False
        # One that is wrong by now is forgotten: many tries would shut this address out.
        self.log_in(password)
        return True

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        accept: str = "application/json",
        extra: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        connection = self._connect(TIMEOUT_S)
        try:
            answer = self._send(connection, method, path, body, accept, extra or {})
            return answer.status, answer.read(MAX_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._https:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout_s, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        accept: str,
        extra: dict[str, str],
    ) -> http.client.HTTPResponse:
        headers = {"Accept": accept, "User-Agent": f"streamclf/{__version__}", **extra}
        with self._lock:
            if self._cookies:
                pairs = (f"{name}={value}" for name, value in self._cookies.items())
                headers["Cookie"] = "; ".join(pairs)
        if body is not None:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection.request(method, f"{self._base}{path}", body, headers)
        answer = connection.getresponse()
        for text in answer.headers.get_all("Set-Cookie") or []:
            with suppress(CookieError), self._lock:
                cookies = SimpleCookie(text)
                self._cookies |= {name: each.value for name, each in cookies.items()}
        return answer

    def _read(self, status: int, body: bytes) -> Json:
        """Read an answer in JSON.

        Raises:
            PasswordError: The page asks for a password.
            PageError: It refuses, or this is no such page.
        """
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status == 401:
            raise PasswordError(f"{self.url}: the page asks for its password: attach anew")
        if not isinstance(answer, dict):
            raise PageError(f"{self.url}: this is no page of streamclf: look at its address")
        if status >= 400:
            reason = one_line(str(answer.get("error", f"status {status}")))
            raise PageError(f"{self.url}: {reason}")
        return answer

    def _lost(self, error: Exception) -> PageError:
        reason = "nothing came" if isinstance(error, TimeoutError) else _reason(error)
        return PageError(f"{self.url}: {reason}")


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing answers there"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(str(text))


class Stop:
    """Means to end a stream from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._socket: socket.socket | None = None

    @property
    def is_set(self) -> bool:
        """Whether the stream is to end."""
        return self._event.is_set()

    def use(self, opened: socket.socket) -> None:
        """Take the connection of the stream."""
        with self._lock:
            self._socket = opened
        if self.is_set:
            self.set()

    def set(self) -> None:
        """End the stream, also while it waits for a byte."""
        self._event.set()
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than until the end."""
        self._event.wait(seconds)


class Follower(threading.Thread):
    """Thread that follows the stream, and tries again for ever when it breaks off.

    Args:
        client: The page.
        on_event: Called with each event: its type and its data.
        on_loss: Called with the reason when the stream breaks off.
    """

    def __init__(
        self,
        client: PageClient,
        on_event: Callable[[str, Json], object],
        on_loss: Callable[[PageError], object],
    ) -> None:
        super().__init__(name="page-follower", daemon=True)
        self._client = client
        self._on_event = on_event
        self._on_loss = on_loss
        self._stop_following = Stop()

    def run(self) -> None:
        """Follow the stream."""
        stop, seen = self._stop_following, ""
        while not stop.is_set:
            try:
                for event in self._client.stream(seen, stop):
                    try:
                        data = json.loads(event.data)
                    except ValueError:
                        continue
                    if isinstance(data, dict):
                        self._on_event(event.kind, data)
                    seen = event.id
            except PageError as error:
                if not stop.is_set:
                    self._on_loss(error)
            stop.wait(RETRY_S)

    def stop(self) -> None:
        """End the thread."""
        self._stop_following.set()
        if self.is_alive():
            self.join(STOP_S)


def _split(url: str) -> tuple[str, bool, str, int, str]:
    """Split an address: the whole, whether HTTPS, host, port, and path without a last slash.

    Raises:
        UsageError: It is none.
    """
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "the address holds a password, which other users of this machine can read: leave it "
            "out, and set STREAMCLF_PASSWORD or type it when asked"
        )
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise UsageError(
            f"{one_line(url[:80])}: must be the address of a page, such as {DEFAULT_URL}"
        )
    https = parts.scheme == "https"
    base = parts.path.rstrip("/")
    shown = f"{parts.scheme}://{parts.netloc}{base}/"
    return shown, https, host, port or (443 if https else 80), base
