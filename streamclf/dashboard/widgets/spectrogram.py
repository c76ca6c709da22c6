"""Scrolling spectrogram of the last seconds, with two bands a cell."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style

from streamclf.dashboard.snapshot import Snapshot
from streamclf.dashboard.widgets.canvas import SHADES, Canvas, two_colour_style
from streamclf.dashboard.widgets.palette import N_SHADES
from streamclf.pipeline.audio_columns import N_BANDS, Column, band_hz

SCALE_WIDTH = 6


class Spectrogram(Canvas):
    """Log-mel power over time, the newest at the right, with a frequency scale."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"spectrogram--scale", "spectrogram--gap"}

    def draw(self, snapshot: Snapshot, width: int, height: int) -> list[list[Segment]]:
        """Draw half blocks in colour, or shades on terminals with too few colours."""
        n_columns = max(width - SCALE_WIDTH, 1)
        columns = snapshot.columns[-n_columns:]
        scale = self._scale(snapshot.card.sample_rate, height)
        blank = Segment(" " * (n_columns - len(columns)), self.rich_style)
        if not columns:
            return [[label, blank] for label in scale]
        colours = self.shades
        levels = _levels(columns, 2 * height if colours else height)
        missing = [column.missing for column in columns]
        lines = []
        for row, label in enumerate(scale):
            if colours:
                cells = self._in_colour(colours, levels[2 * row], levels[2 * row + 1], missing)
            else:
                cells = [self._in_shades(levels[row], missing)]
            lines.append([label, blank, *cells])
        return lines

    def _in_colour(
        self, colours: list[str], upper: np.ndarray, lower: np.ndarray, missing: list[bool]
    ) -> list[Segment]:
        gap = self.component_style("spectrogram--gap")
        segments, text, last = [], "", gap
        for high, low, lost in zip(upper.tolist(), lower.tolist(), missing, strict=True):
            style = gap if lost else two_colour_style(colours[high], colours[low])
            if style is not last:
                if text:
                    segments.append(Segment(text, last))
                text, last = "", style
            text += "╱" if lost else "▀"
        return [*segments, Segment(text, last)]

    def _in_shades(self, levels: np.ndarray, missing: list[bool]) -> Segment:
        steps = (levels.astype(int) * len(SHADES)) // N_SHADES
        cells = ["╱" if m else SHADES[s] for s, m in zip(steps.tolist(), missing, strict=True)]
        return Segment("".join(cells), self.rich_style)

    def _scale(self, sample_rate: int, height: int) -> list[Segment]:
        style: Style = self.component_style("spectrogram--scale")
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


def _levels(columns: list[Column], n_levels: int) -> np.ndarray:
    """Brightness ``(n_levels, columns)`` in 0..`N_SHADES` - 1, the highest frequency first."""
    bands = np.stack([column.bands for column in columns], axis=1)[::-1]
    edges = np.linspace(0, N_BANDS, n_levels + 1)
    rows = [
        bands[int(a) : max(int(np.ceil(b)), int(a) + 1)].max(axis=0) for a, b in pairwise(edges)
    ]
    return np.stack(rows) // (256 // N_SHADES)
