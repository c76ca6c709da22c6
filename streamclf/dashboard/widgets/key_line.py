"""The last line of the screen: the keys that work now."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widgets import Footer


class KeyLine(Footer):
    """Footer that makes its keys anew only when others are to be shown.

    Textual makes them anew at each change of focus, and computes the style of each key twice: first
    as in a compact footer, then as in this one. That was an eighth of the time of a short session.
    """

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._shown: list[tuple[str, ...]] | None = None

    def compose(self) -> ComposeResult:
        """Make a widget for each key."""
        self._shown = _keys_of(self.screen) if self._bindings_ready else None
        for key in super().compose():
            compact = getattr(type(key), "compact", None)
            if isinstance(compact, Reactive):
                key.set_reactive(compact, self.compact)
            yield key

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Make the keys anew if they are not those shown."""
        if self._shown is None or screen is not self.screen or _keys_of(screen) != self._shown:
            super().bindings_changed(screen)


def _keys_of(screen: Screen[object]) -> list[tuple[str, ...]]:
    """What a screen's footer shows of each key."""
    return [
        (binding.key, binding.description, binding.action, str(enabled), tooltip)
        for _, binding, enabled, tooltip in screen.active_bindings.values()
        if binding.show
    ]
