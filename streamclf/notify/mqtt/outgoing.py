"""Begins and ends that the broker does not have yet: in order, one under way at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

LIMIT = 10_000
"""Most begins and ends that wait for the broker, some 5 MB; the oldest of more are dropped."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    topic: str
    told: Json
    known_us: int


class Outgoing:
    """Queue of begins and ends. One thread uses it; any may read its figures.

    A message leaves it when the broker has confirmed it, so that an outage loses none. The next one
    is sent after that, so that their order stays, whatever is sent again.

    Args:
        report: Called with one line of text.
        limit: Most messages that are kept.

    Attributes:
        n_sent: Messages that the broker has.
        n_dropped: Messages that were dropped because too many waited.
        sent_at: When the broker confirmed the newest; None before the first.
    """

    def __init__(self, report: Callable[[str], None], limit: int = LIMIT) -> None:
        self.n_sent = self.n_dropped = 0
        self.sent_at: datetime | None = None
        self._report = report
        self._limit = limit
        self._waiting: deque[_Waiting] = deque()
        self._under_way: int | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, topic: str, told: Json, known_us: int) -> None:
        """Add a message; the oldest gives way where too many wait.

        Args:
            topic: Where it goes.
            told: What it says.
            known_us: When that was known, in microseconds since 1970-01-01 UTC.
        """
        if len(self._waiting) >= self._limit:
            del self._waiting[1 if self._under_way is not None else 0]
            if not self.n_dropped:
                self._report(
                    f"warning: mqtt: more than {self._limit} begins and ends wait for the broker: "
                    "the oldest are dropped; the store has them all"
                )
            self.n_dropped += 1
        self._waiting.append(_Waiting(topic, told, known_us))

    def send_next(self, publish: Callable[[str, Json], int]) -> None:
        """Send the oldest message, if none is under way.

        Args:
            publish: Sends a payload to a topic, and returns its number.
        """
        if self._under_way is None and self._waiting:
            oldest = self._waiting[0]
            late_s = max(round(time.time() - oldest.known_us / 1e6), 0)
            self._under_way = publish(oldest.topic, {**oldest.told, "late_s": late_s})

    def note_sent(self, number: int) -> bool:
        """Note that the broker has a message; returns whether it was the one under way."""
        if number != self._under_way:
            return False
        self._under_way = None
        self._waiting.popleft()
        self.n_sent += 1
        self.sent_at = datetime.now().astimezone()
        return True

    def begin_anew(self) -> None:
        """Forget what was under way over a connection that is no more: it is sent again."""
        self._under_way = None
