"""What tests of MQTT share: Debian's mosquitto, a subscriber, and certificates."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from live_runs import PATIENCE_S

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A broker of its own for a test, on loopback."""

    def __init__(self, folder: Path, *settings: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self._settings = folder / f"mosquitto-{self.port}.conf"
        lines = [f"listener {self.port} 127.0.0.1", *(settings or ("allow_anonymous true",))]
        self._settings.write_text("\n".join([*lines, "user root", "persistence false", ""]))
        self._process: subprocess.Popen | None = None

    def start(self) -> Broker:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._settings)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._listens, "the broker does not listen")
        return self

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the broker has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def until(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)


class Subscriber:
    """A client that keeps what it is told.

    Attributes:
        heard: Topic, payload and whether it was retained, in order.
    """

    def __init__(
        self, broker: Broker, *topics: str, prepare: Callable[[paho.Client], None] = lambda c: None
    ) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self._changed = threading.Condition()
        self._topics = topics or ("#",)
        self._ready = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        prepare(self.client)
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *answer: self._ready.set()
        self.client.on_message = self._note
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self._ready.wait(PATIENCE_S)

    def of(self, end: str) -> list[str]:
        """Payloads of all topics with an end."""
        with self._changed:
            return [payload for topic, payload, _ in self.heard if topic.endswith(end)]

    def json_of(self, end: str) -> list[Any]:
        """The same, read as JSON; empty ones left out."""
        return [json.loads(payload) for payload in self.of(end) if payload]

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds of what was heard."""
        with self._changed:
            end = time.monotonic() + PATIENCE_S
            while not holds():
                left = end - time.monotonic()
                assert left > 0, f"heard: {self.heard}"
                self._changed.wait(min(left, 1.0))

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Publish, and wait until the broker has it."""
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def wait_back(self) -> None:
        """Wait until it has subscribed again at a broker that was started again."""
        assert self._ready.wait(PATIENCE_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _subscribe(self, client: paho.Client, *answer: object) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def _note(self, client: object, data: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.heard.append((message.topic, message.payload.decode(), bool(message.retain)))
            self._changed.notify_all()


def make_certificates(folder: Path) -> None:
    """Make a CA (``ca.pem``) and the certificate of a broker at 127.0.0.1 (``broker.pem``, key)."""
    run = lambda *words: subprocess.run(  # noqa: E731
        ["openssl", *words], cwd=folder, check=True, capture_output=True
    )
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", "-x509", *curve, "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2",
        "-subj", "/CN=Test CA")  # fmt: skip
    run("req", *curve, "-keyout", "broker-key.pem", "-out", "broker.csr", "-subj", "/CN=broker")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    run("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
        "-CAcreateserial", "-out", "broker.pem", "-days", "2", "-extfile", "names")  # fmt: skip
