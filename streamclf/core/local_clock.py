"""Local time of live audio, derived from positions in the stream and from the system's clock.

The clock of a device is some tens of ppm fast or slow, which makes a minute in a week or two. A
server begins with audio that it has buffered. So local time cannot be counted on from the first
sample. Instead, each block shows when its samples had sounded at the latest, and the blocks with
the smallest delay show it best.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from operator import itemgetter

from streamclf.core.arrival import EarliestArrival
from streamclf.core.records import Block, Gap, Notice
from streamclf.core.text_format import format_length

CLOCK_JUMP_S = 0.5
"""Seconds; smaller steps of the system's clock are ordinary corrections and are not reported."""
MAX_SLOW_RATE = 5e-4
"""Rate error of a device's slow clock that is followed; audio beyond it counts as late."""
MAX_FAST_RATE = 2e-3
"""Rate error that no device's fast clock reaches; audio that is earlier had been buffered."""
EARLY_TOLERANCE_S = 0.005
"""Seconds by which a block may be earlier than all before it without any consequence."""
DRIFT_STEP_S = 0.05
"""Seconds; drift of the device's clock is followed in steps of this size."""
MAX_STEPS = 1000
"""Number of steps kept for looking up past positions."""


class LocalClock:
    """Local time of the samples of one live stream, with a notice when the system's clock is set.

    `moment` may be called from any thread.

    Args:
        wall: Returns the seconds of the system's clock; `time.time` by default.
        now: Returns monotonic seconds, which reveal that the system's clock was set;
            `time.monotonic` by default.
    """

    def __init__(
        self,
        wall: Callable[[], float] | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._wall = wall or time.time
        self._now = now or time.monotonic
        self._wall_offset_s = self._wall() - self._now()
        self._earliest = EarliestArrival(MAX_SLOW_RATE)
        self._ahead_s = 0.0
        self._rate = 1
        self._segment_start = 0  # position where the current audio without a gap begins
        # Pairs: a position, and the time of the stream's first sample that holds from there on, by
        # the system's clock. The tuple is replaced and never changed, because sinks and the
        # dashboard read it from other threads.
        self._steps: tuple[tuple[int, float], ...] = ()

    def moment(self, position: int) -> datetime | None:
        """Return the local time at which a sample sounded; None before the first audio or gap.

        Args:
            position: Index of the sample in the stream.
        """
        steps = self._steps
        if not steps:
            return None
        at = bisect_right(steps, position, key=itemgetter(0)) - 1
        began_s = steps[max(at, 0)][1]
        return datetime.fromtimestamp(began_s + position / self._rate).astimezone()

    def watch(
        self,
        items: Iterable[Block | Gap | Notice],
        keeps_time: Callable[[], bool] = lambda: True,
        *,
        ahead_s: Callable[[], float] = lambda: 0.0,
    ) -> Iterator[Block | Gap | Notice]:
        """Yield all items unchanged, and a notice in front of the first item after a clock change.

        Args:
            items: Items as they arrive, all at one sample rate.
            keeps_time: Whether items arrive when they sound. If not, time is counted on from the
                first block.
            ahead_s: Seconds by which the items will have run ahead of the clock at their end, where
                they arrive faster than they sound. Time is counted so that none lies in the future.
        """
        for item in items:
            wall_offset_s = self._wall() - self._now()
            set_by_s = wall_offset_s - self._wall_offset_s
            if abs(set_by_s) > CLOCK_JUMP_S:
                self._wall_offset_s = wall_offset_s
                if self._steps:
                    self._step(item.position, self._steps[-1][1] + set_by_s)
                    self._segment_start = item.position
                yield _describe_jump(item, set_by_s)
            if isinstance(item, Block):
                if not self._steps:
                    self._ahead_s = max(ahead_s(), 0.0)
                self._follow(item, keeps_time())
            elif isinstance(item, Gap):
                self._segment_start = item.end
                if not self._steps:  # the stream begins with what is missing, up to now
                    self._rate = item.sample_rate
                    self._steps = ((item.position, self._wall() - item.end / self._rate),)
            yield item

    def _follow(self, block: Block, keeps_time: bool) -> None:
        rate = self._rate = block.sample_rate
        offset_s = self._earliest.add(block.end / rate, self._now(), block.n_samples / rate)
        began_s = offset_s + self._wall_offset_s - self._ahead_s
        if not self._steps:
            self._segment_start = block.position
            self._steps = ((block.position, began_s),)
        elif keeps_time:
            earlier_s = self._steps[-1][1] - began_s
            age_s = (block.end - max(self._steps[-1][0], self._segment_start)) / rate
            if earlier_s > EARLY_TOLERANCE_S + MAX_FAST_RATE * age_s:
                # This block is earlier than any drift explains, so the audio before it was late
                # too: the new time also holds for as far back as drift alone cannot explain.
                reach = max(
                    block.end - round(earlier_s / MAX_FAST_RATE * rate), self._segment_start
                )
                before = tuple(step for step in self._steps if step[0] < reach)
                self._steps = (*before[1 - MAX_STEPS :], (reach, began_s))
            elif abs(earlier_s) >= DRIFT_STEP_S:
                self._step(block.position, began_s)

    def _step(self, position: int, began_s: float) -> None:
        self._steps = (*self._steps[1 - MAX_STEPS :], (position, began_s))


def _describe_jump(item: Block | Gap | Notice, set_by_s: float) -> Notice:
    way = "forward" if set_by_s > 0 else "back"
    return Notice(
        item.position,
        item.sample_rate,
        f"the system's clock went {way} by {format_length(abs(set_by_s))} (it was set, "
        "or the machine slept): local times follow it from here on, positions stay",
    )
