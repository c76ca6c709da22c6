"""When audio sounded, told by when it arrived: a block may be held up, but never comes too soon."""

from __future__ import annotations


class Soonest:
    """The smallest delay between a place in a stream and the arrival of its audio.

    Args:
        creep: How much slower than it says the device's clock may run: the estimate rises by so
            many seconds for each of audio that comes later than it says.

    Attributes:
        offset: Arrival minus place, in seconds, of the blocks that came soonest; None before any.
    """

    def __init__(self, creep: float, offset: float | None = None) -> None:
        self.offset = offset
        self._creep = creep

    def add(self, end_s: float, arrived: float, length_s: float) -> float:
        """Take note of a block of ``length_s`` that ends at ``end_s``; returns the new offset."""
        offset = arrived - end_s
        if self.offset is not None:
            offset = min(offset, self.offset + self._creep * length_s)
        self.offset = offset
        return offset
