"""Windows' own scores -> classes that turn on before their average has risen.

An average over some seconds rises as slowly as it falls. Most sounds can be told sooner: window
after window says the same, far above the threshold. So the evidence is summed up: each window adds
by how much its log-odds exceed those of the threshold and a margin, or takes away what they lack;
the sum never falls below 0. A class is sure at once when its sum is enough (`RULES`).

Windows overlap, and what overlaps is not heard twice: a window weighs as much as is new of it, but
no more than `HEAVIEST`, so that a single window must be surer than two at any hop. While the
newest window still holds another event, `BESIDE` times as much is asked for: where one sound begins
or ends, or drowns another, windows name things that are not there.

Source: cumulative sums, E. S. Page, "Continuous Inspection Schemes", Biometrika 41, 1954. How the
constants were chosen: research/results.md, "How soon an event is told".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.core.settings import Begin

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rule:
    """How much evidence turns a class on.

    Attributes:
        margin: Log-odds above those of the threshold that a window must exceed to add anything.
        enough: Sum of the excess, in windows, that is asked for.
    """

    margin: float
    enough: float


RULES: dict[Begin, Rule] = {"sure": Rule(3.0, 0.5), "eager": Rule(1.0, 1 / 3)}
"""The patient wait for the average."""

HEAVIEST = 1 / 6
"""Of a window's evidence: as at a hop of 0.25 s and windows of 1.5 s."""

BESIDE = 3.0

_LEAST = 1e-6
"""Scores are taken to lie this far from 0 and 1: no single window outweighs all others."""


class Evidence:
    """What the windows of a stretch of audio say of each class, summed up.

    Args:
        n_labels: So many classes.
        rule: What is enough.
    """

    def __init__(self, n_labels: int, rule: Rule) -> None:
        self._sums = np.zeros(n_labels)
        self._rule = rule

    def retune(self, on: Values) -> None:
        """Go on with other thresholds: ``(classes,)``, of averages."""
        self._bar = _log_odds(on) + self._rule.margin

    def add(self, scores: Values, weight: float, beside: npt.NDArray[np.bool_]) -> Values:
        """Take the next window's scores.

        Args:
            scores: ``(classes,)``.
            weight: What it brings behind the last window's end, as a part of the window.
            beside: ``(classes,)``: whether the window still holds another class's event.

        Returns:
            ``(classes,)``: the scores of those that are sure at once, 0 for others.
        """
        excess = _log_odds(scores) - self._bar
        sums = self._sums + min(weight, HEAVIEST) * excess
        alone = self._rule.enough
        self._sums = np.clip(sums, 0.0, BESIDE * alone)
        enough = np.where(beside, BESIDE * alone, alone)
        sure = (self._sums >= enough) & (excess > 0)
        return np.where(sure, scores, np.float32(0))


def _log_odds(scores: Values) -> npt.NDArray[np.float64]:
    clear = np.clip(scores.astype(np.float64), _LEAST, 1 - _LEAST)
    return np.log(clear / (1 - clear))
