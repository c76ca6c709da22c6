"""Summary of a run's events in one line for people."""

from __future__ import annotations

from collections.abc import Mapping

from streamclf.core.card import Card
from streamclf.core.stats import Statistics
from streamclf.core.text_format import format_count

N_SHOWN = 12
"""Number of labels in the line; the events of further labels are counted together."""


def summarise_events(statistics: Statistics, card: Card, thresholds: Mapping[str, float]) -> str:
    """Count the events by label, the most frequent first, or name the highest averages.

    Args:
        statistics: Statistics of the run.
        card: The model card.
        thresholds: ``on`` scores of the labels whose events are requested.

    Returns:
        A line. It names the highest averages if there are no events, and is empty for a regression
        or a run without windows.
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
        named.append(f"{n_events} of {format_count(len(rest), 'other label')}")
    return f"{format_count(statistics.n_events, 'event')}: {apart.join(named)}"
