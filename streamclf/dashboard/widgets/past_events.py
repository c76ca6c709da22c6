"""List of the events of a day in a store, with what somebody said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.markup import escape
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from streamclf.core.sureness import SURENESS_WIDTH
from streamclf.dashboard.widgets.canvas import bar
from streamclf.dashboard.widgets.events import format_short
from streamclf.dashboard.widgets.text import fit_exactly, fit_words
from streamclf.store.browse import Entry
from streamclf.store.question import Verdict

CLIP, OPEN = "♪", "●"
VERDICTS: dict[str | None, str] = {None: "", "right": "✓ right", "wrong": "✗ wrong"}
BAR_WIDTH, VERDICT_WIDTH = SURENESS_WIDTH, 8
FIXED_WIDTH = 9 + 2 + 9 + BAR_WIDTH + 1 + 5 + VERDICT_WIDTH
"""Cells of a line besides the label and the source."""
DATED_WIDTH = 12
"""Cells of a time with its day, in place of 8."""


class PastEventList(OptionList):
    """List of events, the newest first. Enter plays one; y, n, w and u say what it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "select", "Play", key_display="Enter"),
        Binding("y", "review('right')", "Yes"),
        Binding("n", "review('wrong')", "No"),
        Binding("w", "rename", "Was"),
        Binding("u", "review('')", "Undo"),
        Binding("m", "more_like", "Alike"),
        Binding("x", "teach", "Teach"),
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
    ]

    class Chosen(Message):
        """The user wants to hear an event.

        Attributes:
            entry: The event.
        """

        def __init__(self, entry: Entry) -> None:
            self.entry = entry
            super().__init__()

    class Reviewed(Message):
        """The user says what an event was.

        Attributes:
            entry: The event.
            verdict: Whether it was right; None takes back what was said.
        """

        def __init__(self, entry: Entry, verdict: Verdict | None) -> None:
            self.entry = entry
            self.verdict = verdict
            super().__init__()

    class Renamed(Message):
        """The user wants to say what an event was instead.

        Attributes:
            entry: The event.
        """

        def __init__(self, entry: Entry) -> None:
            self.entry = entry
            super().__init__()

    class Likened(Message):
        """The user wants to see what is like an event.

        Attributes:
            entry: The event.
        """

        def __init__(self, entry: Entry) -> None:
            self.entry = entry
            super().__init__()

    class Taught(Message):
        """The user wants the sound of an event to be learned.

        Attributes:
            entry: The event.
        """

        def __init__(self, entry: Entry) -> None:
            self.entry = entry
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.entries: list[Entry] = []
        self._names: Mapping[str, str] = {}
        self._dated = False
        self._notes: Mapping[int, str] = {}

    def show(
        self,
        entries: Sequence[Entry],
        names: Mapping[str, str],
        title: str,
        *,
        dated: bool = False,
        notes: Mapping[int, str] | None = None,
    ) -> None:
        """Show events under a title.

        Args:
            entries: The events.
            names: Names of their labels.
            title: The title.
            dated: Whether they are of several days, which are then told.
            notes: What is told of events in place of their labels, by their rows.
        """
        self._notes = notes or {}
        self.entries, self._names, self._dated = list(entries), names, dated
        self.border_title = escape(title)
        self.clear_options()
        self.add_options([Option(self._line(entry)) for entry in self.entries])
        if self.entries:
            self.highlighted = 0

    def replace(self, entry: Entry) -> None:
        """Show an event anew, if it is still listed."""
        for index, each in enumerate(self.entries):
            if each.event.row == entry.event.row:
                self.entries[index] = entry
                self.replace_option_prompt_at_index(index, self._line(entry))

    def on_resize(self) -> None:
        """Fit the lines to the new width."""
        for index, entry in enumerate(self.entries):
            self.replace_option_prompt_at_index(index, self._line(entry))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Post which event is to be played."""
        event.stop()
        self.post_message(self.Chosen(self.entries[event.option_index]))

    def action_review(self, verdict: str) -> None:
        """Post what the user says of the selected event, and go to the next one."""
        if self.highlighted is None or not self.entries:
            return
        said: Verdict | None = "right" if verdict == "right" else "wrong" if verdict else None
        self.post_message(self.Reviewed(self.entries[self.highlighted], said))
        if said is not None:
            self.highlighted = min(self.highlighted + 1, len(self.entries) - 1)

    def action_rename(self) -> None:
        """Post of which event the user wants to say what it was."""
        if self.highlighted is not None and self.entries:
            self.post_message(self.Renamed(self.entries[self.highlighted]))

    def action_more_like(self) -> None:
        """Post of which event the user wants to see more."""
        if self.highlighted is not None and self.entries:
            self.post_message(self.Likened(self.entries[self.highlighted]))

    def action_teach(self) -> None:
        """Post which event's sound the user wants to be learned."""
        if self.highlighted is not None and self.entries:
            self.post_message(self.Taught(self.entries[self.highlighted]))

    def _line(self, entry: Entry) -> Text:
        event = entry.event
        time = f"{event.time:%H:%M:%S}" if event.time else ""
        if self._dated:
            time = f"{event.time:%d %b %H:%M}" if event.time else " " * DATED_WIDTH
        sign = CLIP if entry.clip and entry.clip.is_there else " "
        end_s = event.offset_s
        length = OPEN if end_s is None else format_short(end_s - event.onset_s)
        score = event.highest_score
        sure = event.sureness or bar(score, BAR_WIDTH)
        text = Text(f"{time:>8} {sign} {length:>8} {sure:<{BAR_WIDTH}} ")
        text.append(f"{score:4.2f} ")
        fixed = FIXED_WIDTH + (DATED_WIDTH - 8 if self._dated else 0)
        room = max(self.scrollable_content_region.width - fixed - 2, 8)
        known = self._names.get(event.label, event.label)
        if entry.said_label is None:
            known = self._notes.get(event.row, known)
        if entry.said_label is not None:
            known += f" (it was {self._names.get(entry.said_label, entry.said_label)})"
        name = fit_words(known, room)
        text.append(name, style="bold")
        rest = room - len(name) - 3
        text.append(f"   {fit_exactly(event.source, rest)}" if rest > 3 else " " * (rest + 3))
        text.append(f" {VERDICTS[event.verdict]}")
        return text
