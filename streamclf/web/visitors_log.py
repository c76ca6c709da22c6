"""The log of what visitors do wrong: a line a minute, so that nobody fills the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamclf.core.log import LOGGER

EVERY_S = 60.0
"""Least time between two lines."""


class _OneInAWhile(logging.Filter):
    """Lets a line pass now and then, with the number of those left out since the last one."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._next_s = now()
        self._n_left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line may pass."""
        now = self._now()
        if record.levelno < logging.WARNING:
            return True
        if now < self._next_s:
            self._n_left_out += 1
            return False
        left_out = f", and {self._n_left_out} more since the last one" if self._n_left_out else ""
        record.msg = f"the page: a request was broken or cut off: {record.getMessage()}{left_out}"
        record.args = ()
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        self._n_left_out, self._next_s = 0, now + EVERY_S
        return True


def make_log(now: Callable[[], float] = time.monotonic) -> logging.Logger:
    """Make the log of a server, in which aiohttp tells of requests that are broken or cut off.

    Args:
        now: Returns monotonic seconds.
    """
    made = logging.Logger(f"{LOGGER.name}.page")
    made.parent = LOGGER
    made.addFilter(_OneInAWhile(now))
    return made
