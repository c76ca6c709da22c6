"""Actions of the app, which the keys trigger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamclf.core.card import Thresholds
from streamclf.core.errors import StreamclfError
from streamclf.core.settings import Settings
from streamclf.dashboard import adjustments, export
from streamclf.dashboard.keys import keys_for
from streamclf.dashboard.past.days import PastDays
from streamclf.dashboard.past.screen import PastScreen
from streamclf.dashboard.saved_settings import log_path, settings_path
from streamclf.dashboard.terminal_app import TerminalApp
from streamclf.dashboard.widgets.current_labels import CurrentLabels
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.help import Help
from streamclf.dashboard.widgets.picker import Picker
from streamclf.model.model_file import portable_model_name
from streamclf.model.options import ModelOptions

if TYPE_CHECKING:
    from streamclf.dashboard.listener import Listener
    from streamclf.dashboard.playback import Playback
    from streamclf.dashboard.playhead import Playhead
    from streamclf.dashboard.saved_settings import SavedSettings


class Actions(TerminalApp):
    """The actions of the dashboard, without its layout.

    Attributes:
        listener: Thread that runs the engine.
        playhead: Moment that is displayed.
        playback: Playback through the loudspeaker.
        saved_settings: Settings for the next session.
        folder: Folder for clips, events and screenshots.
    """

    listener: Listener
    playhead: Playhead
    playback: Playback
    saved_settings: SavedSettings
    folder: Path
    _dirty: bool

    def arrange(self) -> None:
        """Show the widgets that fit the view and the model's task."""
        raise NotImplementedError

    def is_silent(self) -> bool:
        """Whether audio has stopped arriving."""
        raise NotImplementedError

    def at_the_end(self) -> bool:
        """Whether a recording was played to its end."""
        raise NotImplementedError

    def action_help(self) -> None:
        """Show all keys."""
        keys = keys_for(recording=self.listener.openers.recording is not None)
        settings = settings_path() or "not kept: there is no home folder"
        about = (
            "Tab goes to the events, Enter there shows one in its place and plays it aloud (a\n"
            "microphone nearby hears it, too). Ctrl-P finds all keys by name. Files go to the\n"
            "folder you are in.\n"
            f"Settings: {settings}\nLog: {log_path() or 'a temporary file'}"
        )
        self.push_screen(Help(keys, about))

    def action_past(self) -> None:
        """Show the days that the store remembers; listening continues."""
        store = self.listener.openers.store
        if store is None:
            self.notify("no store remembers any day: begin with --store FILE")
            return
        playback = self.playback
        days = PastDays(store, lambda: [ModelOptions(str(self.listener.model_path))])
        self.push_screen(PastScreen(days, playback.play_clip, playback.stop_clip))

    def action_pause(self) -> None:
        """Freeze the view or continue it; listening continues in either case."""
        if self.at_the_end():
            self.playhead.seek(0.0, self.listener.history.end_s)
        else:
            self.playhead.toggle()
        self._dirty = True

    def action_sound(self) -> None:
        """Mute or unmute a recording; stop an event that is being played."""
        self.notify(self.playback.toggle())
        self.saved_settings.muted = self.playback.muted
        self._dirty = True

    def action_seek(self, seconds: float) -> None:
        """Move by a number of seconds in a recording."""
        end_s = self.listener.history.end_s
        self.playhead.seek(self.playhead.at(end_s) + seconds, end_s)
        self._dirty = True

    def action_speed(self, steps: int) -> None:
        """Play a recording faster or slower."""
        self.playhead.change_speed(steps)
        self._dirty = True

    def action_jump(self, direction: int) -> None:
        """Go to the next or the previous event of a recording."""
        history = self.listener.history
        at = self.playhead.at(history.end_s)
        with history.lock:
            onsets = sorted({e.onset_s for e in history.entries if e.kind == "event"})
        ahead = [onset for onset in onsets if onset > at + 0.01]
        # An onset in the last second does not count: going back from an event that is being
        # played reaches the previous one.
        behind = [onset for onset in onsets if onset < at - 1.0]
        if direction > 0 and ahead:
            self.playhead.seek(ahead[0], history.end_s)
        elif direction < 0 and behind:
            self.playhead.seek(behind[-1], history.end_s)
        else:
            self.notify("no event on that side")
        self._dirty = True

    def on_event_list_chosen(self, message: EventList.Chosen) -> None:
        """Go to the selected event and play it; a live view freezes there."""
        history = self.listener.history
        shown_s = message.entry.onset_s
        if history.live:
            # Late enough that the scores of the event are visible.
            shown_s = max(message.entry.offset_s, message.entry.onset_s + 1.0)
        self.playhead.seek(shown_s, history.end_s)
        if message.entry.kind == "event":
            self.playback.play_event(message.entry)
        self._dirty = True

    def action_threshold(self, steps: int) -> None:
        """Raise or lower every threshold."""
        thresholds = adjustments.shift_all(self.listener.selected_engine.thresholds, steps)
        if self._change(thresholds=thresholds):
            name = self.listener.selected_engine.card.name
            self.saved_settings.thresholds[name] = thresholds.on
            own = {label: limit.on for label, limit in thresholds.classes.items()}
            self.saved_settings.class_thresholds[name] = own
            self.notify(f"every threshold: {thresholds.on:.2f}")

    def action_class_threshold(self, steps: int) -> None:
        """Raise or lower the threshold of the selected class."""
        label = self.query_one(CurrentLabels).selected
        if label is None:
            self.notify("select a class first: Tab to 'now', then ↑ ↓")
            return
        thresholds = adjustments.shift_class(self.listener.selected_engine.thresholds, label, steps)
        if self._change(thresholds=thresholds):
            name = self.listener.selected_engine.card.name
            own = self.saved_settings.class_thresholds.setdefault(name, {})
            own[label] = thresholds.of(label).on
            shown = self.listener.selected_engine.card.display_name(label)
            self.notify(f"threshold of {shown}: {own[label]:.2f}", markup=False)

    def action_hop(self, direction: int) -> None:
        """Shorten or lengthen the hop."""
        hop_s = adjustments.next_step(
            adjustments.HOPS_S, self.listener.selected_engine.settings.hop_s, direction
        )
        if self._change(hop_s=hop_s):
            self.saved_settings.hop_s = hop_s
            self.notify(f"a window every {self.listener.selected_engine.hop_s:g} s")

    def action_average(self, direction: int) -> None:
        """Lengthen or shorten the average."""
        settings = self.listener.selected_engine.settings
        average_s = adjustments.next_step(adjustments.AVERAGES_S, settings.average_s, direction)
        if self._change(average_s=average_s):
            self.saved_settings.average_s = average_s
            self.notify(f"averaged over {average_s:g} s" if average_s else "not averaged")

    def _change(self, **changes: Any) -> bool:
        engine = self.listener.selected_engine
        thresholds: Thresholds = engine.thresholds
        settings: Settings = replace(engine.settings, **{"thresholds": thresholds, **changes})
        return self._try(lambda: self.listener.change(settings))

    def _try(self, do: Callable[[], object]) -> bool:
        try:
            do()
        except StreamclfError as error:
            self.notify(str(error), severity="error", markup=False)
            return False
        self._dirty = True
        return True

    def action_view(self) -> None:
        """Switch between spectrogram and waveform."""
        other = self.saved_settings.view == "spectrogram"
        self.saved_settings.view = "waveform" if other else "spectrogram"
        self.arrange()
        self._dirty = True

    def action_filter(self) -> None:
        """Show the input field that filters the events."""
        self.query_one(EventList).ask_filter()

    def action_pick_theme(self) -> None:
        """Let the user choose the theme."""
        self._pick("theme", lambda: sorted(self.available_themes), self.theme, self._use_theme)

    def _use_theme(self, name: str) -> None:
        self.theme = self.saved_settings.theme = name

    def action_pick_model(self) -> None:
        """Let the user choose the model."""
        current = self.listener.selected_engine.card.name
        self._pick("model", self.listener.openers.list_models, current, self._use_model)

    def _use_model(self, name: str) -> None:
        self.listener.use_model(name)
        self.saved_settings.model = portable_model_name(name)
        if self.is_silent() and self.listener.selected_engine is not self.listener.engine:
            text = f"no audio just now: {name} takes over as soon as some comes"
            self.call_from_thread(self.notify, text, markup=False)

    def action_pick_device(self) -> None:
        """Let the user choose the microphone."""
        current = self.listener.relay.name
        self._pick("device", self.listener.list_devices, current, self._use_device)

    def _use_device(self, name: str) -> None:
        self.listener.use_device(name)
        self.saved_settings.device = name

    def _pick(
        self,
        title: str,
        list_choices: Callable[[], Sequence[str]],
        current: str,
        use: Callable[[str], None],
    ) -> None:
        """Let the user choose from a list. Devices and files are listed and opened in a thread."""

        def chosen(name: str | None) -> None:
            if name is None:
                return
            if title == "theme":
                use(name)
            else:
                self._in_thread(lambda: use(name))

        def ask() -> None:
            choices = list_choices()
            self.call_from_thread(self.push_screen, Picker(title, choices, current), chosen)

        self._in_thread(ask)

    def _in_thread(self, do: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                do()
            except StreamclfError as error:
                text = str(error)
                self.call_from_thread(self.notify, text, severity="error", markup=False)

        self.run_worker(guarded, thread=True, exit_on_error=True)

    def action_save_clip(self) -> None:
        """Save the audio and scores of the seconds before the displayed moment."""
        if not self.listener.openers.may_save_audio:
            text = "the last 30 s may hold speech, and --privacy speech writes none: start without"
            self.notify(text, severity="error", markup=False)
            return
        to_s = self.playhead.at(self.listener.history.end_s)
        recording = self.listener.openers.recording
        self._save(lambda: export.save_clip(self.listener.history, recording, to_s, self.folder))

    def action_export(self) -> None:
        """Write the session's events as CSV."""
        self._save(lambda: export.export_events(self.listener.history, self.folder))

    def _save(self, write: Callable[[], Path]) -> None:
        def work() -> None:
            path = write()
            self.call_from_thread(self.notify, f"written: {path.name}", markup=False)

        self._in_thread(work)

    def action_save_screen(self) -> None:
        """Save the screen as SVG."""
        path = export.free_path(self.folder, "screen", ".svg")
        try:
            self.save_screenshot(path.name, str(self.folder))
        except OSError as error:
            self.notify(f"{path}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(f"written: {path.name}", markup=False)
