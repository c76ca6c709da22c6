"""The events, newest first, with gaps and warnings in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from streamclf.dashboard.history import Entry

MOST_SHOWN = 300
SIGNS = {"event": "▲", "gap": "╱", "warning": "!", "info": "·"}
SOUNDING = "●"


class EventList(Vertical):
    """A filter and a list."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "unfilter", "All", show=False)]

    class Chosen(Message):
        """An event was chosen.

        Attributes:
            entry: Which.
        """

        def __init__(self, entry: Entry) -> None:
            self.entry = entry
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "events"
        self._entries: list[Entry] = []
        self._shown: list[Entry] = []
        self._filter = ""

    def compose(self) -> ComposeResult:
        """A line to type into, hidden until it is wanted, and the list."""
        yield Input(placeholder="part of a label", id="filter", classes="hidden")
        yield OptionList(id="entries")

    def show(self, entries: Sequence[Entry]) -> None:
        """Take the entries, the newest last."""
        before, self._entries = self._entries, list(entries)
        if [same_line(entry) for entry in before] != [same_line(entry) for entry in entries]:
            self._refill()
        elif before != self._entries:
            self._amend()

    def ask_filter(self) -> None:
        """Let the user type."""
        self.query_one("#filter").remove_class("hidden")
        self.query_one("#filter").focus()

    def action_unfilter(self) -> None:
        """Show all again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.add_class("hidden")
        self.query_one(OptionList).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as the user types."""
        self._filter = event.value.strip().casefold()
        self._refill()

    def on_input_submitted(self) -> None:
        """Go to the list."""
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Say which was chosen."""
        self.post_message(self.Chosen(self._shown[event.option_index]))

    def _fitting(self) -> list[Entry]:
        return [e for e in self._entries if self._filter in f"{e.label} {e.kind}".casefold()]

    def _amend(self) -> None:
        """Write lines anew that say something else by now; they stay where they are."""
        options = self.query_one(OptionList)
        before, self._shown = self._shown, self._fitting()[: -MOST_SHOWN - 1 : -1]
        for index, (old, new) in enumerate(zip(before, self._shown, strict=True)):
            if old != new and describe(old) != describe(new):
                options.replace_option_prompt_at_index(index, describe(new))

    def _refill(self) -> None:
        fitting = self._fitting()
        options = self.query_one(OptionList)
        at = options.highlighted
        chosen = self._shown[at] if at is not None and at < len(self._shown) else None
        self._shown = fitting[: -MOST_SHOWN - 1 : -1]
        of_all = f", of {len(self._entries)}" if self._filter else ""
        self.border_title = f"events ({len(fitting)}{of_all})" if self._entries else "events"
        options.clear_options()
        options.add_options([Option(describe(entry)) for entry in self._shown])
        # New ones push it down; the cursor goes along.
        lines = [same_line(entry) for entry in self._shown]
        if chosen is not None and same_line(chosen) in lines:
            options.highlighted = lines.index(same_line(chosen))


def same_line(entry: Entry) -> tuple[object, ...]:
    """What stays of an entry while its event goes on, and when it ends."""
    return entry.kind, entry.label, entry.onset_s, entry.known_s


def describe(entry: Entry) -> Text:
    """A line: time, sign, length, score, label."""
    text = Text(no_wrap=True, overflow="ellipsis")
    sign = SOUNDING if entry.sounding else SIGNS[entry.kind]
    text.append(f"{entry.time:>8} {sign} ")
    length = f"{entry.offset_s - entry.onset_s:5.1f} s"
    if entry.kind == "event":
        text.append(f"{length} {entry.score:4.2f} ")
        text.append(entry.label, style="bold")
    elif entry.kind == "gap":
        text.append(f"{length} gap: {entry.label}")
    else:
        text.append(entry.label)
    return text
