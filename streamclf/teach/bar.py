"""The bar of a taught label: the value that a window's sum must reach for the sound to be told.

Two curves over all possible bars decide: which part of the examples' scenes would be found, and how
many events an hour would be false. Both are counted as events are detected: from averages of
scores, and from single windows that leave no doubt. The bar with the best F1 is taken, for a sound
that comes `TIMES_AN_HOUR`; it rises until the past has at most as many events as are wanted, unless
the examples would be lost.

A past of a few hours says little about a week. So where few events are left in it, their number is
taken to fall exponentially as the bar rises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Threshold
from streamclf.core.settings import Settings
from streamclf.pipeline.evidence import MAX_WEIGHT, RULES

ON = 0.4
"""Averaged score at which an event of a taught label begins. A short sound fills a part of the
average alone."""
STEEPNESS = 8.0
"""Log-odds between a window at the bar and one of the background's mean. The steeper, the less a
sound needs to exceed the bar for one or two windows to be enough."""
ENDS_AT = 0.4
"""Part of the bar at which an event ends."""
THRESHOLD = Threshold(ON, round(1 / (1 + (1 - ON) / ON * math.exp(STEEPNESS * (1 - ENDS_AT))), 6))
"""Averaged scores at which events of a taught label begin and end."""
TIMES_AN_HOUR = 2.0
"""How often the sound is taken to come, where found and false ones are weighed."""
FOUND = 0.5
"""Part of the examples' scenes that is to be found, however few events the past may have."""
LOWEST = 0.2
"""Lowest bar that is tried, as a part of the value of a typical example."""
LEAST = 0.5
"""Lowest bar that is tried, in spreads of the background."""
N_BARS = 40
FEW, MANY = 3, 40
"""Below so few events the past's number of them is fitted, to bars that have not too many."""
LEAST_EVENTS = 0.02
BEGINS = RULES[Settings().begin]
"""Evidence of single windows by which events begin (`streamclf.pipeline.evidence`)."""
AVERAGE_S = Settings().average_s
"""Length of the average by which events begin."""
PAUSE_S = 1.0
"""Pause that does not end an event."""
MOST_LOG_ODDS = 13.8
"""Largest log-odds that count as evidence."""
WINDOWS_OF_EVENT = 3
"""Windows of a short event, of which a common sound is one."""

Values = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bar:
    """A bar, with the scale on which a window's value becomes a logit.

    Attributes:
        value: Value of a window at which its score is the threshold's ``on``.
    """

    value: float

    @property
    def gain(self) -> float:
        """Factor of values: a window of `ENDS_AT` of the bar has the threshold's ``off``."""
        return STEEPNESS / self.value

    @property
    def constant(self) -> float:
        """What is added to a value times the gain."""
        return _logit(THRESHOLD.on) - self.gain * self.value

    def scores(self, values: Values) -> Values:
        """Scores in 0..1 of windows with these values, ``(windows,)``."""
        logits = np.clip(values * self.gain + self.constant, -30, 30)
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)

    def is_found(self, values: Values, every_s: float) -> bool:
        """Whether windows of these values give an event."""
        return bool(self._turns_on(values, every_s).any())

    def count_events(self, values: Values, every_s: float) -> int:
        """Count the events that windows of these values give."""
        on = np.flatnonzero(self._turns_on(values, every_s))
        if not on.size:
            return 0
        return 1 + int((np.diff(on) * every_s > PAUSE_S + every_s).sum())

    def _turns_on(self, values: Values, every_s: float) -> npt.NDArray[np.bool_]:
        """At which windows the label is on, ``(windows,)``."""
        by_average = _averages(self.scores(values), every_s) >= THRESHOLD.on
        log_odds = values.astype(np.float64) * self.gain + self.constant
        excess = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS) - _logit(THRESHOLD.on)
        return by_average | _is_sure(excess)


