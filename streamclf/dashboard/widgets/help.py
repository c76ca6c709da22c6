"""Help screen with all keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from streamclf.dashboard.keys import Key


class Help(ModalScreen[None]):
    """Screen that lists the keys and their actions.

    Args:
        keys: Keys that work with the current source.
        about: Text below the keys.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "app.pop_screen", "Back")
    ]

    def __init__(self, keys: Sequence[Key], about: str) -> None:
        super().__init__()
        self._keys = keys
        self._about = about

    def compose(self) -> ComposeResult:
        """Make the table, with two columns of keys."""
        table = Table.grid(padding=(0, 2))
        half = (len(self._keys) + 1) // 2
        for index in range(half):
            cells = []
            for key in self._keys[index : index + half + 1 : half]:
                cells += [key.shown, key.help]
            table.add_row(*cells)
        with VerticalScroll(classes="dialog wide"):
            yield Static("keys", classes="title")
            yield Static(table)
            yield Static(self._about, classes="hint", markup=False)
