"""Reaction to overload: wider hops first, and skipped audio as the last resort.

A live source buffers audio while the stages are busy. The length of this backlog is computed from
two durations: the time that the stages take, and the time that the audio lasts. Audio is skipped
only at the widest allowed hop, and every skipped stretch becomes a gap.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.core.stats import HopChange, Statistics

HOPS_S = (0.5, 1.0, 1.5)
"""Wider hops, in seconds, that replace the requested hop one after another."""
OVERLOAD = "overload"
STEP_BACKLOG_S = 2.0
"""Growth of the backlog since the last step, in seconds, that triggers the next step. The ring
buffer of a microphone holds 10 s."""
SKIP_BACKLOG_S = 6.0
"""Smallest backlog, in seconds, at which audio is skipped."""
CAUGHT_UP_BACKLOG_S = 0.25
IDLE_WAIT_S = 0.02
"""A source that took this many seconds to deliver an item has no backlog."""
LOAD_TIME_CONSTANT_S = 10.0
"""Seconds of audio over which the load is averaged, and before a narrower hop is tried."""
MAX_NARROWED_LOAD = 0.7
"""Largest predicted load at which the hop is narrowed."""
RELAPSE_S = 60.0
"""Seconds of audio after narrowing; a wider hop within them doubles the next wait."""
MAX_PATIENCE_S = 320.0
"""Longest wait before a narrower hop is tried, in seconds of audio."""


class Overload:
    """Controller that keeps the hop as narrow as the machine's speed allows.

    Args:
        hop_s: Returns the requested hop, in seconds.
        max_hop_s: Widest hop, in seconds: with a wider one, windows would leave out audio.
        set_hop: Called with the hop to use from the next audio on, in seconds.
        statistics: Counts steps and skipped windows.
        fixed: Keep the hop, and skip audio at once.
        now: Returns monotonic seconds.

    Attributes:
        reason: Why the hop is wider than requested; empty if it is not.
    """

    def __init__(
        self,
        hop_s: Callable[[], float],
        max_hop_s: float,
        set_hop: Callable[[float], None],
        statistics: Statistics,
        *,
        fixed: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason = ""
        self._hop_s = hop_s
        self._max_hop_s = max_hop_s
        self._set_hop = set_hop
        self._statistics = statistics
        self._fixed = fixed
        self._now = now
        self._level = 0
        self._backlog_s = self._step_backlog_s = 0.0
        self._busy_s = self._audio_s = 0.0
        self._since_step_s, self._patience_s = 0.0, LOAD_TIME_CONSTANT_S
        self._since_narrowed_s = math.inf
        self._skipped: Gap | None = None

    @property
    def hop_s(self) -> float:
        """The hop in force, in seconds."""
        steps = self._steps()
        # Another thread may ask while a new hop, with fewer steps above it, is taken over.
        return steps[min(self._level, len(steps) - 1)]

    @property
    def load(self) -> float:
        """Recent processing time / audio time; a load above 1 makes the backlog grow."""
        return self._busy_s / self._audio_s if self._audio_s else 0.0

    def reset(self) -> None:
        """Start again from the requested hop, because the request has changed."""
        self._level, self.reason = 0, ""
        self._since_step_s = 0.0

    def watch(
        self, items: Iterable[Block | Gap | Notice], pace: Callable[[], float | None]
    ) -> Iterator[Block | Gap | Notice]:
        """Pass audio on, without the audio that must be skipped, and give notice of each step.

        Args:
            items: The items of one source.
            pace: Returns the source's pace, which may change with its device: seconds of audio
                per second, or None for a source that loses nothing while it waits. With None
                all items pass unchanged.

        Raises:
            SourceError: The source fails. Skipped audio is recorded as a gap before.
        """
        source = iter(items)
        requested_s = self._now()
        while True:
            try:
                item = next(source, None)
            except SourceError:
                yield from self._end_skipping()
                raise
            if item is None:
                yield from self._end_skipping()
                return
            arrived_s = self._now()
            yield from self._handle(item)
            speed = pace()
            source_was_idle = arrived_s - requested_s > IDLE_WAIT_S
            requested_s = self._now()
            if speed is None:
                self._backlog_s = self._step_backlog_s = 0.0
            else:
                n_samples = 0 if isinstance(item, Notice) else item.end - item.position
                self._update_backlog(
                    requested_s - arrived_s, n_samples / item.sample_rate / speed, source_was_idle
                )

    def _handle(self, item: Block | Gap | Notice) -> Iterator[Block | Gap | Notice]:
        if isinstance(item, Notice):
            yield item
            return
        if isinstance(item, Block):
            if self._must_skip():
                if self._skipped and self._skipped.sample_rate != item.sample_rate:
                    yield from self._end_skipping()
                before = self._skipped or Gap(item.position, 0, item.sample_rate, OVERLOAD)
                n_samples = before.n_samples + item.n_samples
                self._skipped = Gap(before.position, n_samples, item.sample_rate, OVERLOAD)
                return
            yield from self._end_skipping()
            message = self._step()
            if message:
                yield Notice(item.position, item.sample_rate, message)
        else:
            yield from self._end_skipping()
        yield item

    def _update_backlog(self, busy_s: float, audio_s: float, source_was_idle: bool) -> None:
        """Update backlog and load.

        Args:
            busy_s: Seconds that the stages took for the item.
            audio_s: Seconds of audio in the item.
            source_was_idle: Whether the source had no backlog.
        """
        backlog_s = 0.0 if source_was_idle else self._backlog_s
        self._backlog_s = max(backlog_s + busy_s - audio_s, 0.0)
        self._step_backlog_s = min(self._step_backlog_s, self._backlog_s)
        fading = math.exp(-audio_s / LOAD_TIME_CONSTANT_S)
        if self._skipped is None:
            self._busy_s = fading * self._busy_s + busy_s
            self._audio_s = fading * self._audio_s + audio_s
        self._since_step_s += audio_s
        self._since_narrowed_s += audio_s

    def _must_skip(self) -> bool:
        if self._skipped is not None:
            return self._backlog_s > CAUGHT_UP_BACKLOG_S
        widest = self._level == len(self._steps()) - 1
        return widest and self._backlog_s > max(
            SKIP_BACKLOG_S, self._step_backlog_s + STEP_BACKLOG_S
        )

    def _end_skipping(self) -> Iterator[Gap | Notice]:
        gap, self._skipped = self._skipped, None
        if gap is None:
            return
        n_windows = max(round(gap.n_samples / gap.sample_rate / self.hop_s), 1)
        self._statistics.n_skipped += n_windows
        yield Notice(
            gap.position,
            gap.sample_rate,
            f"{gap.n_samples / gap.sample_rate:.1f} s of audio skipped: {self._load_text()}, at a "
            f"hop of {self.hop_s:g} s" + (" (--fixed-hop)" if self._fixed else ", the widest"),
        )
        yield gap

    def _step(self) -> str:
        """Widen or narrow the hop if necessary; return the notice, or an empty text."""
        steps = self._steps()
        if self._backlog_s > self._step_backlog_s + STEP_BACKLOG_S and self._level < len(steps) - 1:
            if self._since_narrowed_s < RELAPSE_S:
                self._patience_s = min(2 * self._patience_s, MAX_PATIENCE_S)
            else:
                self._patience_s = LOAD_TIME_CONSTANT_S
            self._step_backlog_s = self._backlog_s
            reason = f"{self._load_text()}, {self._backlog_s:.1f} s wait"
            return self._go_to(self._level + 1, reason)
        if not self._level or self._since_step_s <= self._patience_s:
            return ""
        predicted_load = self.load * steps[self._level] / steps[self._level - 1]
        if predicted_load >= MAX_NARROWED_LOAD or self._backlog_s >= CAUGHT_UP_BACKLOG_S:
            return ""
        self._since_narrowed_s = 0.0
        return self._go_to(self._level - 1, f"there is room again, {self._load_text()}")

    def _go_to(self, level: int, reason: str) -> str:
        before_s, self._level = self.hop_s, level
        hop_s = self.hop_s
        self.reason = reason if level else ""
        self._since_step_s = self._busy_s = self._audio_s = 0.0
        self._statistics.add_hop(
            HopChange(self._statistics.elapsed_samples, before_s, hop_s, reason)
        )
        self._set_hop(hop_s)
        return f"hop {hop_s:g} s instead of {before_s:g} s: {reason}"

    def _steps(self) -> list[float]:
        requested = self._hop_s()
        wider = [hop_s for hop_s in HOPS_S if requested < hop_s <= self._max_hop_s]
        return [requested] if self._fixed else [requested, *wider]

    def _load_text(self) -> str:
        return f"a second of audio takes {self.load:.2f} s"
