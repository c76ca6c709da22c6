"""Screen of the days in a store: when what was heard, the events, their audio, right or wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from streamclf.core.errors import StreamclfError
from streamclf.core.records import Waveform
from streamclf.core.text_format import format_count
from streamclf.dashboard.past.days import Past, PastDay, SoundGroup, day_beside
from streamclf.dashboard.widgets.day_map import DayMap
from streamclf.dashboard.widgets.key_line import KeyLine
from streamclf.dashboard.widgets.past_events import PastEventList
from streamclf.dashboard.widgets.text import join_fitting
from streamclf.store.browse import Entry
from streamclf.store.question import Verdict
from streamclf.store.reviews import LONGEST_LABEL

Load = Callable[[], tuple[Waveform, int]]
Play = Callable[[Load], object]


class PastScreen(ModalScreen[None]):
    """Screen of the days in a store. Questions run in threads, and the newest answer counts.

    Args:
        past: The store, or a page that has one.
        play: Plays a piece of audio, which is loaded in another thread.
        stop: Stops it.
    """

    # A line of 80 characters ends where it is full, so what is seen nowhere else stands first.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "groups", "Unknown"),
        Binding("escape,q", "leave", "Back", key_display="Esc"),
        Binding("left_square_bracket", "step(-1)", "Day", key_display="[ ]"),
        Binding("right_square_bracket", "step(1)", "Day after", show=False),
        Binding("t", "today", "Today"),
        Binding("0", "stop", "Stop"),
    ]

    def __init__(self, past: Past, play: Play, stop: Callable[[], object]) -> None:
        super().__init__()
        self._past = past
        self._play = play
        self._stop = stop
        self.shown: PastDay | None = None
        self._asked: Entry | None = None  # of which the user is about to say what it was
        self._groups: dict[int, SoundGroup] = {}  # that are listed, by the rows of their examples
        self._learns = False

    def compose(self) -> ComposeResult:
        """Make the title, the map, the list and the keys."""
        yield Static("reading the store ...", id="past-title")
        yield DayMap(id="past-map")
        yield PastEventList(id="past-events")
        yield Input(id="past-was", classes="hidden", max_length=LONGEST_LABEL)
        yield KeyLine()

    def on_mount(self) -> None:
        """Show today."""
        self.query_one(DayMap).focus()
        self._show_day(None)

    def action_step(self, step: int) -> None:
        """Show the day before or after."""
        if self.shown is not None:
            self._show_day(day_beside(self.shown, step))

    def action_today(self) -> None:
        """Show today."""
        self._show_day(None)

    def action_groups(self) -> None:
        """List the unknown sounds that came again, until another hour or day is chosen."""
        self.run_worker(self._read_groups(), group="events", exclusive=True)

    def action_stop(self) -> None:
        """Stop what is played."""
        self._stop()

    def action_leave(self) -> None:
        """Go back to what sounds now; from the field, to the list."""
        if self._asked is not None:
            self._end_field()
            return
        self._stop()
        self.dismiss(None)

    def on_day_map_moved(self) -> None:
        """List the events of the chosen hour and label."""
        self._list_events()

    def on_past_event_list_chosen(self, message: PastEventList.Chosen) -> None:
        """Play an event."""
        entry = message.entry
        self._play(lambda: self._past.load_audio(entry))

    def on_past_event_list_reviewed(self, message: PastEventList.Reviewed) -> None:
        """Note what the user says of an event."""
        self.run_worker(self._review(message.entry, message.verdict), group="review")

    def on_past_event_list_renamed(self, message: PastEventList.Renamed) -> None:
        """Ask what an event was."""
        self._asked = message.entry
        names = sorted(self.shown.names.values()) if self.shown is not None else []
        field = self.query_one("#past-was", Input)
        field.suggester = SuggestFromList(names, case_sensitive=False)
        field.placeholder = "it was ... (Enter saves, Esc leaves it as it is)"
        field.value = ""
        field.remove_class("hidden")
        field.focus()

    def on_past_event_list_likened(self, message: PastEventList.Likened) -> None:
        """List what is like an event, until another hour or day is chosen."""
        self.run_worker(self._read_like(message.entry), group="events", exclusive=True)

    def on_past_event_list_taught(self, message: PastEventList.Taught) -> None:
        """Learn the sound that an event was said to be, or correct its label."""
        entry = message.entry
        if entry.event.verdict is None:
            self.notify("say first what it was (w), or that it was wrong (n)")
        elif self._learns:
            self.notify("a sound is being learned: wait until it is")
        else:
            name = entry.said_label or entry.event.label
            self._learns = True
            self.notify(f"{name} is being learned ...", markup=False)
            self.run_worker(self._teach(name), group="teach")

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Note what the event was."""
        message.stop()
        entry, said = self._asked, message.value.strip()
        self._end_field()
        if entry is None or not said:
            return
        group = self._groups.get(entry.event.row)
        if group is None:
            self.run_worker(self._review(entry, "wrong", said), group="review")
        else:
            self.run_worker(self._name_group(group, said), group="review")

    def _end_field(self) -> None:
        self._asked = None
        self.query_one("#past-was", Input).add_class("hidden")
        self.query_one(PastEventList).focus()

    def _show_day(self, day: date | None) -> None:
        self.run_worker(self._read_day(day), group="day", exclusive=True)

    def _list_events(self) -> None:
        self.run_worker(self._read_events(), group="events", exclusive=True)

    async def _read_day(self, day: date | None) -> None:
        try:
            self.shown = await asyncio.to_thread(self._past.day, day)
        except StreamclfError as error:
            self._say(error)
            return
        self.query_one(DayMap).show_day(self.shown.table, self.shown.names)
        self.query_one("#past-title", Static).update(
            Text(_describe(self.shown, self.size.width - 2), no_wrap=True)
        )
        self._list_events()

    async def _read_events(self) -> None:
        shown, chosen = self.shown, self.query_one(DayMap)
        if shown is None:
            return
        hour, label = chosen.hour, chosen.label
        try:
            found = await asyncio.to_thread(self._past.events, shown.day, hour, label)
        except StreamclfError as error:
            self._say(error)
            return
        when = "" if hour is None else f", {hour:02d}:00 to {hour + 1:02d}:00"
        what = "events" if label is None else shown.name(label)
        more = f", the newest {len(found.entries)}" if found.has_more else ""
        self._groups = {}
        self.query_one(PastEventList).show(found.entries, shown.names, f"{what}{when}{more}")

    async def _read_like(self, entry: Entry) -> None:
        shown = self.shown
        if shown is None:
            return
        try:
            found = await asyncio.to_thread(self._past.like, entry.event.row)
        except StreamclfError as error:
            self._say(error)
            return
        time = entry.event.time
        when = "" if time is None else f", {time:%d %b %H:%M}"
        self._groups = {}
        title = f"most like {shown.name(entry.event.label)}{when}"
        self.query_one(PastEventList).show(found.entries, shown.names, title, dated=True)

    async def _read_groups(self) -> None:
        shown = self.shown
        if shown is None:
            return
        try:
            found = await asyncio.to_thread(self._past.groups)
        except StreamclfError as error:
            self._say(error)
            return
        if not found:
            self.notify("no unknown sound came again: serve --unknown remembers them")
            return
        self._groups = {each.entry.event.row: each for each in found}
        notes = {row: each.note for row, each in self._groups.items()}
        entries = [each.entry for each in found]
        listed = self.query_one(PastEventList)
        listed.show(entries, shown.names, "unknown, all days: w names it", dated=True, notes=notes)
        listed.focus()

    async def _name_group(self, group: SoundGroup, said: str) -> None:
        try:
            n_named = await asyncio.to_thread(self._past.name_group, group.rows, said)
        except StreamclfError as error:
            self._say(error)
            return
        self.notify(f"{format_count(n_named, 'event')} named {said}", markup=False)
        self._groups.pop(group.entry.event.row, None)
        named = replace(group.entry, said_label=said)
        verdict = replace(group.entry.event, verdict="wrong")
        self.query_one(PastEventList).replace(replace(named, event=verdict))

    async def _teach(self, name: str) -> None:
        shown = self.shown
        try:
            found = await asyncio.to_thread(self._past.teach, name)
        except StreamclfError as error:
            self._say(error)
            return
        finally:
            self._learns = False
        self.notify("\n".join(found.lines), markup=False, timeout=20)
        if found.entries and shown is not None and self.is_attached:
            self._groups = {}
            title = f"{name} would have been heard: y, n and w say what it was, x learns that"
            self.query_one(PastEventList).show(found.entries, shown.names, title, dated=True)

    async def _review(self, entry: Entry, verdict: Verdict | None, said: str | None = None) -> None:
        try:
            changed = await asyncio.to_thread(self._past.review, entry.event.row, verdict, said)
        except StreamclfError as error:
            self._say(error)
            return
        if changed is None:
            return
        self.query_one(PastEventList).replace(changed)
        if said is not None and not self._is_label(said):
            self.notify(f"x teaches {said}, from all events that were it", markup=False, timeout=8)

    def _is_label(self, name: str) -> bool:
        """Whether a model knows a sound by this name, as far as the shown day tells."""
        if self.shown is None:
            return False
        names = self.shown.names
        known = {*names, *names.values(), *self.shown.table.labels}
        return name.casefold() in {each.casefold() for each in known}

    def _say(self, error: StreamclfError) -> None:
        self.notify(str(error), severity="error", markup=False)


def _describe(shown: PastDay, width: int) -> str:
    near = {shown.today: "today", shown.today - timedelta(days=1): "yesterday"}
    day, table = shown.day, shown.table
    heard_h = sum(table.heard_h)
    parts = [
        f"{day:%A} {day.day} {day:%B} {day.year}",
        near.get(day, ""),
        format_count(sum(table.totals), "event"),
        f"{heard_h:.1f} h heard",
        f"before it, {shown.before.isoformat()} has events: [" if shown.before else "",
    ]
    return join_fitting(parts, " │ ", width)
