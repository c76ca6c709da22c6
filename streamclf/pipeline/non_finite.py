"""Removal of windows whose scores are not finite numbers.

A network gives ``nan`` if its arithmetic overflows on some sound. One such window would make every
later average ``nan``, and no event would be found any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from streamclf.core.records import Change, Gap, Notice, Scores
from streamclf.core.stats import Statistics


def drop_non_finite(
    items: Iterable[Scores | Gap | Notice | Change], statistics: Statistics
) -> Iterator[Scores | Gap | Notice | Change]:
    """Drop and count scores that are not finite; a notice takes the place of the first."""
    for item in items:
        if not isinstance(item, Scores) or np.isfinite(item.values).all():
            yield item
            continue
        if not statistics.n_non_finite:
            bad = item.values[~np.isfinite(item.values)][0]
            seconds = item.position / statistics.sample_rate
            yield Notice(
                item.position,
                statistics.sample_rate,
                f"the model gives {bad} instead of scores for the window at {seconds:.2f} s, which "
                "is left out, as all like it will be: export the model in float32, or take another",
            )
        statistics.n_non_finite += 1
