"""The last seconds by frequency, scrolling: two bands a cell."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style

from streamclf.dashboard.columns import N_BANDS, Column, band_hz
from streamclf.dashboard.picture import Picture
from streamclf.dashboard.widgets.canvas import SHADES, Canvas, pair
from streamclf.dashboard.widgets.palette import N_SHADES, palette

SCALE_WIDTH = 6


class Spectrogram(Canvas):
    """Log-mel power, the newest at the right, with a frequency scale."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"spectrogram--scale", "spectrogram--gap"}

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """Half blocks in colour, or shades without."""
        n_columns = max(width - SCALE_WIDTH, 1)
        columns = picture.columns[-n_columns:]
        scale = self._scale(picture.card.sample_rate, height)
        blank = Segment(" " * (n_columns - len(columns)), self.rich_style)
        if not columns:
            return [[label, blank] for label in scale]
        n_levels = height if self.colourless else 2 * height
        shades = _shades(columns, n_levels)
        missing = [column.missing for column in columns]
        paint = self._in_shades if self.colourless else self._in_colour
        return [[label, blank, *paint(shades, row, missing)] for row, label in enumerate(scale)]

    def _in_colour(self, shades: np.ndarray, row: int, missing: list[bool]) -> list[Segment]:
        colours = palette(bool(self.app.current_theme.dark))
        upper, lower = shades[2 * row], shades[2 * row + 1]
        gap = self.part("spectrogram--gap")
        segments, text, last = [], "", gap
        for high, low, lost in zip(upper.tolist(), lower.tolist(), missing, strict=True):
            style = gap if lost else pair(colours[high], colours[low])
            if style is not last:
                if text:
                    segments.append(Segment(text, last))
                text, last = "", style
            text += "╱" if lost else "▀"
        return [*segments, Segment(text, last)]

    def _in_shades(self, shades: np.ndarray, row: int, missing: list[bool]) -> list[Segment]:
        steps = (shades[row].astype(int) * len(SHADES)) // N_SHADES
        cells = ["╱" if m else SHADES[s] for s, m in zip(steps.tolist(), missing, strict=True)]
        return [Segment("".join(cells), self.rich_style)]

    def _scale(self, sample_rate: int, height: int) -> list[Segment]:
        style: Style = self.part("spectrogram--scale")
        labels = []
        every = max(height // 4, 1)
        for row in range(height):
            if row % every and row != height - 1:
                labels.append(Segment(" " * SCALE_WIDTH, style))
                continue
            hz = band_hz(sample_rate, (1 - (row + 0.5) / height) * N_BANDS)
            text = f"{hz / 1000:.1f}k" if hz >= 1000 else f"{hz:.0f}"
            labels.append(Segment(f"{text:>{SCALE_WIDTH - 1}} ", style))
        return labels


def _shades(columns: list[Column], n_levels: int) -> np.ndarray:
    """Brightness ``(n_levels, columns)`` below `N_SHADES`, the highest frequency first."""
    bands = np.stack([column.bands for column in columns], axis=1)[::-1]
    edges = np.linspace(0, N_BANDS, n_levels + 1)
    rows = [
        bands[int(a) : max(int(np.ceil(b)), int(a) + 1)].max(axis=0) for a, b in pairwise(edges)
    ]
    return np.stack(rows) // (256 // N_SHADES)
