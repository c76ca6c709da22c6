"""Base of the drawn widgets: it draws a snapshot and repaints only the lines that changed."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from streamclf.dashboard.snapshot import Snapshot
from streamclf.dashboard.widgets.palette import ThemeColours, palette

EIGHTHS = " ▏▎▍▌▋▊▉"
SHADES = " ░▒▓█"


class Canvas(Widget):
    """Widget that draws the newest snapshot, line by line."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.snapshot: Snapshot | None = None
        self._strips: list[Strip] = []

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot; lines that did not change are not painted."""
        self.snapshot = snapshot
        if self.display and self.size:
            self.repaint()

    def repaint(self) -> None:
        """Draw the current snapshot again."""
        width, height = self.size
        before, self._strips = self._strips, self.draw_padded(width, height)
        if len(before) != height:
            self.refresh()
            return
        changed = [y for y in range(height) if before[y] != self._strips[y]]
        if changed:
            self.refresh(*[Region(0, y, width, 1) for y in changed])

    def draw_padded(self, width: int, height: int) -> list[Strip]:
        """Draw lines that fill the widget exactly."""
        lines = self.draw_lines(width, height) if width and height else []
        style = self.rich_style
        lines = lines[:height] + [[] for _ in range(height - len(lines))]
        return [Strip(line).adjust_cell_length(width, style).simplify() for line in lines]

    def draw_lines(self, width: int, height: int) -> list[list[Segment]]:
        """Draw what there is to draw in ``width`` by ``height`` cells; nothing before the first."""
        return self.draw(self.snapshot, width, height) if self.snapshot else []

    def draw(self, snapshot: Snapshot, width: int, height: int) -> list[list[Segment]]:
        """Draw a snapshot in ``width`` by ``height`` cells; return one list of segments a line."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """Return a line, as Textual requests it."""
        if len(self._strips) != self.size.height:
            self._strips = self.draw_padded(*self.size)
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.rich_style)

    def on_resize(self) -> None:
        """Drop the drawn lines, as the size has changed."""
        self._strips = []

    def notify_style_update(self) -> None:
        """Drop the drawn lines, as the theme has changed."""
        self._strips = []
        super().notify_style_update()

    def component_style(self, name: str) -> Style:
        """Style of a part of the widget, from the stylesheet."""
        return self.get_component_rich_style(name)

    @property
    def shades(self) -> list[str] | None:
        """Colours from silent to loud; None if the terminal has too few and needs `SHADES`."""
        depth = self.app.console.color_system
        if self.app.no_color or depth not in ("truecolor", "256"):
            return None
        theme = self.app.theme_variables
        tones = ThemeColours(theme["background"], theme["primary"], theme["warning"])
        return palette(tones, dark=bool(self.app.current_theme.dark), only_256=depth == "256")


def bar(fraction: float, width: int) -> str:
    """Draw the filled part of a bar of ``width`` cells, in eighths of a cell."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


@lru_cache(maxsize=4096)
def two_colour_style(foreground: str, background: str) -> Style:
    """Make a style with a foreground and a background colour."""
    return Style(color=foreground, bgcolor=background)
