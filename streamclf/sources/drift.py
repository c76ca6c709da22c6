"""How fast a device's clock runs, measured against the system's monotonic clock."""

from __future__ import annotations

BUCKET_S = 5.0
"""Of each such stretch, the block that came soonest counts: the others were only held up."""
LEAST_S = 60.0
"""Below so much audio in one piece, delays weigh more than any drift."""
MEMORY = 0.995
"""What a stretch weighs against the next one: half after some ten minutes."""


class DriftMeter:
    """Fits a line to arrivals over positions, a piece between two losses at a time.

    A block arrives when its last sample was recorded, or later, never sooner. So of several
    blocks the one that came soonest tells the time best. Pieces share their slope, not their
    beginning, as the length of what was lost between them is known less well.
    """

    def __init__(self) -> None:
        self._sums = [0.0, 0.0]
        self._heard_s = 0.0
        self._begin_piece()

    @property
    def ppm(self) -> float | None:
        """How much faster than it says the device is, in ppm; None until that is known."""
        product, square = self._total()
        if self._heard_s < LEAST_S or square <= 0:
            return None
        return -1e6 * product / square

    def add(self, stream_s: float, arrived: float) -> None:
        """Take note of a block.

        Args:
            stream_s: Its end, in seconds by the device.
            arrived: Monotonic seconds.
        """
        if self._origin is None:
            self._origin = stream_s, arrived
        at_s = stream_s - self._origin[0]
        late_s = arrived - self._origin[1] - at_s
        if self._soonest is None or late_s < self._soonest[1]:
            self._soonest = at_s, late_s
        if at_s >= self._bucket_end:
            self._add_point(*self._soonest)
            self._soonest = None
            self._bucket_end = at_s + BUCKET_S

    def interrupt(self) -> None:
        """Begin anew behind a loss, with what is known of the drift."""
        self._sums = [*self._total()]
        self._begin_piece()

    def _begin_piece(self) -> None:
        self._origin: tuple[float, float] | None = None
        self._soonest: tuple[float, float] | None = None
        self._bucket_end = BUCKET_S
        self._n = self._mean_x = self._mean_y = 0.0
        self._product = self._square = 0.0
        self._last_x = 0.0

    def _add_point(self, x: float, y: float) -> None:
        """Weighted sums about the mean, the older the lighter."""
        self._sums = [MEMORY * value for value in self._sums]
        self._n, self._product = MEMORY * self._n + 1, MEMORY * self._product
        self._square *= MEMORY
        off_x, off_y = x - self._mean_x, y - self._mean_y
        self._mean_x += off_x / self._n
        self._mean_y += off_y / self._n
        self._product += off_x * (y - self._mean_y)
        self._square += off_x * (x - self._mean_x)
        self._heard_s = min(self._heard_s + x - self._last_x, 1e9)
        self._last_x = x

    def _total(self) -> tuple[float, float]:
        return self._sums[0] + self._product, self._sums[1] + self._square
