"""Which moment is shown: the newest, a frozen one, or where a recording is being played."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class Playhead:
    """A place in the stream; may be asked from any thread.

    Args:
        live: Whether the newest moment is shown unless frozen.
        now: Monotonic seconds.

    Attributes:
        playing: Whether it moves.
        speed: Of a recording, times real pace.
        known_s: What became known until then is listed: of a live stream, until it was frozen.
    """

    def __init__(self, *, live: bool, now: Callable[[], float]) -> None:
        self.playing = True
        self.speed = 1.0
        self.known_s = 0.0 if live else math.inf
        self._live = live
        self._now = now
        self._time_s = 0.0
        self._seen = now()
        self._lock = threading.Lock()

    def at(self, end_s: float) -> float:
        """The moment to show, in seconds, where audio is known up to ``end_s``."""
        with self._lock:
            now = self._now()
            if self._live:
                if self.playing:
                    self._time_s = self.known_s = end_s
            elif self.playing:
                self._time_s = min(self._time_s + (now - self._seen) * self.speed, end_s)
            self._seen = now
            return self._time_s

    def toggle(self) -> None:
        """Freeze or go on; a live view jumps back to now."""
        self.playing = not self.playing

    def seek(self, time_s: float, end_s: float) -> None:
        """Go to a place in a recording, or freeze a live view there."""
        with self._lock:
            self._time_s = min(max(time_s, 0.0), end_s)
        if self._live:
            self.playing = False

    def change_speed(self, steps: int) -> None:
        """Play a recording faster or slower."""
        index = SPEEDS.index(self.speed) + steps
        self.speed = SPEEDS[min(max(index, 0), len(SPEEDS) - 1)]
