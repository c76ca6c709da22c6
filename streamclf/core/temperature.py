"""Temperature scaling of averaged probabilities.

Windows of one sound disagree, so their averaged scores are less sure than they should be, however
sure each window is. A card's temperature is therefore applied to the average: the mean of the
windows' plain probabilities, each raised to one over the temperature, then scaled to the same sum.
For a single window this equals dividing the logits by the temperature.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def temper(values: Values, temperature: float, n_taught: int = 0) -> Values:
    """Sharpen or flatten probabilities; their sum stays the same.

    Args:
        values: ``(classes,)``, none negative.
        temperature: Above 0: below 1 sharpens, above 1 flattens.
        n_taught: Number of last values that are no part of the distribution; they stay as they are.
    """
    if n_taught and temperature != 1:
        n_others = values.size - n_taught
        return np.concatenate([temper(values[:n_others], temperature), values[n_others:]])
    # Dividing by the highest value keeps the largest power at 1, so that not all underflow.
    highest = values.max(initial=0.0)
    if temperature == 1 or highest <= 0:
        return values
    powers = (values / highest) ** (1 / temperature)
    return np.asarray(powers * (values.sum() / powers.sum()))


def untemper(values: Values, temperature: float, n_taught: int = 0) -> Values:
    """Undo `temper`."""
    return temper(values, 1 / temperature, n_taught)
