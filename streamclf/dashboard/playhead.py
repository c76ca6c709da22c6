"""The displayed moment: the newest, a frozen one, or the position in a recording."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class Playhead:
    """The displayed time of a session; safe for any thread.

    Args:
        live: Whether the newest moment is displayed, unless the view is frozen.
        now: Returns monotonic seconds.

    Attributes:
        playing: Whether the displayed time advances.
        speed: Speed of a recording, as a factor of real time.
        known_s: Time up to which results are listed, in seconds. For a live source it is the
            newest moment, or that at which the view was frozen; for recordings it is infinite.
    """

    def __init__(self, *, live: bool, now: Callable[[], float]) -> None:
        self.playing = True
        self.speed = 1.0
        self.known_s = 0.0 if live else math.inf
        self._live = live
        self._now = now
        self._time_s = 0.0
        self._updated_at = now()
        self._lock = threading.Lock()

    def at(self, end_s: float) -> float:
        """Moment to display, in seconds, given that audio is known up to ``end_s``."""
        with self._lock:
            now = self._now()
            if self._live:
                if self.playing:
                    self._time_s = self.known_s = end_s
            elif self.playing:
                self._time_s = min(self._time_s + (now - self._updated_at) * self.speed, end_s)
            self._updated_at = now
            return self._time_s

    def toggle(self) -> None:
        """Freeze the display, or continue it; a live view jumps to the newest moment."""
        self.playing = not self.playing

    def seek(self, time_s: float, end_s: float) -> None:
        """Go to a time in a recording, or freeze a live view there."""
        with self._lock:
            self._time_s = min(max(time_s, 0.0), end_s)
        if self._live:
            self.playing = False

    def change_speed(self, steps: int) -> None:
        """Play a recording faster or slower, by steps in `SPEEDS`."""
        index = SPEEDS.index(self.speed) + steps
        self.speed = SPEEDS[min(max(index, 0), len(SPEEDS) - 1)]
