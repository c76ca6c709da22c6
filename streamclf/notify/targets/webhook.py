"""Target that posts messages to an address on the web.

The body is the message as JSON (`streamclf.notify.message_json`). With a secret it is signed: the
header ``X-Streamclf-Signature`` is ``sha256=`` and the HMAC-SHA256, in hexadecimal, of the time in
``X-Streamclf-Timestamp`` (seconds since 1970), a full stop, and the body. A receiver that refuses
old times cannot be made to take a message twice, and ``X-Streamclf-Token`` tells it one that is
delivered again.

Redirects are not followed, because the message and its secrets were meant for this address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from streamclf import __version__
from streamclf.core.errors import UsageError
from streamclf.core.redaction import HIDDEN, one_line
from streamclf.notify.message_json import message_json
from streamclf.notify.messages import Message
from streamclf.notify.targets.base import DeliveryError, Target
from streamclf.notify.targets.options import TargetOptions, check_address
from streamclf.notify.targets.secrets import mask_secrets, read_lines, read_secret

USER_AGENT = f"streamclf/{__version__}"
LONGEST_ANSWER_BYTES = 65_536
"""Bytes of an answer that are read; nothing in it is used."""
MAX_RETRY_AFTER_S = 3600.0
"""Longest pause that a server may ask for."""
_MAY_SUCCEED = frozenset({401, 403, 404, 407, 408, 409, 410, 421, 423, 424, 425, 429})
"""Refusals, besides those from 500 on, that are tried again: the server or somebody who mends its
settings may take the message later. Others are about the message itself."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = frozenset({"host", "content-length", "content-type", "transfer-encoding"})


@dataclass(frozen=True)
class Address:
    """An address, taken apart.

    Attributes:
        secure: Whether it is ``https``.
        host: Its host.
        port: Its port; None for the usual one.
        path: Path and query, as the request names them.
        user: User and password before the host, decoded; empty for none.
    """

    secure: bool
    host: str
    port: int | None
    path: str
    user: str

    @classmethod
    def of(cls, address: str) -> Self:
        """Take an address apart, which `check_address` has found to be one."""
        parts = urlsplit(address)
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(
            parts.scheme == "https", parts.hostname or "", parts.port, path,
            "" if parts.username is None else user,
        )  # fmt: skip

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        # Paths of webhooks are secrets, so nothing after the host is shown.
        rest = "" if self.path == "/" else f"/{HIDDEN}"
        return f"{'https' if self.secure else 'http'}://{host}{port}{rest}"


