"""A line of text that stands alone: a header, or figures."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widgets import Static

from streamclf.dashboard.widgets.text import join_fitting


class TextLine(Static):
    """One line of text, drawn only when the text changes. Parts that do not fit are left out.

    Its height is fixed by the stylesheet. `Static.update` alone would lay the whole screen out anew
    at each frame, which took a third of the time of drawing.
    """

    _shown = ""

    def write(self, parts: Iterable[str], separator: str = " │ ") -> None:
        """Show the parts, the most important first."""
        width = self.content_size.width or self.app.size.width
        text = join_fitting(parts, separator, width)
        if text != self._shown:
            self._shown = text
            # A plain string would be parsed as markup, with its brackets.
            self.update(Text(text, no_wrap=True), layout=False)
