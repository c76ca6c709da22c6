"""Brightness -> colour, in order of luminance: tellable apart by every kind of eye."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color, ColorSystem

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


@lru_cache(maxsize=4)
def palette(dark: bool = True, *, few: bool = False) -> list[str]:
    """``N_SHADES`` colours from silent to loud; on light themes loud is dark.

    Args:
        dark: Whether the theme is.
        few: In the order in which a terminal of 256 colours draws them.
    """
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
    if few:
        # It takes the nearest it has, some brighter, some darker; louder must never be darker.
        colours.sort(key=lambda colour: luminance(as_one_of_256(colour)), reverse=not dark)
    return colours


def luminance(colour: str) -> float:
    """How bright a colour is to the eye, 0..1 (WCAG 2.1, relative luminance)."""
    parts = [part / 255 for part in Color.parse(colour).get_truecolor()]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def as_one_of_256(colour: str) -> str:
    """What a terminal of 256 colours draws for a colour."""
    return Color.parse(colour).downgrade(ColorSystem.EIGHT_BIT).get_truecolor().hex
