"""Pause of a source: its audio is thrown away as it arrives, and recorded as missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from streamclf.core.records import Block, Gap, Notice

PAUSED = "paused"
"""Cause of the gaps of a pause."""


class Pause:
    """Switch between a source and those who hear it.

    The first audio of a pause becomes a gap at once, which ends all events. What follows becomes
    one gap, known at the end of the pause: nothing of a long pause fills the results.

    Args:
        tell_waiting: Called for audio that goes no further, as a sign of life.

    Attributes:
        on: Whether the source is paused; any thread may set it.
    """

    def __init__(self, tell_waiting: Callable[[], None] = lambda: None) -> None:
        self.on = False
        self._tell_waiting = tell_waiting
        self._held: Gap | None = None

    def filter(self, item: Block | Gap | Notice) -> Iterator[Block | Gap | Notice]:
        """Yield a record, or note that its audio is missing."""
        if not self.on or isinstance(item, Notice):
            yield from self.rest()
            yield item
            return
        n_samples = item.end - item.position
        held = self._held
        if held is not None and held.sample_rate == item.sample_rate:
            self._held = replace(held, n_samples=held.n_samples + n_samples)
            self._tell_waiting()
            return
        yield from self.rest()
        yield Gap(item.position, n_samples, item.sample_rate, PAUSED)
        self._held = Gap(item.end, 0, item.sample_rate, PAUSED)

    def rest(self) -> Iterator[Gap]:
        """Yield what is missing and was not told yet."""
        held, self._held = self._held, None
        if held is not None and held.n_samples:
            yield held
