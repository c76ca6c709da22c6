"""Brightness -> colour: dark blue to yellow, in order of luminance for every kind of eye."""

from __future__ import annotations

from functools import lru_cache

N_SHADES = 32

_ANCHORS = [(12, 14, 34), (28, 48, 110), (62, 100, 160), (110, 150, 150), (190, 190, 90), (255, 236, 120)]  # noqa: E501  # fmt: skip


@lru_cache(maxsize=2)
def palette(dark: bool = True) -> list[str]:
    """``N_SHADES`` colours from silent to loud; on light themes loud is dark."""
    colours = []
    for step in range(N_SHADES):
        place = step / (N_SHADES - 1) * (len(_ANCHORS) - 1)
        first = min(int(place), len(_ANCHORS) - 2)
        mixed = [
            round(a + (b - a) * (place - first))
            for a, b in zip(_ANCHORS[first], _ANCHORS[first + 1], strict=True)
        ]
        colours.append("#{:02x}{:02x}{:02x}".format(*mixed))
    return colours if dark else [*reversed(colours)]
