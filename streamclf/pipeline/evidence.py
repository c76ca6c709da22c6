"""Evidence of single windows, which turns a class on before its average has risen.

An average over some seconds rises slowly. Most sounds can be recognised sooner, because window
after window gives the class a score far above its threshold. The evidence for a class is a
cumulative sum: each window adds the difference between the log-odds of its score and those of the
threshold plus a margin. The difference may be negative; the sum never falls below 0. A class turns
on when its sum reaches the limit in `RULES`.

Overlapping windows share audio, so the weight of a window is the new part of its audio. It is at
most `MAX_WEIGHT`: at any hop, one window alone needs higher scores than two do. While the
newest window still holds another event, the limit is `OTHER_EVENT_FACTOR` times as high, because
windows name absent classes where one sound begins, ends or drowns another.

Source: cumulative sums, E. S. Page, "Continuous Inspection Schemes", Biometrika 41, 1954.
research/results.md describes the choice of the constants under "How soon an event is told".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.core.settings import Begin

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rule:
    """The evidence that turns a class on.

    Attributes:
        margin: Log-odds above the threshold's that a window must exceed to add to the sum.
        required: Sum of the weighted excess that turns the class on; the weights are parts of a
            window.
    """

    margin: float
    required: float


RULES: dict[Begin, Rule] = {"sure": Rule(3.0, 0.5), "eager": Rule(1.0, 1 / 3)}
"""Rules by the setting ``begin``; ``patient`` has none, as it waits for the average."""

MAX_WEIGHT = 1 / 6
"""Largest weight of a window: that of windows of 1.5 s at a hop of 0.25 s."""

OTHER_EVENT_FACTOR = 3.0
"""Factor of the required evidence while the newest window still holds another event."""

_MIN_SCORE = 1e-6
"""Scores are clipped to this distance from 0 and 1, so that no window outweighs all others."""


class Evidence:
    """The evidence for each class, summed over the windows since the last gap.

    `retune` sets the thresholds and must be called before `add`.

    Args:
        n_labels: Number of classes.
        rule: The evidence that turns a class on.
    """

    def __init__(self, n_labels: int, rule: Rule) -> None:
        self._evidence = np.zeros(n_labels)
        self._rule = rule

    def retune(self, on: Values) -> None:
        """Use other thresholds from now on: ``(classes,)``, the scores that turn classes on."""
        self._bar_log_odds = _log_odds(on) + self._rule.margin

    def add(self, scores: Values, weight: float, other_event: npt.NDArray[np.bool_]) -> Values:
        """Add the scores of the next window.

        Args:
            scores: ``(classes,)`` in 0..1.
            weight: Part of the window that lies after the end of the last window.
            other_event: ``(classes,)``: whether the window still holds another class's event.

        Returns:
            ``(classes,)``: the scores of classes with enough evidence, 0 for the others.
        """
        excess = _log_odds(scores) - self._bar_log_odds
        evidence = self._evidence + min(weight, MAX_WEIGHT) * excess
        alone = self._rule.required
        self._evidence = np.clip(evidence, 0.0, OTHER_EVENT_FACTOR * alone)
        required = np.where(other_event, OTHER_EVENT_FACTOR * alone, alone)
        sure = (self._evidence >= required) & (excess > 0)
        return np.where(sure, scores, np.float32(0))


def _log_odds(scores: Values) -> npt.NDArray[np.float64]:
    clear = np.clip(scores.astype(np.float64), _MIN_SCORE, 1 - _MIN_SCORE)
    return np.log(clear / (1 - clear))