class WebhookTarget(Target):
    """A webhook.

    Args:
        options: Its options.
        now: Returns seconds since 1970, for signatures.

    Raises:
        UsageError: A file or a variable of the options cannot be read, or holds nothing of use.
    """

    def __init__(self, options: TargetOptions, now: Callable[[], float] = time.time) -> None:
        self.name = options.name
        said = read_secret("webhook", options.webhook, options.webhook_file, options.webhook_env)
        assert said is not None
        self._refuse_address(options, said)
        self._address = Address.of(said)
        self.description = str(self._address)
        self._timeout_s = options.timeout_s
        self._now = now
        self._token = read_secret("token", None, options.token_file, options.token_env)
        self._secret = read_secret("secret", None, options.secret_file, options.secret_env)
        self._headers = _read_headers(options.headers_file)
        if self._token is not None and not _is_header_value(self._token):
            where = f"token-file {options.token_file}"
            if options.token_env is not None:
                where = f"token-env {options.token_env}"
            raise UsageError(f"{where}: must hold one line of plain characters")
        self._context = _open_context(options.ca_file) if self._address.secure else None
        query = self._address.path.strip("/")
        self._secrets = [self._token, self._secret, self._address.user, query]
        self._secrets += [value for _, value in self._headers]

    @staticmethod
    def _refuse_address(options: TargetOptions, said: str) -> None:
        if options.webhook is None:
            where = f"webhook-{'file' if options.webhook_file is not None else 'env'}"
            try:
                check_address(said, where)
            except UsageError:
                raise UsageError(
                    f"{where} {options.webhook_file or options.webhook_env}: must hold an address "
                    "like https://example.org/heard"
                ) from None

    def send(self, message: Message, clip: Path | None) -> None:
        """Post a message; see `Target.send`."""
        body = message_json(message)
        try:
            status, reason, after = self._post(body, self._make_headers(message, body))
        except (OSError, http.client.HTTPException, ValueError) as error:
            told = _describe(error, self._timeout_s)
            raise DeliveryError(mask_secrets(told, self._secrets)) from error
        if not 200 <= status < 300:
            raise self._refusal(status, reason, after)

    def _refusal(self, status: int, reason: str, after: str | None) -> DeliveryError:
        told = f"it answers {status} {one_line(reason)}".strip()[:200]
        if 300 <= status < 400:
            told += ", which leads elsewhere: name the address that it leads to"
        lasting = 400 <= status < 500 and status not in _MAY_SUCCEED
        return DeliveryError(
            mask_secrets(told, self._secrets), lasting=lasting, after_s=_read_retry_after(after)
        )

    def _make_headers(self, message: Message, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "X-Streamclf-Token": message.token,
            "Connection": "close",
        }
        if self._address.user:
            packed = base64.b64encode(self._address.user.encode()).decode()
            headers["Authorization"] = f"Basic {packed}"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._secret is not None:
            at = str(int(self._now()))
            headers["X-Streamclf-Timestamp"] = at
            headers["X-Streamclf-Signature"] = f"sha256={sign(self._secret, at, body)}"
        given = {name.lower() for name, _ in self._headers}
        own = {name: value for name, value in headers.items() if name.lower() not in given}
        return own | dict(self._headers)

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str, str | None]:
        """Post a body within the time limit.

        Returns:
            Status and reason of the answer, and how long it asks to wait.
        """
        address = self._address
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(
                address.host, address.port, timeout=self._timeout_s, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(
                address.host, address.port, timeout=self._timeout_s
            )
        with _Deadline(self._timeout_s) as deadline:
            try:
                connection.connect()
                deadline.watch(connection.sock)
                connection.request("POST", address.path, body, headers)
                answer = connection.getresponse()
                with suppress(OSError, http.client.HTTPException):
                    answer.read(LONGEST_ANSWER_BYTES)  # what it says is known already
                return answer.status, answer.reason, answer.getheader("Retry-After")
            finally:
                connection.close()


class _Deadline:
    """Time limit for all of an exchange, which a server that answers a byte now and then exceeds.

    Args:
        timeout_s: The limit.

    Raises:
        TimeoutError: The exchange failed because the limit had passed.
    """

    def __init__(self, timeout_s: float) -> None:
        self._socket: socket.socket | None = None
        self._passed = False
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True

    def watch(self, connected: socket.socket) -> None:
        """Cut this connection when the limit has passed."""
        self._socket = connected
        if self._passed:
            self._cut()

    def _cut(self) -> None:
        self._passed = True
        if self._socket is not None:
            with suppress(OSError):
                # The plain socket's: that of TLS would first say farewell.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._timer.cancel()
        if self._passed and kind is not None:
            raise TimeoutError


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Sign a body: HMAC-SHA256 of time, full stop and body, in hexadecimal."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _read_headers(file: Path | None) -> list[tuple[str, str]]:
    """Read headers, ``Name: value``, one a line.

    Raises:
        UsageError: The file cannot be read, or a line is no header.
    """
    if file is None:
        return []
    headers = []
    for number, line in enumerate(read_lines("headers-file", file), 1):
        name, mark, value = (part.strip() for part in line.partition(":"))
        fine = mark and _HEADER_NAME.fullmatch(name) and _is_header_value(value)
        if not fine or name.lower() in _OWN_HEADERS:
            raise UsageError(
                f"headers-file {file}: header {number} is none that can be sent: write lines like "
                "X-Key: value"
            )
        headers.append((name, value))
    return headers


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _open_context(ca_file: Path | None) -> ssl.SSLContext:
    """Open what certificates are checked with.

    Raises:
        UsageError: The file holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ValueError) as error:
        reason = "it holds no certificate"
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"ca-file {ca_file}: cannot be used: {reason}: name a file of certificates in PEM"
        ) from error


def _read_retry_after(said: str | None) -> float | None:
    """Read how many seconds a server asks to wait; None where it says nothing of use."""
    if not said:
        return None
    said = said.strip()
    if said.isascii() and said.isdigit():
        seconds = float(said[:9])
    else:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _describe(error: Exception, timeout_s: float) -> str:
    """Say in a few words why nothing was answered."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return "its name is not known, or there is no network"
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "it closed the connection before it had answered"
    if isinstance(error, http.client.HTTPException):
        return f"its answer is no HTTP: {type(error).__name__}"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
