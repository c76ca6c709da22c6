"""Warnings about an exported model, for whoever exports it."""

from __future__ import annotations

from export.card.temperature import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from export.card.thresholds import TARGET_PRECISION
from streamclf.core.card import Card

NEAR = 1.001
"""Ratio within which a temperature counts as being at an end of the range that is searched."""


def list_warnings(card: Card, asked: float | None) -> list[str]:
    """List what a user should know before listening with the model, a line each.

    Args:
        card: Card of the model.
        asked: The precision that was asked for, if one was.
    """
    warnings = []
    temperature = card.temperature
    if temperature <= LOWEST_TEMPERATURE * NEAR or temperature >= HIGHEST_TEMPERATURE / NEAR:
        warnings.append(
            f"the temperature is {temperature:g}, at the end of the {LOWEST_TEMPERATURE:g} to "
            f"{HIGHEST_TEMPERATURE:g} that are searched: scores do not tell how often they are "
            "right; train longer, or on more clips"
        )
    if events := card.accuracy.get("events"):
        warnings += _warn_about_events(card, events, asked)
    found = (card.accuracy.get("soundscapes") or {}).get("events", {})
    if found and not found.get("precision"):
        warnings.append("no event that it found in soundscapes was right: train longer")
    return warnings


def _warn_about_events(card: Card, events: dict, asked: float | None) -> list[str]:
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
