"""Brightness -> colour, in order of luminance: tellable apart by every kind of eye."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rich.color import Color, ColorSystem
from textual.color import Color as Colour
from textual.color import Lab, lab_to_rgb, rgb_to_lab

N_SHADES = 32

MAX_CHROMA = 45.0
"""More would look darker or brighter to eyes that see fewer colours."""
MIN_STEP = 9.0
"""CIE lightness between colours a quarter of the palette apart; the themes' greys may have less."""
LOUDEST_LIGHTNESS = {True: 90.0, False: 18.0}
"""CIE lightness of the loudest on dark themes, and on light ones, where loud is dark."""


@dataclass(frozen=True, slots=True)
class ThemeColours:
    """Colours of a theme, as ``#rrggbb``; of the terminal's own colours nothing is known.

    Attributes:
        silent: Behind everything.
        middle: The theme's first colour.
        loud: That of warnings.
    """

    silent: str
    middle: str
    loud: str

    @property
    def known(self) -> bool:
        """Whether all of them are colours, not names for what the terminal has."""
        return all(tone.startswith("#") for tone in (self.silent, self.middle, self.loud))


DEFAULT_COLOURS = {
    True: ThemeColours("#121212", "#0178d4", "#fea62b"),
    False: ThemeColours("#e0e0e0", "#004578", "#fea62b"),
}


@lru_cache(maxsize=16)
def palette(
    tones: ThemeColours = DEFAULT_COLOURS[True], *, dark: bool = True, only_256: bool = False
) -> list[str]:
    """``N_SHADES`` colours from silent to loud, in the hues of a theme; on light ones loud is dark.

    Lightness changes evenly, so that what differs can be told apart without any hue.

    Args:
        tones: The theme's.
        dark: Whether the theme is.
        only_256: In the order in which a terminal of 256 colours draws them.
    """
    tones = tones if tones.known else DEFAULT_COLOURS[dark]
    if not only_256:
        return _ramp(tones, dark, MAX_CHROMA)
    for chroma in (MAX_CHROMA, 30.0, 15.0, 0.0):
        colours = _ramp(tones, dark, chroma)
        # It takes the nearest it has, some brighter, some darker; louder must never be darker.
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
    """In CIE lightness, between colours a quarter apart, as a terminal of 256 colours has them."""
    drawn = [rgb_to_lab(Colour.parse(nearest_of_256(c))).L for c in colours[:: N_SHADES // 4]]
    return float(np.abs(np.diff(drawn)).min())


def _tint(tone: Lab, most: float) -> tuple[float, float]:
    """The hue of a colour, no stronger than ``most``."""
    chroma = float(np.hypot(tone.a, tone.b))
    weaker = min(most / chroma, 1.0) if chroma else 1.0
    return tone.a * weaker, tone.b * weaker


def _displayable(lightness: float, a: float, b: float) -> str:
    """The colour of this lightness that a screen can show, as near to the hue as it goes."""
    for weaker in np.linspace(1, 0, 11):
        colour = lab_to_rgb(Lab(lightness, a * weaker, b * weaker))
        if colour == colour.clamped:
            break
    return colour.clamped.hex.lower()


def luminance(colour: str) -> float:
    """How bright a colour is to the eye, 0..1 (WCAG 2.1, relative luminance)."""
    parts = [part / 255 for part in Color.parse(colour).get_truecolor()]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def nearest_of_256(colour: str) -> str:
    """What a terminal of 256 colours draws for a colour."""
    return Color.parse(colour).downgrade(ColorSystem.EIGHT_BIT).get_truecolor().hex
