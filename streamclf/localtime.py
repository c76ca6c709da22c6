"""Local time of live audio: positions are the truth, the system's clock is only written beside.

Whoever sets the system's clock moves neither a sample nor an event; local times written of audio
from there on follow the new clock, and the jump is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from streamclf.records import Block, Gap, Notice
from streamclf.stats import format_length

JUMP_S = 0.5
"""Smaller steps are what keeping a clock right takes."""


class ClockWatch:
    """Notices when the system's clock is set, by the monotonic one.

    Args:
        wall: Seconds of the system's clock.
        now: Monotonic seconds.

    Attributes:
        jumps: Where in the stream the clock was set, and by how much.
    """

    def __init__(
        self,
        wall: Callable[[], float] | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.jumps: list[tuple[int, timedelta]] = []
        self._wall = wall or time.time
        self._now = now or time.monotonic
        self._offset_s = self._wall() - self._now()

    def watch(self, items: Iterable[Block | Gap | Notice]) -> Iterator[Block | Gap | Notice]:
        """Pass everything on, behind a notice where the clock was set."""
        for item in items:
            offset_s = self._wall() - self._now()
            jump_s = offset_s - self._offset_s
            if abs(jump_s) > JUMP_S:
                self._offset_s = offset_s
                self.jumps.append((item.position, timedelta(seconds=jump_s)))
                way = "forward" if jump_s > 0 else "back"
                yield Notice(
                    item.position,
                    item.sample_rate,
                    f"the system's clock went {way} by {format_length(abs(jump_s))} (it was set, "
                    "or the machine slept): local times follow it from here on, positions stay",
                )
            yield item
