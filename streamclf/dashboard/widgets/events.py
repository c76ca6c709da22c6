"""List of the events, newest first, with gaps and warnings in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.markup import escape
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from streamclf.core.sureness import SURENESS_WIDTH
from streamclf.dashboard.history import Entry
from streamclf.dashboard.widgets.canvas import bar
from streamclf.dashboard.widgets.text import fit_words

MAX_SHOWN = 300
SIGNS = {"event": "▲", "gap": "╱", "warning": "!", "info": "·"}
ONGOING_SIGN = "●"


@dataclass(frozen=True, slots=True)
class ColumnWidths:
    """Widths of the list's columns, in cells.

    Attributes:
        width: Width of the whole list.
        bar: Width of the word for how sure an event is, or of the bar that shows its score.
        digits: Whether the score is also written as a number.
    """

    width: int
    bar: int
    digits: bool

    @classmethod
    def within(cls, width: int) -> ColumnWidths:
        """Choose widths for a list; a narrow one has a short bar and no number."""
        return (
            cls(width, bar=8, digits=True)
            if width >= 48
            else cls(width, bar=SURENESS_WIDTH, digits=False)
        )

    @property
    def label(self) -> int:
        """Width that remains for labels."""
        return max(self.width - 20 - self.bar - 5 * self.digits, 1)

    def heading(self) -> str:
        """Line with the names of the columns."""
        score = self.bar + 5 * self.digits
        return fit_words(f"{'time':>8}   {'length':<7} {'score':<{score}} sound", self.width)


class EventList(Vertical):
    """List of events, with headings and a filter."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "unfilter", "All", show=False)]

    class Chosen(Message):
        """The user selected an event.

        Attributes:
            entry: Selected entry.
        """

        def __init__(self, entry: Entry) -> None:
            self.entry = entry
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "events"
        self._entries: list[Entry] = []
        self.shown: list[Entry] = []
        self._filter = ""
        self._shown_counts = ""
        self._columns = ColumnWidths.within(0)

    def compose(self) -> ComposeResult:
        """Make the filter's input field, hidden at first, the headings and the list."""
        yield Input(placeholder="part of a label", id="filter", classes="hidden")
        yield Static("", id="headings")
        yield OptionList(id="entries")

    def show(self, entries: Sequence[Entry], counts: Sequence[tuple[str, int]] = ()) -> None:
        """Show entries, given with the newest last, and the number of events by display name."""
        self._show_counts(counts)
        columns = ColumnWidths.within(self._width())
        before, self._entries = self._entries, list(entries)
        if columns != self._columns:
            self._columns = columns
            self.query_one("#headings", Static).update(Text(columns.heading()))
        elif before == self._entries:
            return
        elif [line_identity(entry) for entry in before] == [
            line_identity(entry) for entry in entries
        ]:
            self._update_lines()
            return
        self._refill()

    def ask_filter(self) -> None:
        """Show the filter's input field."""
        self.query_one("#filter").remove_class("hidden")
        self.query_one("#filter").focus()

    def action_unfilter(self) -> None:
        """Remove the filter and hide its input field."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.add_class("hidden")
        self.query_one(OptionList).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter the list while the user types."""
        self._filter = event.value.strip().casefold()
        self._refill()

    def on_input_submitted(self) -> None:
        """Move the focus to the list."""
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Post which entry the user selected."""
        self.post_message(self.Chosen(self.shown[event.option_index]))

    def _width(self) -> int:
        """Cells in a line, without the list's own margins."""
        return self.query_one(OptionList).scrollable_content_region.width - 2

    def _show_counts(self, counts: Sequence[tuple[str, int]]) -> None:
        """Show the counts on the border, unless the screen is wide enough for their own table."""
        shown = "" if self.screen.has_class("-wide") else summarise_counts(counts, self._width())
        if shown != self._shown_counts:  # to set it draws the whole list anew
            self._shown_counts = shown
            self.border_subtitle = escape(shown)

    def _matching(self) -> list[Entry]:
        return [e for e in self._entries if self._filter in f"{e.label} {e.kind}".casefold()]

    def _update_lines(self) -> None:
        """Update the lines whose text has changed, in place."""
        options = self.query_one(OptionList)
        before, self.shown = self.shown, self._matching()[: -MAX_SHOWN - 1 : -1]
        for index, (old, new) in enumerate(zip(before, self.shown, strict=True)):
            if old != new and self._line(old) != (line := self._line(new)):
                options.replace_option_prompt_at_index(index, line)

    def _refill(self) -> None:
        matching = self._matching()
        options = self.query_one(OptionList)
        at = options.highlighted
        chosen = self.shown[at] if at is not None and at < len(self.shown) else None
        self.shown = matching[: -MAX_SHOWN - 1 : -1]
        of_all = f", of {len(self._entries)}" if self._filter else ""
        self.border_title = f"events ({len(matching)}{of_all})" if self._entries else "events"
        options.clear_options()
        options.add_options([Option(self._line(entry)) for entry in self.shown])
        # New entries push the highlighted one down; the cursor follows it.
        lines = [line_identity(entry) for entry in self.shown]
        if chosen is not None and line_identity(chosen) in lines:
            options.highlighted = lines.index(line_identity(chosen))

    def _line(self, entry: Entry) -> Text:
        return describe(entry, self._columns)


def line_identity(entry: Entry) -> tuple[object, ...]:
    """Fields of an entry that stay the same from the beginning of its event to its end."""
    return entry.kind, entry.label, entry.onset_s, entry.known_s


def describe(entry: Entry, columns: ColumnWidths) -> Text:
    """Write an entry as a line of time, sign, length, score and label. Long notices are wrapped."""
    sign = ONGOING_SIGN if entry.ongoing else SIGNS[entry.kind]
    text = Text(f"{entry.time:>8} {sign} ")
    length = format_short(entry.offset_s - entry.onset_s)
    if entry.kind == "event":
        text.append(f"{length:>7} ")
        text.append(f"{entry.sureness or bar(entry.score, columns.bar):<{columns.bar}} ")
        text.append(f"{entry.score:4.2f} " if columns.digits else "")
        text.append(fit_words(entry.label, columns.label), style="bold")
    elif entry.kind == "gap":
        text.append(f"{length:>7} gap: {entry.label}")
    else:
        text.append(entry.label)
    return text


def summarise_counts(counts: Sequence[tuple[str, int]], width: int) -> str:
    """Write as many counts as fit, the most frequent first: ``12 dog, 3 siren and 2 more``."""
    words = [f"{number} {label}" for label, number in counts]
    for n_shown in range(len(words), 0, -1):
        more = f" and {len(words) - n_shown} more" if n_shown < len(words) else ""
        text = ", ".join(words[:n_shown]) + more
        if cell_len(text) <= width:
            return text
    return ""


def format_short(seconds: float) -> str:
    """Write a length in few characters: ``7.5 s``, from 10 min on ``12:30``, then ``1:00:05``."""
    if seconds < 600:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
