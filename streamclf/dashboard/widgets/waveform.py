"""The last seconds as a waveform."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment

from streamclf.dashboard.snapshot import Picture
from streamclf.dashboard.widgets.canvas import Canvas

SCALE_WIDTH = 6


class WaveformView(Canvas):
    """Lowest to highest sample of each 0.1 s, the newest at the right; two steps a cell."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "waveform--wave",
        "waveform--scale",
        "waveform--gap",
        "waveform--clip",
    }

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """Half blocks between lowest and highest."""
        n_columns = max(width - SCALE_WIDTH, 1)
        columns = picture.columns[-n_columns:]
        loudest = max((column.peak for column in columns), default=0.0)
        full = next((step for step in (0.01, 0.03, 0.1, 0.3, 1.0) if loudest <= step), 1.0)
        wave, lost = self.part("waveform--wave"), self.part("waveform--gap")
        clip = self.part("waveform--clip")
        blank = Segment(" " * (n_columns - len(columns)), self.rich_style)
        lines = [[self._label(row, height, full), blank] for row in range(height)]
        middle = height - 0.5
        for column in columns:
            top = round(middle - min(column.high / full, 1) * middle)
            bottom = round(middle - max(column.low / full, -1) * middle)
            style = clip if column.peak >= 0.999 else wave
            for row in range(height):
                upper = top <= 2 * row <= bottom
                lower = top <= 2 * row + 1 <= bottom
                cell = "█" if upper and lower else "▀" if upper else "▄" if lower else " "
                lines[row].append(Segment("╱", lost) if column.missing else Segment(cell, style))
        return lines

    def _label(self, row: int, height: int, full: float) -> Segment:
        text = {0: f"{full:g}", height - 1: f"-{full:g}", height // 2: "0"}.get(row, "")
        return Segment(f"{text:>{SCALE_WIDTH - 1}} ", self.part("waveform--scale"))
