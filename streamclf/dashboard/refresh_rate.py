"""The frame rate, adapted to the speed of the connection to the terminal."""

from __future__ import annotations

MAX_HZ, MIN_HZ = 15.0, 1.0
LATE_LIMIT = 3
"""Number of late frames in a row after which the rate is lowered; one may be late by chance."""
RECOVERY_S = 5.0
"""Seconds of punctual frames in a row after which the rate is raised again."""


class RefreshRate:
    """A frame rate that falls while drawing or writing is late, and rises again afterwards.

    Attributes:
        rate_hz: Current number of frames a second.
    """

    def __init__(self, max_hz: float = MAX_HZ) -> None:
        self.rate_hz = max_hz
        self._max_hz = max_hz
        self._n_punctual = 0
        self._n_late = 0

    @property
    def interval_s(self) -> float:
        """Time between two frames, in seconds."""
        return 1 / self.rate_hz

    def record_frame(self, took_s: float, backlog: int) -> bool:
        """Record a frame and adapt the rate.

        Args:
            took_s: Seconds since the previous frame.
            backlog: Number of writes that wait for the terminal.

        Returns:
            Whether to draw. While writes wait, another frame would only add to the delay.
        """
        late = took_s > 2 * self.interval_s or backlog > 0
        self._n_late = self._n_late + 1 if late else 0
        if self._n_late >= LATE_LIMIT:
            self.rate_hz = max(self.rate_hz / 2, MIN_HZ)
            self._n_punctual = self._n_late = 0
        elif not late:
            self._n_punctual += 1
            if self._n_punctual >= RECOVERY_S * self.rate_hz and self.rate_hz < self._max_hz:
                self.rate_hz = min(self.rate_hz * 1.5, self._max_hz)
                self._n_punctual = 0
        return backlog == 0
