"""Webhooks on loopback that take, refuse, hang and break off, as a test tells them."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from live_runs import PATIENCE_S

from streamclf.notify.messages import Message


def make_message(number: int = 1, **changes: Any) -> Message:
    """A message about a sound that begins."""
    fields: dict[str, Any] = {
        "token": f"token-{number}", "rule": "smoke", "on": "begin", "source": "kitchen",
        "label": "smoke_alarm", "name": "Smoke alarm", "text": f"Smoke alarm in kitchen, {number}",
        "told_us": 1_700_000_000_000_000 + number, "utc_offset_min": 120, "targets": ("hook",),
        "event_id": f"smoke_alarm-{number}@run", "score": 0.91,
        "onset_us": 1_699_999_999_000_000 + number, **changes,
    }  # fmt: skip
    return Message(**fields)


@dataclass
class Request:
    """What a webhook was sent.

    Attributes:
        line: The request's first line.
        headers: By names in lower case.
        body: Its body.
    """

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


Answer = bytes | Callable[[socket.socket], None]


def answer(status: str = "200 OK", headers: str = "", body: str = "") -> bytes:
    """An answer of a server."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
        f"{body}"
    ).encode()


class Webhook:
    """A server that answers as it is told, request by request, and 200 afterwards.

    Attributes:
        port: Its port.
        requests: What it was sent so far.
    """

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)
        self._arrived: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/heard"

    def next(self) -> Request:
        """Wait for the next request."""
        return self._arrived.get(timeout=PATIENCE_S)

    def answer(self, *answers: Answer) -> None:
        """Answer the next requests so."""
        self._answers += answers

    def close(self) -> None:
        self._closed.set()
        # A thread that waits in accept would keep the port.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()

    def hang(self, connection: socket.socket) -> None:
        """Never answer."""
        self._closed.wait(PATIENCE_S)

    def __enter__(self) -> Webhook:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as file:
                line = file.readline().decode().strip()
                headers = {}
                while (text := file.readline().decode().strip()) != "":
                    name, _, value = text.partition(":")
                    headers[name.lower()] = value.strip()
                body = file.read(int(headers.get("content-length", 0)))
                request = Request(line, headers, body)
                told = self._answers.pop(0) if self._answers else answer()
                self.requests.append(request)
                self._arrived.put(request)
                if callable(told):
                    told(connection)
                else:
                    connection.sendall(told)
        except OSError:
            pass
