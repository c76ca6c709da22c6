"""The events, newest first, with gaps and warnings in their place."""

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

from streamclf.dashboard.history import Entry
from streamclf.dashboard.widgets.canvas import bar
from streamclf.dashboard.widgets.text import fit_words

MOST_SHOWN = 300
SIGNS = {"event": "▲", "gap": "╱", "warning": "!", "info": "·"}
SOUNDING = "●"


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide the columns of a list are.

    Attributes:
        width: Of all, in cells.
        bar: Of the score's bar.
        digits: Whether the score is written, too.
    """

    width: int
    bar: int
    digits: bool

    @classmethod
    def within(cls, width: int) -> Columns:
        """As much of the score as leaves room for the label."""
        return cls(width, bar=8, digits=True) if width >= 48 else cls(width, bar=5, digits=False)

    @property
    def label(self) -> int:
        """Cells that are left for labels."""
        return max(self.width - 20 - self.bar - 5 * self.digits, 1)

    def heading(self) -> str:
        """The names of the columns."""
        score = self.bar + 5 * self.digits
        return fit_words(f"{'time':>8}   {'length':<7} {'score':<{score}} sound", self.width)


class EventList(Vertical):
    """A filter, headings and a list."""

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
        self.shown: list[Entry] = []
        self._filter = ""
        self._columns = Columns.within(0)

    def compose(self) -> ComposeResult:
        """A line to type into, hidden until it is wanted, and the list."""
        yield Input(placeholder="part of a label", id="filter", classes="hidden")
        yield Static("", id="headings")
        yield OptionList(id="entries")

    def show(self, entries: Sequence[Entry], counts: Sequence[tuple[str, int]] = ()) -> None:
        """Take the entries, the newest last, and how many events of each name there were."""
        self._tell_counts(counts)
        columns = Columns.within(self._width())
        before, self._entries = self._entries, list(entries)
        if columns != self._columns:
            self._columns = columns
            self.query_one("#headings", Static).update(Text(columns.heading()))
        elif before == self._entries:
            return
        elif [same_line(entry) for entry in before] == [same_line(entry) for entry in entries]:
            self._amend()
            return
        self._refill()

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
        self.post_message(self.Chosen(self.shown[event.option_index]))

    def _width(self) -> int:
        """Cells of a line, beside the list's own margins."""
        return self.query_one(OptionList).scrollable_content_region.width - 2

    def _tell_counts(self, counts: Sequence[tuple[str, int]]) -> None:
        """On the border, where there is no room for a table of their own."""
        shown = "" if self.screen.has_class("-wide") else sum_up(counts, self._width())
        self.border_subtitle = escape(shown)

    def _fitting(self) -> list[Entry]:
        return [e for e in self._entries if self._filter in f"{e.label} {e.kind}".casefold()]

    def _amend(self) -> None:
        """Write lines anew that say something else by now; they stay where they are."""
        options = self.query_one(OptionList)
        before, self.shown = self.shown, self._fitting()[: -MOST_SHOWN - 1 : -1]
        for index, (old, new) in enumerate(zip(before, self.shown, strict=True)):
            if old != new and self._line(old) != (line := self._line(new)):
                options.replace_option_prompt_at_index(index, line)

    def _refill(self) -> None:
        fitting = self._fitting()
        options = self.query_one(OptionList)
        at = options.highlighted
        chosen = self.shown[at] if at is not None and at < len(self.shown) else None
        self.shown = fitting[: -MOST_SHOWN - 1 : -1]
        of_all = f", of {len(self._entries)}" if self._filter else ""
        self.border_title = f"events ({len(fitting)}{of_all})" if self._entries else "events"
        options.clear_options()
        options.add_options([Option(self._line(entry)) for entry in self.shown])
        # New ones push it down; the cursor goes along.
        lines = [same_line(entry) for entry in self.shown]
        if chosen is not None and same_line(chosen) in lines:
            options.highlighted = lines.index(same_line(chosen))

    def _line(self, entry: Entry) -> Text:
        return describe(entry, self._columns)


def same_line(entry: Entry) -> tuple[object, ...]:
    """What stays of an entry while its event goes on, and when it ends."""
    return entry.kind, entry.label, entry.onset_s, entry.known_s


def describe(entry: Entry, columns: Columns) -> Text:
    """A line: time, sign, length, score, label; the list wraps a notice that is longer."""
    sign = SOUNDING if entry.sounding else SIGNS[entry.kind]
    text = Text(f"{entry.time:>8} {sign} ")
    length = format_short(entry.offset_s - entry.onset_s)
    if entry.kind == "event":
        text.append(f"{length:>7} ")
        text.append(f"{bar(entry.score, columns.bar).ljust(columns.bar)} ")
        text.append(f"{entry.score:4.2f} " if columns.digits else "")
        text.append(fit_words(entry.label, columns.label), style="bold")
    elif entry.kind == "gap":
        text.append(f"{length:>7} gap: {entry.label}")
    else:
        text.append(entry.label)
    return text


def sum_up(counts: Sequence[tuple[str, int]], width: int) -> str:
    """``12 dog, 3 siren and 2 more``: as many as fit, the most frequent first."""
    words = [f"{number} {label}" for label, number in counts]
    for n_shown in range(len(words), 0, -1):
        more = f" and {len(words) - n_shown} more" if n_shown < len(words) else ""
        text = ", ".join(words[:n_shown]) + more
        if cell_len(text) <= width:
            return text
    return ""


def format_short(seconds: float) -> str:
    """A length in few letters: ``7.5 s``, then ``12:30`` and ``1:00:05``."""
    if seconds < 600:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
