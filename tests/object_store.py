"""An S3 server on loopback whose answers can be late, cut short or errors, and archives in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

KEY, SECRET = "AKIATESTTESTTEST", "a-secret-that-nobody-may-read"
Fault = Callable[[dict[str, Any]], str]
"""Says what becomes of a request: ``""`` (answered), ``"500"``, ``"cut"`` or ``"late"``."""


@dataclass
class Store:
    """The server.

    Attributes:
        url: Its address.
        fault: Decides what becomes of each request.
        requests: Method, path and range of each request, in order.
        late_s: Seconds by which a late answer is late.
    """

    url: str = ""
    fault: Fault = lambda request: ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    late_s: float = 5.0
    _refusal: bytes = b""

    def forget(self) -> None:
        """Answer all requests from now on, and begin to list them anew."""
        self.fault, self.requests = (lambda request: ""), []

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Let requests fail for a while."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = lambda request: ""

    @contextmanager
    def refusing(self, body: bytes) -> Iterator[None]:
        """Refuse all requests for a while, with the body of S3's error."""
        self._refusal = body
        try:
            yield
        finally:
            self._refusal = b""

    def answer(
        self, app: Any, request: dict[str, Any], start: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request, or do what the fault says."""
        method, path = request["REQUEST_METHOD"], request["PATH_INFO"]
        self.requests.append((method, path, request.get("HTTP_RANGE", "")))
        if self._refusal:
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [self._refusal]
        kind = self.fault(request)
        if kind == "500":
            start("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        if kind == "late":
            time.sleep(self.late_s)
        if kind != "cut":
            return app(request, start)
        said: list[Any] = []
        body = b"".join(app(request, lambda *given, **more: said.extend(given)))
        start(*said[:2])  # with the length of the whole body
        return [body[: len(body) // 2]]


@contextmanager
def serve_store() -> Iterator[Store]:
    """Run moto's S3 server on loopback."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *args: Any) -> None:
            pass

    store = Store()
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server(
        "127.0.0.1",
        0,
        lambda request, start: store.answer(app, request, start),
        threaded=True,
        request_handler=Quiet,
    )
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def use_store(patch: pytest.MonkeyPatch, store: Store) -> None:
    """Let S3's client in this process and in those that it starts ask a server on loopback."""
    patch.setenv("AWS_ENDPOINT_URL", store.url)
    patch.setenv("AWS_ACCESS_KEY_ID", KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def make_bucket(name: str) -> None:
    """Make a bucket."""
    import s3fs

    s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True).mkdir(name)


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.005)


def upload(folder: Path, url: str) -> None:
    """Copy a folder into a bucket."""
    import s3fs

    store = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            store.pipe_file(f"{url.removeprefix('s3://').rstrip('/')}/{name}", path.read_bytes())
