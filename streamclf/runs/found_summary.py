"""What a run found, in a line for people: events by label, or what came nearest to being one."""

from __future__ import annotations

from collections.abc import Mapping

from streamclf.core.card import Card
from streamclf.core.stats import Statistics, count

N_SHOWN = 12
"""Labels with the most events; the others are counted together."""


def describe_found(statistics: Statistics, card: Card, thresholds: Mapping[str, float]) -> str:
    """Events by label, the most frequent first, or the highest averages where there are none.

    Args:
        statistics: Of the run.
        card: The model's.
        thresholds: Of the labels whose events count.

    Returns:
        A line; empty where there is nothing to tell.
    """
    if card.task == "regression" or not statistics.n_windows:
        return ""
    if not statistics.n_events:
        nearest = statistics.highest.describe(
            card.labels, thresholds, statistics.sample_rate, card.display_name
        )
        return f"no event; highest: {nearest}" if nearest else ""
    # A display name may hold a comma, which would look like two labels.
    by_label = statistics.events_by_label.most_common()
    named = [f"{number} {card.display_name(label)}" for label, number in by_label[:N_SHOWN]]
    apart = "; " if any("," in text for text in named) else ", "
    rest = by_label[N_SHOWN:]
    if rest:
        n_events = sum(number for _, number in rest)
        named.append(f"{n_events} of {count(len(rest), 'other label')}")
    return f"{count(statistics.n_events, 'event')}: {apart.join(named)}"
