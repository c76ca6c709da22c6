"""What systemd wants to know of a service: that it is ready, alive, and what it does.

The protocol is sd_notify(3): datagrams of ``NAME=value`` lines to the socket that
``NOTIFY_SOCKET`` names. Without that variable nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from streamclf.core.records import Block, Gap

LOGGER = logging.getLogger(__name__)
STATUS_EVERY_S = 10.0


class Service:
    """Speaks to systemd while it is entered.

    `alive` must be called by the thread that works, where it works: a ping from elsewhere would
    keep a process alive that hears nothing.

    Args:
        describe: Says in a line what is going on, for ``systemctl status``.
        environment: Of the process.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        describe: Callable[[], str] = str,
        environment: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._describe = describe
        self._now = now
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        self._ping_every_s = _ping_every_s(environment)
        self._pinged_at = self._told_at = float("-inf")
        self._ready = False

    def __enter__(self) -> Self:
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._send("STOPPING=1")
            self._socket.close()
            self._socket = None

    def hear(self, item: Block | Gap) -> None:
        """Take note that audio was worked on, or that its loss was."""
        self.alive()

    def alive(self) -> None:
        """Take note that the work goes on; the first time, that it has begun."""
        if self._socket is None:
            return
        now = self._now()
        if not self._ready:
            self._ready = self._send("READY=1")
        if self._ping_every_s is not None and now - self._pinged_at >= self._ping_every_s:
            self._pinged_at = now
            self._send("WATCHDOG=1")
        if now - self._told_at >= STATUS_EVERY_S:
            self._told_at = now
            self.tell(self._describe())

    def tell(self, message: str) -> None:
        """Say what is going on, in a line."""
        self._send(f"STATUS={' '.join(message.split())}")

    def _send(self, state: str) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.sendto(state.encode("utf-8", "backslashreplace"), self._address)
        except OSError as error:
            LOGGER.debug("systemd cannot be told %s: %s", state, error)
            return False
        return True


def _address(name: str) -> str:
    """The socket's address; one that begins with @ has no file. Empty for none that is known."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _ping_every_s(environment: Mapping[str, str]) -> float | None:
    """A quarter of the time after which systemd would kill this process; None for never."""
    limit = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    return int(limit) / 4e6 if limit.isdecimal() and int(limit) and meant else None
