"""How far a run over an archive is, told on standard error."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable

from streamclf.core import log
from streamclf.core.redaction import mask_text, one_line
from streamclf.core.standard_streams import is_closed, is_terminal
from streamclf.core.text_format import format_count, format_length

TERMINAL_S = 1.0
"""Time between two states of the line on a terminal."""
LOG_S = 60.0
"""Time between two lines of a log."""
MOST_REASONS = 3
"""Reasons that a line names; the others are counted."""
LONGEST_REASON = 80
"""Characters of a reason in a line."""


class Progress:
    """How far a run is: hours done, x real time over all, time left, failures by reason.

    On a terminal one line is written again and again; a log gets a line a minute. Nothing is
    written where messages below warnings are not logged.

    Args:
        total_s: Audio of the run, in seconds, with what earlier runs have done.
        done_s: Audio that earlier runs have done, in seconds.
        clock: Tells the time in seconds.
        every_s: Seconds between two lines; None for what suits the terminal or the log.
    """

    def __init__(
        self,
        total_s: float,
        done_s: float = 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        every_s: float | None = None,
    ) -> None:
        self._clock = clock
        self._on_terminal = is_terminal(sys.stderr) and log.logs_progress()
        self._every_s = every_s or (TERMINAL_S if self._on_terminal else LOG_S)
        self._total_s, self._earlier_s, self._done_s = total_s, done_s, 0.0
        self._began = self._told = clock()
        self._shown = ""
        self._handler: Callable[[str], None] | None = None
        self.failures: Counter[str] = Counter()
        if self._on_terminal:
            self._handler, log.HANDLER.write = log.HANDLER.write, self._write_above

    def add(self, seconds: float, failures: Iterable[str] = ()) -> None:
        """Count an item that is done, and say how far the run is if it is time.

        Args:
            seconds: Audio of the item, in seconds, whether it was heard or not.
            failures: Why recordings of the item, or all of it, could not be heard, a reason each.
        """
        self._done_s += seconds
        self.failures.update(one_line(mask_text(reason)) for reason in failures)
        self.tell()

    def tell(self, *, now: bool = False) -> None:
        """Say how far the run is, if it is time or ``now`` is true."""
        moment = self._clock()
        if not now and moment - self._told < self._every_s:
            return
        self._told = moment
        if self._on_terminal:
            self._show(self.describe())
        else:
            log.say(self.describe())

    def describe(self) -> str:
        """Describe how far the run is, in one line."""
        elapsed_s = self._clock() - self._began
        done_s = self._earlier_s + self._done_s
        share = done_s / self._total_s if self._total_s else 1.0
        parts = [f"{_hours(done_s)} of {_hours(self._total_s)} h done ({100 * share:.0f} %)"]
        if self._done_s and elapsed_s > 0:
            speed = self._done_s / elapsed_s
            parts.append(f"{speed:,.0f} x real time")
            left_s = self._total_s - done_s
            if left_s >= 1:
                parts.append(f"{format_length(left_s / speed)} left")
        if self.failures:
            parts.append(describe_failures(self.failures))
        return ", ".join(parts)

    def close(self) -> None:
        """Take the line off the terminal."""
        if self._on_terminal:
            self._show("")
            log.HANDLER.write, self._on_terminal = self._handler, False

    def _show(self, line: str) -> None:
        if not is_closed(sys.stderr):
            sys.stderr.write(f"\r\x1b[K{line[: _columns() - 1]}")
            sys.stderr.flush()
            self._shown = line

    def _write_above(self, text: str) -> None:
        """Write lines of the log above the line."""
        if not is_closed(sys.stderr):
            sys.stderr.write(f"\r\x1b[K{text}")
            self._show(self._shown)


def describe_failures(failures: Counter[str], most: int | None = MOST_REASONS) -> str:
    """Describe failures by their reasons: ``3 failed (2 no such file, 1 ...)``.

    Args:
        failures: Number of failures by reason.
        most: Reasons that are named; None for all. The others are counted.
    """
    named = failures.most_common(most)
    parts = [f"{number:,} {_shorten(reason)}" for reason, number in named]
    if rest := failures.total() - sum(number for _, number in named):
        parts.append(f"{rest:,} for {format_count(len(failures) - len(named), 'other reason')}")
    return f"{failures.total():,} failed ({'; '.join(parts)})"


def _shorten(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 3]}..."


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}"


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
