"""Rule by which a model's sounds are unknown: that of its card, or its own thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card, Unknown

BACKGROUND = frozenset({"silence", "noise", "environmental noise", "white noise", "pink noise"})
"""Labels of AudioSet, in small letters, by which a model says that nothing is to be heard."""


@dataclass(frozen=True, eq=False)
class OwnThresholds:
    """Rule for unknown sounds of a model that says by its own labels that nothing is to be heard.

    Attributes:
        on: Averaged score at which a label sounds, ``(classes,)``.
        events: Which labels may be events, ``(classes,)``.
        background: Which labels mean silence or noise, ``(classes,)``.
    """

    on: npt.NDArray[np.float32]
    events: npt.NDArray[np.bool_]
    background: npt.NDArray[np.bool_]


UnknownRule: TypeAlias = Unknown | OwnThresholds


def find_unknown_rule(card: Card) -> UnknownRule | None:
    """Find the rule that tells sounds unknown to a model; None where the model allows for none."""
    if card.unknown is not None or card.task != "multi-label":
        return card.unknown
    background = np.array([label.casefold() in BACKGROUND for label in card.labels])
    if not background.any():
        return None
    thresholds = card.thresholds
    on = np.array([max(thresholds.of(label).on, 1e-6) for label in card.labels], np.float32)
    events = np.array([label not in thresholds.never for label in card.labels]) & ~background
    return OwnThresholds(on, events, background)
