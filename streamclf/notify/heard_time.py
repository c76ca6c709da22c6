"""Heard time of a source: how much of the time up to a moment was heard, gaps left out."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

MOST_SPANS = 1000
"""Spans without a gap that are kept, the newest ones."""
NEXT_US = 2000
"""Audio that begins within so many microseconds after other audio continues it. Local time is
rounded, and a clock's drift is followed in small steps."""

SET_BACK_US = 60_000_000
"""Audio that ends so much earlier than what is known was heard after the clock was set back."""


@dataclass(slots=True)
class _Span:
    from_us: int
    until_us: int
    before_us: int  # heard before it


class HeardTime:
    """Heard time of one source. All values are microseconds.

    Where the system's clock is set back, the spans begin anew, and what was heard still counts.
    """

    def __init__(self) -> None:
        self._spans: list[_Span] = []

    @property
    def until_us(self) -> int | None:
        """Moment up to which audio was heard last; None before the first."""
        return self._spans[-1].until_us if self._spans else None

    @property
    def total_us(self) -> int:
        """All that was heard."""
        if not self._spans:
            return 0
        last = self._spans[-1]
        return last.before_us + last.until_us - last.from_us

    def add(self, from_us: int, until_us: int) -> None:
        """Add audio without a gap."""
        if until_us <= from_us:
            return
        total_us = self.total_us
        if self._spans and until_us <= self._spans[-1].until_us:
            if self._spans[-1].until_us - until_us <= SET_BACK_US:
                return  # it is known already
            self._spans = []
        if self._spans and from_us <= self._spans[-1].until_us + NEXT_US:
            self._spans[-1].until_us = until_us
            return
        self._spans.append(_Span(from_us, until_us, total_us))
        del self._spans[:-MOST_SPANS]

    def at(self, moment_us: int) -> int:
        """How much was heard up to a moment."""
        index = bisect_right(self._spans, moment_us, key=lambda span: span.from_us) - 1
        if index < 0:
            return self._spans[0].before_us if self._spans else 0
        span = self._spans[index]
        return span.before_us + min(moment_us, span.until_us) - span.from_us

    def reached(self, total_us: int) -> int | None:
        """The moment at which so much was heard; None if it is not reached yet."""
        if total_us > self.total_us or not self._spans:
            return None
        index = bisect_right(self._spans, total_us, key=lambda span: span.before_us) - 1
        if index > 0 and self._spans[index].before_us == total_us:
            index -= 1  # at the end of the span before, not after the gap
        span = self._spans[max(index, 0)]
        return span.from_us + max(total_us - span.before_us, 0)
