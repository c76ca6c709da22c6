"""The app: puts the widgets together, draws at its own pace, does what the keys say."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer

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
    Told,
)
from streamclf.dashboard.playback import Playback
from streamclf.dashboard.playhead import Playhead
from streamclf.dashboard.refresh_rate import Pace
from streamclf.dashboard.saved_settings import Remembered
from streamclf.dashboard.snapshot import Level, Picture, take_picture
from streamclf.dashboard.terminal import lasting
from streamclf.dashboard.widgets.canvas import Canvas
from streamclf.dashboard.widgets.counts import Counts
from streamclf.dashboard.widgets.current_labels import Now
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.gauge import Gauge
from streamclf.dashboard.widgets.header import Situation, StatusHeader
from streamclf.dashboard.widgets.headline import Headline
from streamclf.dashboard.widgets.health import HealthLine
from streamclf.dashboard.widgets.level import LevelMeter
from streamclf.dashboard.widgets.spectrogram import Spectrogram
from streamclf.dashboard.widgets.timeline import Timeline
from streamclf.dashboard.widgets.waveform import WaveformView

HEALTH_EVERY_S = 0.5
INTERRUPTED = 130


class Dashboard(Actions, App[int]):
    """What streamclf hears.

    Args:
        make_listener: Makes the listener, given how to post messages.
        remembered: Of the last session.
        now: Monotonic seconds.

    Attributes:
        has_terminal: Whether what it draws on is still there.
    """

    CSS_PATH = "dashboard.tcss"
    TITLE = "streamclf"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(key.binding for key in KEYS),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"), (70, "-normal"), (105, "-wide"),
    ]  # fmt: skip
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-tiny"), (16, "-short"), (32, "-tall"), (50, "-very-tall"),
    ]  # fmt: skip

    def __init__(
        self,
        make_listener: Callable[[Callable[[Message], object]], Listener],
        remembered: Remembered | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.listener = make_listener(self.post_message)
        self.remembered = remembered or Remembered()
        self.meter = HealthMeter(now)
        self.pace = Pace()
        self.playhead = Playhead(live=self.listener.relay.live, now=now)
        self.playback = self._make_playback()
        self.reason: str | None = None
        self.failure: Exception | None = None
        self.folder = Path.cwd()
        self._now = now
        self.has_terminal = True
        self._dirty = True
        self._drawn_at = now()
        self._timer: Timer | None = None
        self._shown_mean = 0.0
        self._health_at = 0.0

    def compose(self) -> ComposeResult:
        """What is read first comes first."""
        yield StatusHeader(id="header")
        yield Headline(id="headline")
        with Horizontal(id="top"):
            yield Now(id="now")
            yield Gauge(id="gauge")
            yield EventList(id="events")
            yield Counts(id="counts")
        yield LevelMeter(id="level")
        yield Spectrogram(id="spectrogram")
        yield WaveformView(id="waveform")
        yield Timeline(id="timeline")
        yield HealthLine(id="health")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to listen and to draw."""
        if self.remembered.theme in self.available_themes:
            self.theme = self.remembered.theme
        elif self.console.color_system in ("standard", "windows"):
            # Of 16 colours, other themes' dark greys all become black.
            self.theme = "ansi-dark"
        self.arrange()
        self.query_one("#now").focus()
        self._end_on_signals()
        self.listener.start()
        self.playback.start()
        self._timer = self.set_timer(self.pace.interval_s, self._frame)

    def on_unmount(self) -> None:
        """Fall silent."""
        self.playback.close()

    def _make_playback(self) -> Playback:
        doors = self.listener.doors

        def say(line: str) -> None:
            self.post_message(Told(line))

        return Playback(
            self.listener.history,
            self.playhead,
            doors.recording,
            # In a browser there is no telling whose loudspeaker it would be.
            None if "TEXTUAL_DRIVER" in os.environ else doors.open_loudspeaker,
            say,
            muted=self.remembered.muted,
        )

    def on_told(self, message: Told) -> None:
        """Something could not be played."""
        self._dirty = True
        self.notify(message.line, severity="warning", timeout=10, markup=False)

    def get_driver_class(self) -> type[Driver]:
        """Textual's driver, for a terminal that may go."""
        return lasting(super().get_driver_class(), self._lose_terminal)

    def _lose_terminal(self) -> None:
        """End as by a signal: nobody sees anything any more."""
        self.has_terminal = False
        self.exit(INTERRUPTED)

    def _end_on_signals(self) -> None:
        if threading.current_thread() is threading.main_thread() and os.name == "posix":
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.exit, INTERRUPTED)

    def arrange(self) -> None:
        """Show the widgets that go with the view and the model's task."""
        regression = self.listener.engine.card.task == "regression"
        for name in ("#now", "#headline"):
            self.query_one(name).display = not regression
        self.query_one("#gauge").display = regression
        self.query_one("#spectrogram").display = self.remembered.view == "spectrogram"
        self.query_one("#waveform").display = self.remembered.view == "waveform"

    def on_state_changed(self, message: StateChanged) -> None:
        """Something new will be drawn with the next frame."""
        self._dirty = True

    def on_listening_started(self, message: ListeningStarted) -> None:
        """Audio flows, perhaps with another model than before."""
        self.reason = None
        self._dirty = True
        self.arrange()

    def on_listening_ended(self, message: ListeningEnded) -> None:
        """The source ended; the view stays, another may be chosen."""
        before, self.reason = self.reason, message.reason or "ended"
        self._dirty = True
        if message.reason and message.reason != before:
            self.notify(message.reason, severity="error", timeout=15, markup=False)
        elif not message.reason and self.listener.doors.duration_s is not None:
            self.exit(0)

    def on_listener_crashed(self, message: ListenerCrashed) -> None:
        """A mistake in the program: end, as for one in the app itself."""
        raise message.error

    def _frame(self) -> None:
        if not self.screen_stack:
            return  # the app is being closed
        now = self._now()
        draw = self.pace.frame(now - self._drawn_at, self.backlog())
        self._drawn_at = now
        moving = self.playhead.playing and not self.listener.relay.live
        due = now - self._health_at >= HEALTH_EVERY_S
        if draw and (self._dirty or moving or due):
            self._dirty = False
            self.draw()
        self._timer = self.set_timer(self.pace.interval_s, self._frame)

    def backlog(self) -> int:
        """Writes that the terminal has not taken yet; Textual's drivers keep them in a queue."""
        writer = getattr(self._driver, "_writer_thread", None)
        waiting = getattr(writer, "_queue", None)
        return waiting.qsize() if waiting is not None else 0

    def draw(self) -> None:
        """Show the newest state."""
        picture = self.take_picture()
        base = self.screen_stack[0]
        for canvas in base.query(Canvas):
            canvas.show(picture)
        base.query_one(EventList).show(picture.entries, picture.counts)
        self.meter.frame()
        self.tell_situation(picture)
        newest = picture.means[-1] if picture.means else None
        if newest is not None and newest.time_s != self._shown_mean and self.playhead.playing:
            self._shown_mean = newest.time_s
            self.call_after_refresh(self.meter.shown, newest.heard_at)

    def take_picture(self) -> Picture:
        """The moment that is to be shown."""
        listener = self.listener
        time_s = self.playhead.at(listener.history.end_s)
        engine = listener.engine
        picture = take_picture(
            listener.history, engine.card, engine.thresholds, time_s, self.playhead.known_s
        )
        if self.playhead.playing and self.is_silent():
            return replace(picture, level=Level())
        return picture

    def is_silent(self) -> bool:
        """Whether no audio comes any more; a recording is heard long before it is shown."""
        history = self.listener.history
        return history.live and (self.reason is not None or history.stalled(self._now()))

    def at_the_end(self) -> bool:
        """Whether a recording was played to its end."""
        history = self.listener.history
        if history.live or self.reason is None or not self.playhead.playing:
            return False
        return self.playhead.at(history.end_s) >= history.end_s

    def tell_situation(self, picture: Picture) -> None:
        """Header and health."""
        listener, engine = self.listener, self.listener.engine
        chosen = listener.chosen
        base = self.screen_stack[0]
        base.query_one(StatusHeader).tell(
            Situation(
                self._state(), self._model_name(), engine.card.task, listener.relay.name,
                listener.scoring.source_rate, f"on {listener.model.provider}",
                chosen.overload.hop_s,
                chosen.settings.average_s, self._place(picture),
            )
        )  # fmt: skip
        if self._now() - self._health_at >= HEALTH_EVERY_S:
            self._health_at = self._now()
            health = self.meter.sample(
                listener.scoring.statistics,
                listener.history.lag_s,
                engine.overload.reason,
                listener.doors.n_lost,
                listener.statistics,
            )
            base.query_one(HealthLine).tell(health)

    def _model_name(self) -> str:
        """The model that listens, and the one that waits for audio to take over with."""
        name, following = self.listener.engine.card.name, self.listener.chosen.card.name
        if name == following or not self.is_silent():
            return name
        return f"{name} → {following} when audio comes"

    def _state(self) -> str:
        if self.listener.doors.recording is not None:
            return self._state_of_recording()
        listening = self._state_of_listening()
        if self.playhead.playing:
            return listening
        still = "still listening" if listening == "listening" else listening
        return f"view frozen, {still}"

    def _state_of_recording(self) -> str:
        if not self.playhead.playing:
            return "paused"
        if self.at_the_end():
            return "ENDED"
        speed = f"playing {self.playhead.speed:g}x"
        return speed if self.playback.sounds_along else f"{speed}, no sound"

    def _state_of_listening(self) -> str:
        if not self.is_silent():
            return "listening"
        if self.reason is not None:
            return "ENDED" if self.reason == "ended" else "NO AUDIO"
        state = self.listener.relay.state
        return "NO AUDIO" if state == "listening" else f"NO AUDIO, {state}"

    def _place(self, picture: Picture) -> str:
        if self.listener.doors.recording is None:
            return ""
        heard_to = self.listener.history.end_s
        told = self.listener.relay.duration_s if self.reason is None else None
        # What a header tells is no more than that.
        whole = max(told or 0.0, heard_to)
        place = f"{format_length(picture.time_s)} of {format_length(whole)}"
        if clock := self.listener.history.clock(picture.time_s):
            place = f"{clock}, {place}"
        counts = self.listener.scoring.statistics
        heard_s = counts.elapsed_samples / counts.sample_rate
        if told and whole:
            return f"{place}, {min(heard_s / whole, 1):.0%} analysed"
        return place

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Everything that has a key is in the command palette as well."""
        for key in keys_for(recording=self.listener.doors.recording is not None):
            run = self._runner(key.action)
            yield SystemCommand(f"{key.title} ({key.shown})", key.help, run)

    def _runner(self, action: str) -> Callable[[], object]:
        return lambda: self.call_later(self.run_action, action)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that mean nothing for this source are off, and all while one types."""
        recording = self.listener.doors.recording is not None
        for key in KEYS:
            if key.action.partition("(")[0] == action and key.recordings not in (None, recording):
                return False
        return True

    def _handle_exception(self, error: Exception) -> None:
        """End; what is told goes to the log, not to the terminal."""
        self.failure = self.failure or error
        super()._handle_exception(error)
        self._exit_renderables.clear()
