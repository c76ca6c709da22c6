"""How often to draw: as often as the line to the terminal takes it."""

from __future__ import annotations

MOST_HZ, LEAST_HZ = 15.0, 1.0
LATE_LIMIT = 3
"""Frames late one after another, before drawing less often; one may be late by chance."""
PATIENCE_S = 5.0
"""Seconds of frames in time, one after another, before drawing more often again."""


class Pace:
    """Lowers the frame rate where drawing or writing is late, and raises it again.

    Attributes:
        rate_hz: Frames a second, just now.
    """

    def __init__(self, most_hz: float = MOST_HZ) -> None:
        self.rate_hz = most_hz
        self._most_hz = most_hz
        self._n_good = 0
        self._n_late = 0

    @property
    def interval_s(self) -> float:
        """Seconds between frames."""
        return 1 / self.rate_hz

    def frame(self, took_s: float, backlog: int) -> bool:
        """Take note of a frame.

        Args:
            took_s: Seconds since the frame before.
            backlog: Writes that wait for the terminal.

        Returns:
            Whether to draw: not while any wait, as what they show would only grow older.
        """
        late = took_s > 2 * self.interval_s or backlog > 0
        self._n_late = self._n_late + 1 if late else 0
        if self._n_late >= LATE_LIMIT:
            self.rate_hz = max(self.rate_hz / 2, LEAST_HZ)
            self._n_good = self._n_late = 0
        elif not late:
            self._n_good += 1
            if self._n_good >= PATIENCE_S * self.rate_hz and self.rate_hz < self._most_hz:
                self.rate_hz = min(self.rate_hz * 1.5, self._most_hz)
                self._n_good = 0
        return backlog == 0
