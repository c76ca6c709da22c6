"""What the drawn widgets have in common: they draw a picture and repaint the lines that differ."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from streamclf.dashboard.snapshot import Picture
from streamclf.dashboard.widgets.palette import Tones, palette

EIGHTHS = " ▏▎▍▌▋▊▉"
SHADES = " ░▒▓█"


class Canvas(Widget):
    """Draws the newest picture, line by line."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.picture: Picture | None = None
        self._strips: list[Strip] = []

    def show(self, picture: Picture) -> None:
        """Take a picture; what did not change is not painted."""
        self.picture = picture
        if self.display and self.size:
            self.repaint()

    def repaint(self) -> None:
        """Draw the picture at hand anew."""
        width, height = self.size
        before, self._strips = self._strips, self.draw_padded(width, height)
        if len(before) != height:
            self.refresh()
            return
        changed = [y for y in range(height) if before[y] != self._strips[y]]
        if changed:
            self.refresh(*[Region(0, y, width, 1) for y in changed])

    def draw_padded(self, width: int, height: int) -> list[Strip]:
        """The lines, exactly filling the widget."""
        picture = self.picture
        lines = self.draw(picture, width, height) if picture and width and height else []
        style = self.rich_style
        lines = lines[:height] + [[] for _ in range(height - len(lines))]
        return [Strip(line).adjust_cell_length(width, style).simplify() for line in lines]

    def draw(self, picture: Picture, width: int, height: int) -> list[list[Segment]]:
        """Draw; a list of segments a line."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """Give a line to Textual."""
        if len(self._strips) != self.size.height:
            self._strips = self.draw_padded(*self.size)
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.rich_style)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self._strips = []

    def notify_style_update(self) -> None:
        """Draw in the new theme's colours."""
        self._strips = []
        super().notify_style_update()

    def part(self, name: str) -> Style:
        """The style that the stylesheet gives a part of the widget."""
        return self.get_component_rich_style(name)

    @property
    def shades(self) -> list[str] | None:
        """Colours from silent to loud; None where the terminal has too few, for `SHADES`."""
        depth = self.app.console.color_system
        if self.app.no_color or depth not in ("truecolor", "256"):
            return None
        theme = self.app.theme_variables
        tones = Tones(theme["background"], theme["primary"], theme["warning"])
        return palette(tones, dark=bool(self.app.current_theme.dark), few=depth == "256")


def bar(fraction: float, width: int) -> str:
    """A bar in eighths of a cell, as wide as it is filled."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


@lru_cache(maxsize=4096)
def pair(foreground: str, background: str) -> Style:
    """A style of two colours."""
    return Style(color=foreground, bgcolor=background)
