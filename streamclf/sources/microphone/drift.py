"""How fast a device's clock runs, measured against the system's monotonic clock."""

from __future__ import annotations

BUCKET_S = 5.0
"""Of each such stretch, the block that came soonest counts: the others were only held up."""
LEAST_S = 60.0
"""Below so much audio, delays weigh more than any drift."""
MEMORY = 0.995
"""What a stretch weighs against the next one: half after some ten minutes."""


class DriftMeter:
    """Fits a line to arrivals over positions, a piece between two losses at a time.

    A block arrives when its last sample was recorded, or later, never sooner. So of several
    blocks the one that came soonest tells the time best. Pieces share their slope, not their
    beginning, as the length of what was lost between them is known less well.
    """

    def __init__(self) -> None:
        self._product = self._square = 0.0
        self._measured_s = 0.0
        self._piece: _Piece | None = None

    @property
    def ppm(self) -> float | None:
        """How much faster than it says the device is, in ppm; None until that is known."""
        piece = self._piece or _Piece(0.0, 0.0)
        square = self._square + piece.square
        if self._measured_s < LEAST_S or square <= 0:
            return None
        return -1e6 * (self._product + piece.product) / square

    def add(self, stream_s: float, arrived: float) -> None:
        """Take note of a block.

        Args:
            stream_s: Its end, in seconds by the device.
            arrived: Monotonic seconds.
        """
        if self._piece is None:
            self._piece = _Piece(stream_s, arrived)
        measured_s = self._piece.add(stream_s, arrived)
        if measured_s:
            self._measured_s += measured_s
            self._product *= MEMORY
            self._square *= MEMORY

    def interrupt(self) -> None:
        """Begin anew behind a loss, with what is known of the drift."""
        if self._piece is not None:
            self._product += self._piece.product
            self._square += self._piece.square
        self._piece = None


class _Piece:
    """Audio without a loss in it: sums about the mean, the older the lighter."""

    def __init__(self, stream_s: float, arrived: float) -> None:
        self.product = self.square = 0.0
        self._origin = stream_s, arrived
        self._soonest = 0.0, float("inf")
        self._bucket_end_s = BUCKET_S
        self._n = self._mean_x = self._mean_y = self._last_x = 0.0

    def add(self, stream_s: float, arrived: float) -> float:
        """Take note of a block; seconds of audio that are measured with it."""
        at_s = stream_s - self._origin[0]
        late_s = arrived - self._origin[1] - at_s
        if late_s < self._soonest[1]:
            self._soonest = at_s, late_s
        if at_s < self._bucket_end_s:
            return 0.0
        x, y = self._soonest
        self._soonest, self._bucket_end_s = (at_s, float("inf")), at_s + BUCKET_S
        self._n, self.product = MEMORY * self._n + 1, MEMORY * self.product
        self.square *= MEMORY
        off_x, off_y = x - self._mean_x, y - self._mean_y
        self._mean_x += off_x / self._n
        self._mean_y += off_y / self._n
        self.product += off_x * (y - self._mean_y)
        self.square += off_x * (x - self._mean_x)
        measured_s, self._last_x = x - self._last_x, x
        return measured_s
