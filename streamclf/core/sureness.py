"""How sure an event is, in words, by what the model's card knows of its scores.

A score is no probability: each label has its own scale, and a smoke detector at 0.42 may be right
as often as a horse at 0.60. But a card may have thresholds at several precisions, so it knows from
which averaged score on enough of a label's events were right where it was judged. Three words say
so: ``sure`` from the card's thresholds for `SURE` on, ``likely`` from those for `LIKELY`, and
``maybe`` below. Where a card has no such thresholds there is no word, and people see the score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from streamclf.core.card import Card

Sureness: TypeAlias = Literal["maybe", "likely", "sure"]
"""How sure an event is, in a word."""
WORDS: tuple[Sureness, ...] = get_args(Sureness)
"""The words, the least sure first."""
LIKELY = 0.7
"""Precision of the thresholds from which on an event is likely."""
SURE = 0.9
"""Precision of the thresholds from which on an event is sure."""
Limits: TypeAlias = Mapping[str, Sequence[float]]
"""By label the averaged scores from which on events are likely and sure; one alone where the card
goes up to no higher precision. A label that is not in it has no words."""

SURENESS_WIDTH = max(map(len, WORDS))
"""Letters of the longest word."""
_ROUNDING = 5e-5
"""A score counts as it is written, with four digits: 0.29 is less than 0.29 as float32."""


def find_sureness_limits(card: Card) -> dict[str, list[float]]:
    """Find the scores from which on events are likely and sure, for each label that has words.

    Taught labels have none: nobody has judged how often they are right at which score.
    """
    known = sorted(card.precisions, key=float)
    chosen = [
        card.precisions[enough[0]]
        for precision in (LIKELY, SURE)
        if (enough := [key for key in known if float(key) >= precision])
    ]
    if not chosen or card.task == "regression":
        return {}
    silent = {*card.taught, *card.thresholds.never}
    found: dict[str, list[float]] = {}
    for label in card.labels:
        scores: list[float] = []
        for thresholds in chosen:
            if label in silent or label in thresholds.never:
                break
            scores.append(max([thresholds.of(label).on, *scores]))
        if scores:
            found[label] = scores
    return found


def tell_sureness(limits: Limits, label: str, score: float) -> Sureness | None:
    """Tell how sure an event is; None where its label has no words.

    Args:
        limits: Those of its model.
        label: Its label.
        score: Its highest averaged score, 0..1.
    """
    scores = limits.get(label)
    if not scores:
        return None
    return WORDS[sum(score + _ROUNDING >= each for each in scores)]


def rank_sureness(sureness: Sureness | None) -> int:
    """Number of words below one; a sound without a word is not less sure than any."""
    return len(WORDS) if sureness is None else WORDS.index(sureness)


def least_score(limits: Limits, label: str, sureness: Sureness) -> float:
    """Lowest score at which a label is as sure as that; infinite where it never is.

    It is 0 where the label has no words: such a sound counts whatever its score.
    """
    scores, rank = limits.get(label), WORDS.index(sureness)
    if not scores or not rank:
        return 0.0
    return scores[rank - 1] - _ROUNDING if rank <= len(scores) else math.inf


def read_sureness(said: object) -> Sureness | None:
    """Read a word that another process has told; None for anything else."""
    return next((word for word in WORDS if word == said), None)


def show_sureness(sureness: Sureness | None, score: float) -> str:
    """Write how sure an event is for people: the word, or the score where there is none."""
    return sureness or f"{score:.2f}"
