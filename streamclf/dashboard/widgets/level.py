"""How loud it is: peak, RMS, peak hold, clipping, and a dead microphone."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment

from streamclf.dashboard.snapshot import Picture
from streamclf.dashboard.widgets.canvas import Canvas

LOWEST_DB = -60.0


class LevelMeter(Canvas):
    """One line: RMS as a solid bar, the peak as a thin one, the held peak as a mark."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "level--rms",
        "level--peak",
        "level--track",
        "level--alarm",
        "level--text",
    }

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """Bar and figures."""
        level = picture.level
        text, alarm = self.part("level--text"), self.part("level--alarm")
        if level.missing:
            return [[Segment("level   no audio", alarm if picture.time_s else text)]]
        if level.muted:
            return [[Segment("level   no signal: muted?", alarm)]]
        figures = f" peak {level.peak_db:5.1f}  rms {level.rms_db:5.1f} dBFS "
        mark = Segment("CLIP", alarm) if level.clipped else Segment("    ", text)
        bar_width = max(width - len(figures) - 12, 8)
        rms, peak, hold = (
            round(_fraction(db) * bar_width) for db in (level.rms_db, level.peak_db, level.hold_db)
        )
        cells = ["█"] * rms + ["━"] * (peak - rms) + ["·"] * (bar_width - max(rms, peak))
        styles = ["level--rms"] * rms + ["level--peak"] * (peak - rms)
        styles += ["level--track"] * (bar_width - len(styles))
        if 0 < hold <= bar_width:
            cells[hold - 1], styles[hold - 1] = "┃", "level--peak"
        segments = [
            Segment(cell, self.part(style)) for cell, style in zip(cells, styles, strict=True)
        ]
        return [[Segment("level   ", text), *segments, Segment(figures, text), mark]]


def _fraction(db: float) -> float:
    return min(max(1 - db / LOWEST_DB, 0.0), 1.0)
