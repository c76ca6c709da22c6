"""Delays between attempts to connect again."""

from __future__ import annotations

FIRST_S = 0.5
LIMIT_S = 30.0


class BackOff:
    """Delays that double from ``first_s`` up to ``limit_s``, in seconds."""

    def __init__(self, first_s: float = FIRST_S, limit_s: float = LIMIT_S) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the delay before the next attempt, in seconds."""
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self._limit_s)
        return delay_s

    def reset(self) -> None:
        """Start again from ``first_s``, after an attempt that succeeded."""
        self._next_s = self._first_s
