"""Rate error of a device's clock, measured against the system's monotonic clock."""

from __future__ import annotations

BUCKET_S = 5.0
"""Seconds a bucket. In each bucket only the block with the smallest delay counts; the others were
held up."""
MIN_AUDIO_S = 60.0
"""Seconds of audio before a result is given; below this, delays outweigh any drift."""
BUCKET_WEIGHT = 0.995
"""Weight of a bucket relative to the next one: half after about ten minutes."""


class DriftMeter:
    """Line fitted to the arrival times of blocks over their positions.

    A block arrives when its last sample was recorded or later, never earlier. So the block with
    the smallest delay among several is the most accurate. Audio between two losses is a piece. All
    pieces share one slope, but not one offset, because the length of a loss is known less exactly.
    """

    def __init__(self) -> None:
        self._product = self._square = 0.0
        self._measured_s = 0.0
        self._piece: _Piece | None = None

    @property
    def ppm(self) -> float | None:
        """Rate error of the device's clock in ppm, above 0 if it is fast; None until known."""
        piece = self._piece or _Piece(0.0, 0.0)
        square = self._square + piece.square
        if self._measured_s < MIN_AUDIO_S or square <= 0:
            return None
        return -1e6 * (self._product + piece.product) / square

    def add(self, stream_s: float, arrived: float) -> None:
        """Add a block.

        Args:
            stream_s: Place of its end in the stream, in seconds of the device's clock.
            arrived: Time of its arrival in monotonic seconds.
        """
        if self._piece is None:
            self._piece = _Piece(stream_s, arrived)
        measured_s = self._piece.add(stream_s, arrived)
        if measured_s:
            self._measured_s += measured_s
            self._product *= BUCKET_WEIGHT
            self._square *= BUCKET_WEIGHT

    def interrupt(self) -> None:
        """Begin a new piece after a loss; the drift measured so far is kept."""
        if self._piece is not None:
            self._product += self._piece.product
            self._square += self._piece.square
        self._piece = None


class _Piece:
    """Audio without a loss, as sums about the mean in which older blocks weigh less.

    Attributes:
        product: Sum of products of the deviations of time and delay.
        square: Sum of squares of the deviations of time.
    """

    def __init__(self, stream_s: float, arrived: float) -> None:
        self.product = self.square = 0.0
        self._origin = stream_s, arrived
        self._earliest = 0.0, float("inf")
        self._bucket_end_s = BUCKET_S
        self._n = self._mean_x = self._mean_y = self._last_x = 0.0

    def add(self, stream_s: float, arrived: float) -> float:
        """Add a block; returns the seconds of audio that were newly measured."""
        at_s = stream_s - self._origin[0]
        late_s = arrived - self._origin[1] - at_s
        if late_s < self._earliest[1]:
            self._earliest = at_s, late_s
        if at_s < self._bucket_end_s:
            return 0.0
        x, y = self._earliest
        self._earliest, self._bucket_end_s = (at_s, float("inf")), at_s + BUCKET_S
        self._n, self.product = BUCKET_WEIGHT * self._n + 1, BUCKET_WEIGHT * self.product
        self.square *= BUCKET_WEIGHT
        off_x, off_y = x - self._mean_x, y - self._mean_y
        self._mean_x += off_x / self._n
        self._mean_y += off_y / self._n
        self.product += off_x * (y - self._mean_y)
        self.square += off_x * (x - self._mean_x)
        measured_s, self._last_x = x - self._last_x, x
        return measured_s
