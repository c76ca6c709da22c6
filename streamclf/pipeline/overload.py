"""What to do when listening is slower than the audio: wider hops, and at last skipped audio.

Audio that comes at its own pace waits in the source while the stages are busy. How much waits is
reckoned from two clocks alone: what the stages take, and what the audio lasts. Nothing is skipped
before the hop is as wide as it may be, and whatever is skipped is a gap.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice
from streamclf.core.stats import HopChange, Statistics

HOPS_S = (0.5, 1.0, 1.5)
"""Hops to go over to, as far as they are wider than the one asked for."""
OVERLOAD = "overload"
WAITING_S = 2.0
"""Seconds of waiting audio, more than at the last step, at which the next step is taken. A
microphone's ring holds ten."""
SKIP_S = 6.0
"""Seconds of waiting audio, at least, at which audio is skipped."""
CAUGHT_UP_S = 0.25
WAITED_S = 0.02
"""A source that lets one wait so long has nothing more in store."""
LOAD_OVER_S = 10.0
"""Seconds of audio over which the load is averaged, and to wait before a narrower hop is tried."""
ROOM = 0.7
"""A narrower hop must promise to leave this much of the time at most in use."""
RELAPSE_S = 60.0
MAX_PATIENCE_S = 320.0


class Overload:
    """Keeps the hop as narrow as the machine bears.

    Args:
        hop_s: Gives the hop asked for, in seconds.
        longest_s: No hop may be wider, or audio between the windows would go unheard.
        use_hop: Told the hop to go over to with the next audio, in seconds.
        statistics: Where steps and skipped windows are counted.
        fixed: Keep the hop, and skip audio at once.
        now: Monotonic seconds.

    Attributes:
        reason: Why the hop is wider than asked for; empty if it is not.
    """

    def __init__(
        self,
        hop_s: Callable[[], float],
        longest_s: float,
        use_hop: Callable[[float], None],
        statistics: Statistics,
        *,
        fixed: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason = ""
        self._hop_s = hop_s
        self._longest_s = longest_s
        self._use_hop = use_hop
        self._statistics = statistics
        self._fixed = fixed
        self._now = now
        self._level = 0
        self._waiting_s = self._step_at_s = 0.0
        self._busy_s = self._heard_s = 0.0
        self._since_step_s, self._patience_s = 0.0, LOAD_OVER_S
        self._narrowed_s = math.inf
        self._skipped: Gap | None = None

    @property
    def hop_s(self) -> float:
        """The hop in force, in seconds."""
        return self._steps()[self._level]

    @property
    def load(self) -> float:
        """Time taken / time that the audio lasted, lately; above 1 falls behind."""
        return self._busy_s / self._heard_s if self._heard_s else 0.0

    def forget(self) -> None:
        """Begin with the hop asked for, as it is another one now."""
        self._level, self.reason = 0, ""
        self._since_step_s = 0.0

    def watch(
        self, items: Iterable[Block | Gap | Notice], pace: Callable[[], float | None]
    ) -> Iterator[Block | Gap | Notice]:
        """Pass audio on, less what must be skipped, and say what is changed.

        Args:
            items: Of a source.
            pace: Gives the source's, which may go over from one device to another; where it is
                None nothing is lost by being slow, nor done here.
        """
        source = iter(items)
        asked = self._now()
        while True:
            try:
                item = next(source, None)
            except SourceError:
                yield from self._end_skipping()
                raise
            if item is None:
                yield from self._end_skipping()
                return
            came = self._now()
            yield from self._handle(item)
            speed = pace()
            had_to_wait = came - asked > WAITED_S
            asked = self._now()
            if speed is None:
                self._waiting_s = self._step_at_s = 0.0
            else:
                n_samples = 0 if isinstance(item, Notice) else item.end - item.position
                self._reckon(asked - came, n_samples / item.sample_rate / speed, had_to_wait)

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

    def _reckon(self, busy_s: float, lasted_s: float, had_to_wait: bool) -> None:
        """Take note of what an item took, and how long it lasted."""
        waiting_s = 0.0 if had_to_wait else self._waiting_s
        self._waiting_s = max(waiting_s + busy_s - lasted_s, 0.0)
        self._step_at_s = min(self._step_at_s, self._waiting_s)
        fading = math.exp(-lasted_s / LOAD_OVER_S)
        if self._skipped is None:
            self._busy_s = fading * self._busy_s + busy_s
            self._heard_s = fading * self._heard_s + lasted_s
        self._since_step_s += lasted_s
        self._narrowed_s += lasted_s

    def _must_skip(self) -> bool:
        if self._skipped is not None:
            return self._waiting_s > CAUGHT_UP_S
        widest = self._level == len(self._steps()) - 1
        return widest and self._waiting_s > max(SKIP_S, self._step_at_s + WAITING_S)

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
        """Widen or narrow the hop, if it is time; what to say then."""
        steps = self._steps()
        if self._waiting_s > self._step_at_s + WAITING_S and self._level < len(steps) - 1:
            if self._narrowed_s < RELAPSE_S:
                self._patience_s = min(2 * self._patience_s, MAX_PATIENCE_S)
            else:
                self._patience_s = LOAD_OVER_S
            self._step_at_s = self._waiting_s
            reason = f"{self._load_text()}, {self._waiting_s:.1f} s wait"
            return self._go_to(self._level + 1, reason)
        if not self._level or self._since_step_s <= self._patience_s:
            return ""
        load_then = self.load * steps[self._level] / steps[self._level - 1]
        if load_then >= ROOM or self._waiting_s >= CAUGHT_UP_S:
            return ""
        self._narrowed_s = 0.0
        return self._go_to(self._level - 1, f"there is room again, {self._load_text()}")

    def _go_to(self, level: int, reason: str) -> str:
        before_s, self._level = self.hop_s, level
        hop_s = self.hop_s
        self.reason = reason if level else ""
        self._since_step_s = self._busy_s = self._heard_s = 0.0
        self._statistics.add_hop(
            HopChange(self._statistics.elapsed_samples, before_s, hop_s, reason)
        )
        self._use_hop(hop_s)
        return f"hop {hop_s:g} s instead of {before_s:g} s: {reason}"

    def _steps(self) -> list[float]:
        asked = self._hop_s()
        wider = [hop_s for hop_s in HOPS_S if asked < hop_s <= self._longest_s]
        return [asked] if self._fixed else [asked, *wider]

    def _load_text(self) -> str:
        return f"a second of audio takes {self.load:.2f} s"
