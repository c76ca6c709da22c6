"""Palettes in order of luminance, so that people with any colour vision can read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rich.color import Color, ColorSystem
from textual.color import Color as Colour
from textual.color import Lab, lab_to_rgb, rgb_to_lab

N_SHADES = 32

MAX_CHROMA = 45.0
"""Highest chroma; with more, colours look darker or brighter to people with colour blindness."""
MIN_STEP = 9.0
"""Smallest step of CIE lightness over a quarter of the palette; greys of a theme may have less."""
LOUDEST_LIGHTNESS = {True: 90.0, False: 18.0}
"""CIE lightness of the loudest colour, for dark themes (True) and light ones (False)."""


@dataclass(frozen=True, slots=True)
class ThemeColours:
    """Colours of a theme, as ``#rrggbb``; or as names, if they are the terminal's own colours.

    Attributes:
        silent: Background colour.
        middle: Primary colour.
        loud: Colour of warnings.
    """

    silent: str
    middle: str
    loud: str

    @property
    def known(self) -> bool:
        """Whether all colours are given as ``#rrggbb``, not as names with unknown values."""
        return all(tone.startswith("#") for tone in (self.silent, self.middle, self.loud))


DEFAULT_COLOURS = {
    True: ThemeColours("#121212", "#0178d4", "#fea62b"),
    False: ThemeColours("#e0e0e0", "#004578", "#fea62b"),
}


@lru_cache(maxsize=16)
def palette(
    tones: ThemeColours = DEFAULT_COLOURS[True], *, dark: bool = True, only_256: bool = False
) -> list[str]:
    """Make ``N_SHADES`` colours from silent to loud, in the hues of a theme.

    Lightness changes evenly, so that levels can be distinguished without hue. On light themes, loud
    is dark.

    Args:
        tones: Colours of the theme.
        dark: Whether the theme is dark.
        only_256: Whether the terminal has only 256 colours. The palette is then in the order of
            the lightness with which such a terminal draws it.
    """
    tones = tones if tones.known else DEFAULT_COLOURS[dark]
    if not only_256:
        return _ramp(tones, dark, MAX_CHROMA)
    for chroma in (MAX_CHROMA, 30.0, 15.0, 0.0):
        colours = _ramp(tones, dark, chroma)
        # The terminal draws the nearest of its colours, some lighter and some darker. Even so, a
        # louder level must never be drawn darker (on light themes: lighter).
        colours.sort(key=lambda colour: luminance(nearest_of_256(colour)), reverse=not dark)
        if _smallest_step(colours) > MIN_STEP:
            break
    return colours


def _ramp(tones: ThemeColours, dark: bool, chroma: float) -> list[str]:
    silent, middle, loud = (
        rgb_to_lab(Colour.parse(tone)) for tone in (tones.silent, tones.middle, tones.loud)
    )
    places = np.linspace(0, 1, N_SHADES)
    lightness = np.interp(places, [0, 1], [silent.L, LOUDEST_LIGHTNESS[dark]])
    tints = [_tint(tone, chroma) for tone in (silent, middle, loud)]
    a, b = (np.interp(places, [0, 0.5, 1], [tint[k] for tint in tints]) for k in (0, 1))
    return [_displayable(*lab) for lab in zip(lightness, a, b, strict=True)]


def _smallest_step(colours: list[str]) -> float:
    """Smallest step of CIE lightness over a quarter of the palette, as drawn with 256 colours."""
    drawn = [rgb_to_lab(Colour.parse(nearest_of_256(c))).L for c in colours[:: N_SHADES // 4]]
    return float(np.abs(np.diff(drawn)).min())


def _tint(tone: Lab, most: float) -> tuple[float, float]:
    """``(a, b)`` of a colour in CIE Lab, with a chroma of at most ``most``."""
    chroma = float(np.hypot(tone.a, tone.b))
    weaker = min(most / chroma, 1.0) if chroma else 1.0
    return tone.a * weaker, tone.b * weaker


def _displayable(lightness: float, a: float, b: float) -> str:
    """Colour of this lightness that a screen can show, as close to the hue as possible."""
    for weaker in np.linspace(1, 0, 11):
        colour = lab_to_rgb(Lab(lightness, a * weaker, b * weaker))
        if colour == colour.clamped:
            break
    return colour.clamped.hex.lower()


def luminance(colour: str) -> float:
    """Relative luminance of a colour, 0..1 (WCAG 2.1)."""
    parts = [part / 255 for part in Color.parse(colour).get_truecolor()]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def nearest_of_256(colour: str) -> str:
    """Colour that a terminal of 256 colours draws instead of a colour."""
    return Color.parse(colour).downgrade(ColorSystem.EIGHT_BIT).get_truecolor().hex
