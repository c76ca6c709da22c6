"""Windows for which the network gives no numbers: left out, said, counted.

A network whose arithmetic overflows on some sound gives ``nan``. In an average one such window
would turn every later one into nothing, and a listener into one that finds nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from streamclf.core.records import Change, Gap, Notice, Scores
from streamclf.core.stats import Statistics


def leave_out_undefined(
    items: Iterable[Scores | Gap | Notice | Change], statistics: Statistics
) -> Iterator[Scores | Gap | Notice | Change]:
    """Pass on all but scores that are not finite; the first of them is said."""
    for item in items:
        if not isinstance(item, Scores) or np.isfinite(item.values).all():
            yield item
            continue
        if not statistics.n_undefined:
            bad = item.values[~np.isfinite(item.values)][0]
            seconds = item.position / statistics.sample_rate
            yield Notice(
                item.position,
                statistics.sample_rate,
                f"the model gives {bad} instead of scores for the window at {seconds:.2f} s, which "
                "is left out, as all like it will be: export the model in float32, or take another",
            )
        statistics.n_undefined += 1
