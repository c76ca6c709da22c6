"""The results of `export.tune`, read back for the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from export.card.tuning import EventSettings
from export.errors import ExportError


@dataclass(frozen=True)
class Tuned:
    """Tuned settings for events, and their accuracy.

    Attributes:
        settings: The settings.
        figures: Figures on soundscapes of clips that they were not tuned on.
    """

    settings: EventSettings
    figures: dict[str, Any]


def join_tuned(results: Sequence[dict[str, Any]]) -> Tuned | None:
    """Join several runs' ``events.json``: medians of settings, means of figures.

    Raises:
        ExportError: One of them is incomplete.
    """
    if not results:
        return None
    try:
        chosen = [asdict(EventSettings(**one["listening"])) for one in results]
        medians = {
            name: round(float(np.median([one[name] for one in chosen])), 3) for name in chosen[0]
        }
        judged = [one["judged"] for one in results]
        figures = {
            "event_f1": _mean([one["events"]["f1"] for one in judged]),
            "event_precision": _mean([one["events"]["precision"] or 0.0 for one in judged]),
            "event_recall": _mean([one["events"]["recall"] for one in judged]),
            "segment_f1": _mean([one["segments"]["f1"] for one in judged]),
            "false_alarms_per_hour": _mean([one["false_alarms_per_hour"] for one in judged]),
            "average_s": medians["average_s"],
            "event_f1_at_snr_db": {
                level: _mean([one["event_f1_at_snr_db"][level] for one in judged])
                for level in judged[0]["event_f1_at_snr_db"]
            },
        }
    except (KeyError, TypeError) as error:
        raise ExportError(
            f"events.json: lacks {error}, which the card needs; tune the run anew with export.tune"
        ) from error
    figures["protocol"] = (
        "soundscapes of a minute, clips of half of the held-out fold at known times over made "
        "noise, settings tuned on the other half; onset within 1 s, offset within 1 s or half of "
        "the event's length; with windows averaged over average_s; as by sed_eval"
    )
    return Tuned(EventSettings(**medians), figures)


def _mean(values: Sequence[float | None]) -> float:
    return round(float(np.mean([value or 0.0 for value in values])), 4)
