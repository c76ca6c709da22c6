"""The app: arranges the widgets, draws frames, and reacts to keys and messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from streamclf.core.text_format import format_length
from streamclf.dashboard.actions import Actions
from streamclf.dashboard.health import HealthMeter
from streamclf.dashboard.keys import KEYS, keys_for
from streamclf.dashboard.listener import Listener
from streamclf.dashboard.messages import (
    ListenerCrashed,
    ListeningEnded,
    ListeningStarted,
    StateChanged,
    UserMessage,
)
from streamclf.dashboard.playback import Playback
from streamclf.dashboard.playhead import Playhead
from streamclf.dashboard.refresh_rate import RefreshRate
from streamclf.dashboard.saved_settings import SavedSettings
from streamclf.dashboard.snapshot import Level, Snapshot, take_snapshot
from streamclf.dashboard.widgets.canvas import Canvas
from streamclf.dashboard.widgets.counts import Counts
from streamclf.dashboard.widgets.current_labels import CurrentLabels
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.gauge import Gauge
from streamclf.dashboard.widgets.header import Status, StatusHeader
from streamclf.dashboard.widgets.headline import Headline
from streamclf.dashboard.widgets.health import HealthLine
from streamclf.dashboard.widgets.key_line import KeyLine
from streamclf.dashboard.widgets.level import LevelMeter
from streamclf.dashboard.widgets.spectrogram import Spectrogram
from streamclf.dashboard.widgets.timeline import Timeline
from streamclf.dashboard.widgets.waveform import WaveformView

HEALTH_EVERY_S = 0.5


class Dashboard(Actions):
    """Screen that shows live what streamclf hears.

    Args:
        make_listener: Makes the listener, given the function that posts messages to the app.
        saved_settings: Settings of the last session; None for the defaults.
        now: Returns monotonic seconds.

    Attributes:
        meter: Meter of latency, frame rate and load.
        refresh_rate: Current frame rate.
        reason: Reason why listening ended; None while it runs.
    """

    CSS_PATH = "dashboard.tcss"
    TITLE = "streamclf"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(key.binding for key in KEYS),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]

    def __init__(
        self,
        make_listener: Callable[[Callable[[Message], object]], Listener],
        saved_settings: SavedSettings | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.listener = make_listener(self.post_message)
        self.saved_settings = saved_settings or SavedSettings()
        self.meter = HealthMeter(now)
        self.refresh_rate = RefreshRate()
        self.playhead = Playhead(live=self.listener.relay.live, now=now)
        self.playback = self._make_playback()
        self.reason: str | None = None
        self.folder = Path.cwd()
        self._now = now
        self._dirty = True
        self._drawn_at = now()
        self._timer: Timer | None = None
        self._shown_average_s = 0.0
        self._health_at = 0.0

    def compose(self) -> ComposeResult:
        """Make the widgets, in order from top to bottom."""
        yield StatusHeader(id="header")
        yield Headline(id="headline")
        with Horizontal(id="top"):
            yield CurrentLabels(id="now")
            yield Gauge(id="gauge")
            yield EventList(id="events")
            yield Counts(id="counts")
        yield LevelMeter(id="level")
        yield Spectrogram(id="spectrogram")
        yield WaveformView(id="waveform")
        yield Timeline(id="timeline")
        yield HealthLine(id="health")
        yield KeyLine()

    def on_mount(self) -> None:
        """Start listening and drawing."""
        self.choose_theme(self.saved_settings.theme)
        self.arrange()
        self.query_one("#now").focus()
        self.end_on_signals()
        self.listener.start()
        self.playback.start()
        self._timer = self.set_timer(self.refresh_rate.interval_s, self._frame)

    def on_unmount(self) -> None:
        """Stop playback."""
        self.playback.close()

    def _make_playback(self) -> Playback:
        openers = self.listener.openers

        def say(line: str) -> None:
            self.post_message(UserMessage(line))

        return Playback(
            self.listener.history,
            self.playhead,
            openers.recording,
            openers.open_loudspeaker,
            say,
            muted=self.saved_settings.muted,
        )

    def on_user_message(self, message: UserMessage) -> None:
        """Show a line, such as why audio could not be played."""
        self._dirty = True
        self.notify(message.line, severity="warning", timeout=10, markup=False)

    def arrange(self) -> None:
        """Show the widgets that fit the view and the model's task."""
        regression = self.listener.engine.card.task == "regression"
        for name in ("#now", "#headline"):
            self.query_one(name).display = not regression
        self.query_one("#gauge").display = regression
        self.query_one("#spectrogram").display = self.saved_settings.view == "spectrogram"
        self.query_one("#waveform").display = self.saved_settings.view == "waveform"

    def on_state_changed(self, message: StateChanged) -> None:
        """Draw the new state with the next frame."""
        self._dirty = True

    def on_listening_started(self, message: ListeningStarted) -> None:
        """Clear the reason of the last end; the model may have changed."""
        self.reason = None
        self._dirty = True
        self.arrange()

    def on_listening_ended(self, message: ListeningEnded) -> None:
        """Show why the source ended. The view stays, and the user may choose another source."""
        before, self.reason = self.reason, message.reason or "ended"
        self._dirty = True
        if message.reason and message.reason != before:
            self.notify(message.reason, severity="error", timeout=15, markup=False)
        elif not message.reason and self.listener.openers.duration_s is not None:
            self.exit(0)

    def on_listener_crashed(self, message: ListenerCrashed) -> None:
        """End the app, as for a bug in the app itself."""
        raise message.error

    def _frame(self) -> None:
        if not self.screen_stack:
            return  # the app is being closed
        now = self._now()
        draw = self.refresh_rate.record_frame(now - self._drawn_at, self.backlog())
        self._drawn_at = now
        moving = self.playhead.playing and not self.listener.relay.live
        due = now - self._health_at >= HEALTH_EVERY_S
        if draw and (self._dirty or moving or due):
            self._dirty = False
            self.draw()
        self._timer = self.set_timer(self.refresh_rate.interval_s, self._frame)

    def backlog(self) -> int:
        """Number of writes that wait for the terminal, in the queue of Textual's driver."""
        writer = getattr(self._driver, "_writer_thread", None)
        waiting = getattr(writer, "_queue", None)
        return waiting.qsize() if waiting is not None else 0

    def draw(self) -> None:
        """Show the newest state."""
        snapshot = self.take_snapshot()
        base = self.screen_stack[0]
        for canvas in base.query(Canvas):
            canvas.show(snapshot)
        base.query_one(EventList).show(snapshot.entries, snapshot.counts)
        self.meter.record_frame()
        self.show_status(snapshot)
        newest = snapshot.averages[-1] if snapshot.averages else None
        if newest is not None and newest.time_s != self._shown_average_s and self.playhead.playing:
            self._shown_average_s = newest.time_s
            self.call_after_refresh(self.meter.record_latency, newest.arrived_at)

    def take_snapshot(self) -> Snapshot:
        """Take the snapshot to display."""
        listener = self.listener
        time_s = self.playhead.at(listener.history.end_s)
        engine = listener.engine
        snapshot = take_snapshot(
            listener.history, engine.card, engine.thresholds, time_s, self.playhead.known_s
        )
        if self.playhead.playing and self.is_silent():
            # What was heard last may go on or not: nobody knows before audio comes again.
            values = snapshot.values if self.reason == "ended" else None
            return replace(snapshot, level=Level(), values=values)
        return snapshot

    def is_silent(self) -> bool:
        """Whether audio has stopped arriving; False for recordings, which are read ahead."""
        history = self.listener.history
        return history.live and (self.reason is not None or history.silent_s(self._now()) > 0)

    def at_the_end(self) -> bool:
        """Whether a recording was played to its end."""
        history = self.listener.history
        if history.live or self.reason is None or not self.playhead.playing:
            return False
        return self.playhead.at(history.end_s) >= history.end_s

    def show_status(self, snapshot: Snapshot) -> None:
        """Update the header and, twice a second, the health line."""
        listener, engine = self.listener, self.listener.engine
        chosen = listener.selected_engine
        base = self.screen_stack[0]
        base.query_one(StatusHeader).show(
            Status(
                self._state(), self._model_name(), engine.card.task, listener.relay.name,
                listener.scoring_engine.source_rate, f"on {listener.model.provider}",
                chosen.overload.hop_s,
                chosen.settings.average_s, self._describe_position(snapshot),
            )
        )  # fmt: skip
        if self._now() - self._health_at >= HEALTH_EVERY_S:
            self._health_at = self._now()
            health = self.meter.sample(
                listener.scoring_engine.statistics,
                listener.history.lag_s,
                engine.overload.reason,
                listener.openers.n_lost,
                listener.statistics,
                0.0 if self.reason == "ended" else listener.history.silent_s(self._now()),
            )
            base.query_one(HealthLine).show(health)

    def _model_name(self) -> str:
        """Name of the current model, and of one that takes over once audio arrives."""
        name, following = self.listener.engine.card.name, self.listener.selected_engine.card.name
        if name == following or not self.is_silent():
            return name
        return f"{name} → {following} when audio comes"

    def _state(self) -> str:
        if self.listener.openers.recording is not None:
            return self._recording_state()
        listening = self._live_state()
        if self.playhead.playing:
            return listening
        still = "still listening" if listening == "listening" else listening
        return f"view frozen, {still}"

    def _recording_state(self) -> str:
        if not self.playhead.playing:
            return "paused"
        if self.at_the_end():
            return "ENDED"
        speed = f"playing {self.playhead.speed:g}x"
        return speed if self.playback.plays_recording else f"{speed}, no sound"

    def _live_state(self) -> str:
        if not self.is_silent():
            return "NO SIGNAL" if self.listener.engine.signal.is_silent else "listening"
        if self.reason is not None:
            return "ENDED" if self.reason == "ended" else "NO AUDIO"
        state = self.listener.relay.state
        return "NO AUDIO" if state == "listening" else f"NO AUDIO, {state}"

    def _describe_position(self, snapshot: Snapshot) -> str:
        if self.listener.openers.recording is None:
            return ""
        known_s = self.listener.history.end_s
        claimed = self.listener.relay.duration_s if self.reason is None else None
        # The duration in a file's header is a claim, and may be too short.
        whole = max(claimed or 0.0, known_s)
        place = f"{format_length(snapshot.time_s)} of {format_length(whole)}"
        if clock := self.listener.history.clock(snapshot.time_s):
            place = f"{clock}, {place}"
        counts = self.listener.scoring_engine.statistics
        heard_s = counts.elapsed_samples / counts.sample_rate
        if claimed and whole:
            return f"{place}, {min(heard_s / whole, 1):.0%} analysed"
        return place

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer every action that has a key in the command palette too."""
        for key in keys_for(recording=self.listener.openers.recording is not None):
            run = self._runner(key.action)
            yield SystemCommand(f"{key.title} ({key.shown})", key.help, run)

    def _runner(self, action: str) -> Callable[[], object]:
        return lambda: self.call_later(self.run_action, action)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable the keys that have no meaning for this source."""
        recording = self.listener.openers.recording is not None
        for key in KEYS:
            if key.action.partition("(")[0] == action and key.recordings not in (None, recording):
                return False
        return True
