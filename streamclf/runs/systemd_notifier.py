"""Notifications to systemd: the service is ready, it is alive, and its status.

The protocol is sd_notify(3): datagrams of ``NAME=value`` lines to the socket in the variable
``NOTIFY_SOCKET``. Without that variable nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

LOGGER = logging.getLogger(__name__)
STATUS_EVERY_S = 10.0


class SystemdNotifier:
    """Context that notifies systemd.

    The thread that processes the audio must call `alive`. A ping from another thread would keep a
    process running that no longer processes anything.

    Args:
        describe: Returns the status in one line, for ``systemctl status``.
        environment: Environment variables of the process.
        now: Returns monotonic seconds.
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

    def alive(self) -> None:
        """Send a ping and the status if they are due; the first call sends READY."""
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
            self.set_status(self._describe())

    def set_status(self, message: str) -> None:
        """Send the status, in one line."""
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
    """Return the address of the socket; empty if its kind is unknown.

    A name that begins with @ is that of an abstract socket, which has no file.
    """
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _ping_every_s(environment: Mapping[str, str]) -> float | None:
    """Return a quarter of systemd's watchdog time in seconds, or None if there is none."""
    limit = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    return int(limit) / 4e6 if limit.isdecimal() and int(limit) and meant else None
