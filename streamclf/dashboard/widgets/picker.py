"""Dialog to choose one of several names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option


class Picker(ModalScreen[str | None]):
    """Dialog with a list; its result is the choice, or None.

    Args:
        title: Title of the dialog.
        choices: Names to choose from.
        current: Current choice.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Back")]

    def __init__(self, title: str, choices: Sequence[str], current: str | None = None) -> None:
        super().__init__()
        self._title = title
        self._choices = list(choices)
        # The current device is given by name; in the list, its host API follows the name.
        fitting = (c for c in choices if c == current or c.startswith(f"{current}, "))
        self._current = next(fitting, None)

    def compose(self) -> ComposeResult:
        """Make the title, the list and a hint."""
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="title")
            marks = ["● " if choice == self._current else "  " for choice in self._choices]
            yield OptionList(
                *[Option(Content(f"{m}{c}")) for m, c in zip(marks, self._choices, strict=True)]
            )
            yield Static("Enter takes it, Escape leaves things as they are", classes="hint")

    def on_mount(self) -> None:
        """Highlight the current choice."""
        # A quick Escape may have removed the list already.
        for options in self.query(OptionList):
            if self._current in self._choices:
                options.highlighted = self._choices.index(self._current)
            options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Close the dialog with the choice."""
        self.dismiss(self._choices[event.option_index])

    def action_leave(self) -> None:
        """Close the dialog without a choice."""
        self.dismiss(None)
