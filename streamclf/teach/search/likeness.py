"""Likeness of two windows by their features: from -1 to 1, and 1 for the same.

What all windows of a place have in common, such as its background, says nothing about which of them
are alike. Features are therefore compared by the cosine after two steps: the mean of what is kept
is subtracted, and directions in which the kept features vary much count less: each is divided by
the square root of its variance and `RIDGE` times the mean variance. The fewer windows there are,
the less their variances say: they are then drawn to their mean, until all directions count alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.teach.search.small_products import multiply, pad, squares

Array = npt.NDArray[np.float32]

RIDGE = 3.0
"""Multiple of the mean variance that is added to that of each direction."""
BLOCK = 1024
"""Windows that are guessed at together: as float32 they fit into a processor's cache."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """A measure of likeness, made from windows of the past.

    Attributes:
        mean: ``(size,)``, subtracted from features.
        turn: ``(size, size)``; features times this have directions that count alike.
    """

    mean: Array
    turn: Array

    @classmethod
    def of(cls, sample: Array) -> Likeness:
        """Make the measure.

        Args:
            sample: ``(windows, size)``, features of windows from all the past that is compared.
        """
        size = sample.shape[1]
        if not len(sample):
            return cls(np.zeros(size, np.float32), np.eye(size, dtype=np.float32))
        mean = sample.mean(axis=0, dtype=np.float64)
        centred = (sample - mean).astype(np.float32)
        variances, directions = np.linalg.eigh(squares(centred) / len(sample))
        variances, few = np.maximum(variances, 0.0), min(1.0, size / len(sample))
        mean_variance = variances.mean() + 1e-12
        weights = 1.0 / np.sqrt((1 - few) * variances + (few + RIDGE) * mean_variance)
        return cls(mean.astype(np.float32), (directions * weights).astype(np.float32))

    def place(self, features: Array) -> Array:
        """Return the directions of features, ``(windows, size)`` of length 1."""
        turned = multiply(np.ascontiguousarray(features - self.mean), self.turn)
        lengths = np.linalg.norm(turned, axis=1, keepdims=True)
        return np.asarray(turned / np.maximum(lengths, 1e-9), dtype=np.float32)

    def compare(self, features: Array, wanted: Array) -> Array:
        """Return how like windows are to the nearest of some others, ``(windows,)``.

        Args:
            features: ``(windows, size)``.
            wanted: The others, from `place`.
        """
        return np.asarray(multiply(self.place(features), wanted.T).max(axis=1), dtype=np.float32)

    def guess(self, wanted: Array, scale: float) -> Guess:
        """Make the quick measure for features in 8 bits.

        Args:
            wanted: The windows that are looked for, from `place`.
            scale: A feature is this times its step.
        """
        toward = wanted @ self.turn.T  # (wanted, size): the numerator is linear in the features
        rows = np.concatenate([toward * scale, -2 * scale * self.mean[np.newaxis]])
        offsets = -toward @ self.mean
        return Guess(
            np.ascontiguousarray(rows.T, dtype=np.float32),
            offsets.astype(np.float32),
            float(self.mean @ self.mean),
            scale * scale,
        )


@dataclass(frozen=True, eq=False)
class Guess:
    """A likeness that is good enough to choose the windows that are compared in full.

    It differs from the likeness in what it divides by: the length of the features behind their
    mean, before directions are weighed. All of it is one product with a matrix of few columns.

    Attributes:
        columns: ``(size, wanted + 1)``.
        offsets: ``(wanted,)``.
        mean_energy: Squared length of the mean.
        unit: What one step squared stands for.
    """

    columns: Array
    offsets: Array
    mean_energy: float
    unit: float

    def rate(self, steps: npt.NDArray[np.int8], energies: npt.NDArray[np.uint32]) -> Array:
        """Return the guesses for windows, ``(windows,)``; only their order means something.

        Args:
            steps: ``(windows, size)``.
            energies: ``(windows,)``: sums of the squares of the steps.
        """
        n_columns = self.columns.shape[1]
        products = np.empty((len(steps), pad(n_columns)), np.float32)
        values = np.empty((BLOCK, steps.shape[1]), np.float32)
        for start in range(0, len(steps), BLOCK):
            block = steps[start : start + BLOCK]
            room = values[: len(block)]
            np.copyto(room, block)
            multiply(room, self.columns, products[start : start + BLOCK])
        # Column by column: a maximum over a short axis takes longer than the product.
        toward = products[:, 0] + self.offsets[0]
        for column, offset in enumerate(self.offsets[1:], 1):
            np.maximum(toward, products[:, column] + offset, out=toward)
        lengths = energies * np.float32(self.unit)
        lengths += products[:, n_columns - 1]
        lengths += np.float32(self.mean_energy)
        np.maximum(lengths, 1e-9, out=lengths)
        toward /= np.sqrt(lengths, out=lengths)
        return np.asarray(toward, dtype=np.float32)
