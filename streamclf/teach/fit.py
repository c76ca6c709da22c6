"""Fitting of a label's layer to a handful of examples.

With five examples of hundreds of values each, the examples alone say little about which values
matter. The background says more: how the values of all other sounds spread, and together. So the
features, brought to length 1, are first whitened by the background's covariance, half of it shrunk
towards equal variances; in that space a regularised logistic regression tells examples from
background. At its strong end this is linear discriminant analysis, from which it moves as far as
the examples carry it. Each example counts the same, however long it is, and so do examples and
background. A second fit gives the background's nearest windows half of its weight: what the sound
is taken for matters more than the many windows that nobody takes for it.

Sources: O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
matrices", 2004; J. Snell et al., "Prototypical Networks for Few-shot Learning", 2017, whose
comparison of a window with the mean of the examples this is in whitened space. research/teaching.md
compares it with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.teach.examples import Features
from streamclf.teach.taught_graph import to_unit_length

CONFUSED_SHARE = 0.3
"""Share of what it is told apart from that sounds named for it (``--not``) have together."""
MOST_STEPS = 30
LARGEST_STEP = 5.0
SETTLED = 1e-6
Wide = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """How strongly a fit is held back.

    Attributes:
        shrinkage: Part of the covariance that is replaced by equal variances; with 1 the fit is a
            plain logistic regression of values that are scaled by their spread.
        decay: Weight of the squared norm of the whitened weights.
        nearest: Part of the background that has half of its weight in a second fit, as the first
            one takes it for the sound; 0 for one fit.
    """

    shrinkage: float = 0.5
    decay: float = 0.3
    nearest: float = 0.05


FIT = Fit()


class Background:
    """What a sound is told apart from.

    Args:
        windows: Features of other sounds, ``(windows, size)``.
        confused: Features of sounds that are easily taken for it, ``(windows, size)``; may be
            empty.
        settings: How strongly the fit is held back.
    """

    def __init__(
        self, windows: Features, confused: Features | None = None, settings: Fit = FIT
    ) -> None:
        self._decay, self._nearest = settings.decay, settings.nearest
        every = to_unit_length(windows).astype(np.float64)
        self._mean = every.mean(axis=0)
        spread = every.std(axis=0)
        # A value that never changes in the background must not decide everything.
        self._spread = np.maximum(spread, 0.05 * max(float(spread.mean()), 1e-12))
        scaled = (every - self._mean) / self._spread
        variances, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        shrinkage = settings.shrinkage
        kept = variances.clip(min=0) * (1 - shrinkage) + shrinkage * variances.mean()
        self._whitening = axes / np.sqrt(np.maximum(kept, 1e-12))
        self._others = scaled @ self._whitening
        self._confused = None
        if confused is not None and len(confused):
            self._confused = self.whiten(confused)

    def fit(self, examples: Sequence[Features]) -> tuple[npt.NDArray[np.float32], float]:
        """Fit a direction that tells examples from the background.

        Args:
            examples: Features of each example's windows, ``(windows, size)``.

        Returns:
            Weights ``(size,)`` of features of length 1, and what is to be added so that the
            background's mean gives 0.
        """
        own = [self.whiten(each) for each in examples]
        confused = CONFUSED_SHARE if self._confused is not None else 0.0
        groups = [(rows, 0.5 / len(own)) for rows in own]
        if self._confused is not None:
            groups.append((self._confused, 0.5 * confused))
        fixed = [np.full(len(rows), share / len(rows)) for rows, share in groups]
        rows = np.concatenate([*(rows for rows, _ in groups), self._others])
        targets = (np.arange(len(rows)) < sum(map(len, own))).astype(np.float64)
        of_others = np.full(len(self._others), 1 / len(self._others))
        weights = np.concatenate([*fixed, of_others * 0.5 * (1 - confused)])
        fitted = _fit_logistic(rows, targets, weights, self._decay)
        if self._nearest:
            of_others = self._weigh_nearest(self._others @ fitted)
            weights = np.concatenate([*fixed, of_others * 0.5 * (1 - confused)])
            fitted = _fit_logistic(rows, targets, weights, self._decay)
        direction = self._whitening @ fitted / self._spread
        return direction.astype(np.float32), -float(self._mean @ direction)

    def _weigh_nearest(self, values: Wide) -> Wide:
        """Weigh the windows of the background by how near they come; the sum is 1."""
        near = values >= np.quantile(values, 1 - self._nearest)
        shares = np.where(near, 0.5 / max(near.sum(), 1), 0.5 / max((~near).sum(), 1))
        return np.asarray(shares)

    def whiten(self, features: Features) -> Wide:
        """Measure features ``(windows, size)`` by how the background spreads."""
        scaled = (to_unit_length(features).astype(np.float64) - self._mean) / self._spread
        return np.asarray(scaled @ self._whitening)


def _fit_logistic(rows: Wide, targets: Wide, weights: Wide, decay_of_all: float) -> Wide:
    """Minimise the weighted logistic loss by Newton's method.

    Args:
        rows: ``(n, size)``.
        targets: ``(n,)``, 0 or 1.
        weights: ``(n,)``, of the rows; their sum is 1.
        decay_of_all: Weight of the squared norm of what is fitted.

    Returns:
        Weights ``(size,)`` without the constant, which is chosen elsewhere.
    """
    padded = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    decay = np.full(padded.shape[1], decay_of_all)
    decay[-1] = 1e-6
    fitted = np.zeros(padded.shape[1])
    for _ in range(MOST_STEPS):
        said = 0.5 * (1 + np.tanh(0.5 * (padded @ fitted)))
        slope = padded.T @ (weights * (said - targets)) + decay * fitted
        if np.abs(slope).max() < SETTLED:
            break
        curvature = weights * said * (1 - said)
        hessian = (padded * curvature[:, np.newaxis]).T @ padded + np.diag(decay)
        step = np.linalg.solve(hessian, slope)
        fitted -= step * min(1.0, LARGEST_STEP / max(float(np.linalg.norm(step)), 1e-12))
    return np.asarray(fitted[:-1])
