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


def temper(values: Values, temperature: float) -> Values:
    """Sharpen or flatten probabilities; their sum stays the same.

    Args:
        values: ``(classes,)``, none negative.
        temperature: Above 0: below 1 sharpens, above 1 flattens.
    """
    # Dividing by the highest value keeps the largest power at 1, so that not all underflow.
    highest = values.max(initial=0.0)
    if temperature == 1 or highest <= 0:
        return values
    powers = (values / highest) ** (1 / temperature)
    return np.asarray(powers * (values.sum() / powers.sum()))


def untemper(values: Values, temperature: float) -> Values:
    """Undo `temper`."""
    return temper(values, 1 / temperature)
