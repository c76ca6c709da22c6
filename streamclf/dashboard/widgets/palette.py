"""Brightness -> colour, in order of luminance: tellable apart by every kind of eye."""

from __future__ import annotations

from functools import lru_cache

N_SHADES = 32

_DARK = (
    (12, 14, 34),
    (28, 48, 110),
    (62, 100, 160),
    (110, 150, 150),
    (190, 190, 90),
    (255, 236, 120),
)
_LIGHT = (
    (214, 216, 212),
    (170, 190, 200),
    (110, 150, 180),
    (60, 100, 150),
    (28, 48, 110),
    (12, 14, 34),
)


@lru_cache(maxsize=2)
def palette(dark: bool = True) -> list[str]:
    """``N_SHADES`` colours from silent to loud; on light themes loud is dark."""
    anchors = _DARK if dark else _LIGHT
    colours = []
    for step in range(N_SHADES):
        place = step / (N_SHADES - 1) * (len(anchors) - 1)
        first = min(int(place), len(anchors) - 2)
        mixed = [
            round(a + (b - a) * (place - first))
            for a, b in zip(anchors[first], anchors[first + 1], strict=True)
        ]
        colours.append("#{:02x}{:02x}{:02x}".format(*mixed))
    return colours
