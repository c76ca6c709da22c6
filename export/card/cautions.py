"""What is doubtful about a model that is exported, for whoever exports it."""

from __future__ import annotations

from export.card.temperature import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from export.card.thresholds import TARGET_PRECISION
from streamclf.core.card import Card

NEAR = 1.001
"""Ratio within which a temperature counts as being at the end of those that are searched."""


def list_doubts(card: Card, asked: float | None) -> list[str]:
    """A line for each thing that a user should know before listening with it.

    Args:
        card: Of the model.
        asked: The precision that was asked for, if one was.
    """
    doubts = []
    temperature = card.temperature
    if temperature <= LOWEST_TEMPERATURE * NEAR or temperature >= HIGHEST_TEMPERATURE / NEAR:
        doubts.append(
            f"the temperature is {temperature:g}, at the end of the {LOWEST_TEMPERATURE:g} to "
            f"{HIGHEST_TEMPERATURE:g} that are searched: scores do not tell how often they are "
            "right; train longer, or on more clips"
        )
    if events := card.accuracy.get("events"):
        doubts += _doubt_events(card, events, asked)
    found = (card.accuracy.get("soundscapes") or {}).get("events", {})
    if found and not found.get("precision"):
        doubts.append("no event that it found in soundscapes was right: train longer")
    return doubts


def _doubt_events(card: Card, events: dict, asked: float | None) -> list[str]:
    best, target = events["best"], events["target_precision"]
    if not events["reached"]:
        way_out = "train longer, or on more clips"
        if card.precisions:
            way_out = f"--target-precision {max(card.precisions, key=float)} can be had"
        return [
            f"no threshold makes {target:.0%} of the held-out clips' events right, the best is "
            f"{best:.0%}: at the one that was set, {card.thresholds.on:g}, next to nothing is "
            f"reported; {way_out}"
        ]
    if asked is None and target < TARGET_PRECISION:
        return [
            f"no threshold makes {TARGET_PRECISION:.0%} of the held-out clips' events right: those "
            f"set are for {target:.0%}"
        ]
    return []
