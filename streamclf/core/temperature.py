"""A temperature for averages.

Windows of one sound disagree, so an average of their scores says less than it knows, however sharp
each of them is. A card's temperature is therefore applied to the average: the mean of the windows'
plain probabilities, each raised to one over the temperature, in proportion. Applied to one window
it is the same as dividing the logits by it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def temper(values: Values, temperature: float) -> Values:
    """Sharpen probabilities (below 1) or flatten them (above 1); their sum stays.

    Args:
        values: ``(classes,)``, none negative.
        temperature: Above 0.
    """
    # Divided by the highest, so that none of the powers is too small to be held.
    highest = values.max(initial=0.0)
    if temperature == 1 or highest <= 0:
        return values
    powers = (values / highest) ** (1 / temperature)
    return np.asarray(powers * (values.sum() / powers.sum()))


def untemper(values: Values, temperature: float) -> Values:
    """What `temper` made these of."""
    return temper(values, 1 / temperature)