@dataclass(frozen=True, eq=False)
class Heard:
    """What is known of a layer's values.

    Attributes:
        scenes: Values of the windows of each scene of an example, by a layer fitted without it.
        past: Values of the past's windows, one array for each stream, and seconds between two.
        common: Values of windows of common sounds, each of another sound, ``(windows,)``.
        every_s: Seconds between two windows of a scene.
    """

    scenes: Sequence[Values]
    past: Sequence[tuple[Values, float]]
    common: Values
    every_s: float


def choose_bar(heard: Heard, at_most: float) -> Bar:
    """Choose the bar.

    Args:
        heard: What is known of the layer's values; there is at least one scene.
        at_most: Events an hour that the past may have.
    """
    highest = [float(values.max(initial=0)) for values in heard.scenes]
    others = [values for values, _ in heard.past] + [heard.common]
    top = 1.2 * max(*highest, *(float(values.max(initial=0)) for values in others), LEAST)
    lowest = min(max(LOWEST * float(np.median(highest)), LEAST), top / 2)
    bars = np.linspace(lowest, top, N_BARS)
    found = np.array([_part_found(heard, Bar(bar)) for bar in bars])
    false = _false_an_hour(bars, heard)
    best = 2 * TIMES_AN_HOUR * found / (TIMES_AN_HOUR * (1 + found) + false)
    chosen = float(np.mean(bars[best >= best.max() - 1e-9]))
    quiet = bars[false <= at_most]
    sure = bars[found >= FOUND]
    wanted = min(float(quiet[0]) if quiet.size else top, float(sure[-1]) if sure.size else 0.0, top)
    return Bar(max(chosen, wanted))


def _part_found(heard: Heard, bar: Bar) -> float:
    return float(np.mean([bar.is_found(values, heard.every_s) for values in heard.scenes]))


def _false_an_hour(bars: Curve, heard: Heard) -> Curve:
    """Count the events of the past and of common sounds at each bar, and divide by the hours."""
    hours = sum(values.size * every_s for values, every_s in heard.past)
    hours = (hours + heard.common.size * WINDOWS_OF_EVENT * heard.every_s) / 3600
    if not hours:
        return np.zeros(bars.size)
    counts = np.array([float((heard.common >= bar).sum()) for bar in bars])
    for values, every_s in heard.past:
        counts += [Bar(bar).count_events(values, every_s) for bar in bars]
    # A lower bar may join two events to one; it is no better for that.
    counts = np.maximum.accumulate(counts[::-1])[::-1]
    fitted = (counts >= 1) & (counts <= MANY)
    expected = counts
    if fitted.sum() > 1:
        slope, constant = np.polyfit(bars[fitted], np.log(counts[fitted]), 1)
        expected = np.exp(constant + slope * bars) if slope < 0 else counts
    expected = np.clip(expected, LEAST_EVENTS, FEW)
    return np.asarray(np.where(counts >= FEW, counts, expected) / hours)


def _is_sure(excess: Curve) -> npt.NDArray[np.bool_]:
    """At which windows single ones leave no doubt, as `streamclf.pipeline.evidence` sums them up.

    The sum is taken for all windows at once. It has no upper limit here, so it may stay for some
    windows longer behind a clear sound, when the label is on anyway.

    Args:
        excess: ``(windows,)``, log-odds above those of the threshold.
    """
    added = MAX_WEIGHT * (excess - BEGINS.margin)
    sums = np.cumsum(added)
    evidence = sums - np.minimum(np.minimum.accumulate(sums), 0)
    return np.asarray((evidence >= BEGINS.required) & (added > 0), np.bool_)


def _averages(scores: Values, every_s: float) -> Curve:
    """Mean of the scores of the last `AVERAGE_S`, which before the first window are 0."""
    n = max(1, round(AVERAGE_S / every_s))
    sums = np.cumsum(np.concatenate([np.zeros(n), scores]), dtype=np.float64)
    return np.asarray((sums[n:] - sums[:-n]) / n)


def _logit(score: float) -> float:
    return math.log(score / (1 - score))
