"""Estimate of when live audio sounded, from the times at which its blocks arrived.

A block may be delayed on its way, but it never arrives before it has sounded. So the block with
the smallest delay gives the best estimate.
"""

from __future__ import annotations


class EarliestArrival:
    """The smallest difference between a block's arrival and its place in the stream.

    Args:
        max_slow_rate: Largest rate error of a slow device clock, as a fraction. While blocks arrive
            later than the estimate says, it may rise by this many seconds per second of audio.
        offset: Estimate to start from, in seconds; None to start from the first block.

    Attributes:
        offset: The estimate: arrival time minus place in the stream, in seconds; None before the
            first block.
    """

    def __init__(self, max_slow_rate: float, offset: float | None = None) -> None:
        self.offset = offset
        self._max_slow_rate = max_slow_rate

    def add(self, end_s: float, arrived: float, length_s: float) -> float:
        """Update the estimate with one block.

        Args:
            end_s: Place of the block's end in the stream, in seconds.
            arrived: Time of its arrival, in seconds of any clock.
            length_s: Length of the block in seconds.

        Returns:
            The new offset in seconds.
        """
        offset = arrived - end_s
        if self.offset is not None:
            offset = min(offset, self.offset + self._max_slow_rate * length_s)
        self.offset = offset
        return offset
