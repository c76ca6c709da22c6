"""Local time of live audio: positions are the truth, what the clock says is only written beside.

A device's clock is some tens of ppm fast or slow, which is a minute in a week or two, and a server
sends at first what it kept for the purpose. So local time is not counted on from the first sample:
blocks tell when their samples had sounded at the latest, and the soonest of them tell it best.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from operator import itemgetter

from streamclf.core.arrival import Soonest
from streamclf.core.records import Block, Gap, Notice
from streamclf.core.stats import format_length

JUMP_S = 0.5
"""Smaller steps of the system's clock are what keeping it right takes."""
CREEP = 5e-4
"""A device's clock may be this much slow before its audio counts as late."""
FAST = 2e-3
"""No device's clock is that much fast: audio that comes so soon had waited somewhere."""
HASTE_S = 0.005
"""By so much blocks may come sooner than all before them without saying anything."""
STEP_S = 0.05
"""A drift is followed in steps of so much."""
MAX_STEPS = 1000


class LocalClock:
    """Tells when the samples of one live stream sounded, and notices when the clock is set.

    `moment` may be asked from any thread.

    Args:
        wall: Seconds of the system's clock.
        now: Monotonic seconds, by which it is told that the other one was set.
    """

    def __init__(
        self,
        wall: Callable[[], float] | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._wall = wall or time.time
        self._now = now or time.monotonic
        self._ahead_s = self._wall() - self._now()
        self._soonest = Soonest(CREEP)
        self._rate = 1
        self._piece = 0  # where the audio that came without a loss begins
        # From which position on the stream's first sample sounded when, by the system's clock.
        # Replaced, never changed, as sinks and the dashboard read it meanwhile.
        self._steps: tuple[tuple[int, float], ...] = ()

    def moment(self, position: int) -> datetime | None:
        """When a sample sounded, in local time; None before any audio came."""
        steps = self._steps
        if not steps:
            return None
        at = bisect_right(steps, position, key=itemgetter(0)) - 1
        began_s = steps[max(at, 0)][1]
        return datetime.fromtimestamp(began_s + position / self._rate).astimezone()

    def watch(
        self, items: Iterable[Block | Gap | Notice], keeps_time: Callable[[], bool] = lambda: True
    ) -> Iterator[Block | Gap | Notice]:
        """Pass everything on, behind a notice where the clock was set.

        Args:
            items: At one rate, as they arrive.
            keeps_time: Whether they arrive as they sound. Else time is counted on from the first.
        """
        for item in items:
            ahead_s = self._wall() - self._now()
            set_by_s = ahead_s - self._ahead_s
            if abs(set_by_s) > JUMP_S:
                self._ahead_s = ahead_s
                if self._steps:
                    self._step(item.position, self._steps[-1][1] + set_by_s)
                    self._piece = item.position
                yield _tell(item, set_by_s)
            if isinstance(item, Block):
                self._follow(item, keeps_time())
            elif isinstance(item, Gap):
                self._piece = item.end
            yield item

    def _follow(self, block: Block, keeps_time: bool) -> None:
        rate = self._rate = block.sample_rate
        offset_s = self._soonest.add(block.end / rate, self._now(), block.n_samples / rate)
        began_s = offset_s + self._ahead_s
        if not self._steps:
            self._piece = block.position
            self._steps = ((block.position, began_s),)
        elif keeps_time:
            sooner_s = self._steps[-1][1] - began_s
            age_s = (block.end - max(self._steps[-1][0], self._piece)) / rate
            if sooner_s > HASTE_S + FAST * age_s:
                # What came before it had waited as well, as far back as its clock cannot explain.
                reach = max(block.end - round(sooner_s / FAST * rate), self._piece)
                before = tuple(step for step in self._steps if step[0] < reach)
                self._steps = (*before[1 - MAX_STEPS :], (reach, began_s))
            elif abs(sooner_s) >= STEP_S:
                self._step(block.position, began_s)

    def _step(self, position: int, began_s: float) -> None:
        self._steps = (*self._steps[1 - MAX_STEPS :], (position, began_s))


def _tell(item: Block | Gap | Notice, set_by_s: float) -> Notice:
    way = "forward" if set_by_s > 0 else "back"
    return Notice(
        item.position,
        item.sample_rate,
        f"the system's clock went {way} by {format_length(abs(set_by_s))} (it was set, "
        "or the machine slept): local times follow it from here on, positions stay",
    )
