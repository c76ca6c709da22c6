"""The app that shows a running `serve`: one source at a time, by what the page tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import urlencode

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message

from streamclf.core.records import Waveform
from streamclf.core.text_format import format_count, format_length
from streamclf.dashboard.attached.client import Follower, Json, PageClient, PageError
from streamclf.dashboard.attached.days import RemoteDays
from streamclf.dashboard.attached.state import RemoteSource, RemoteState
from streamclf.dashboard.audio_player import AudioPlayer, ClipTrack
from streamclf.dashboard.messages import UserMessage
from streamclf.dashboard.past.screen import PastScreen
from streamclf.dashboard.playback import NO_LOUDSPEAKER
from streamclf.dashboard.terminal_app import TerminalApp
from streamclf.dashboard.widgets.canvas import Canvas
from streamclf.dashboard.widgets.counts import Counts
from streamclf.dashboard.widgets.current_labels import CurrentLabels
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.headline import Headline
from streamclf.dashboard.widgets.key_line import KeyLine
from streamclf.dashboard.widgets.level import LevelMeter
from streamclf.dashboard.widgets.spectrogram import Spectrogram
from streamclf.dashboard.widgets.text_line import TextLine
from streamclf.sources.microphone.loudspeaker import Loudspeaker

HEALTH_EVERY_S = 5.0
N_STORED = 100
"""Events of the store that are asked for when the page tells everything anew."""


class Told(Message):
    """The page has told something.

    Attributes:
        kind: Type of the event.
        data: Its data.
    """

    def __init__(self, kind: str, data: Json) -> None:
        self.kind = kind
        self.data = data
        super().__init__()


class Lost(Message):
    """The stream of the page has broken off.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__()


class AttachedDashboard(TerminalApp):
    """Screen that shows what a running `serve` hears and has heard.

    It changes nothing but what people say of events.

    Args:
        client: Client of the page, logged in where it asks for a password.
        theme: Theme of the screen; None for the default.
        open_loudspeaker: Opens a loudspeaker, given a sample rate in Hz; None for no sound.

    Attributes:
        state: All that the page has told.
        selected: Name of the source that is shown; empty before there is one.
        lost: Why there is no connection; empty while there is one.
    """

    CSS_PATH = "../dashboard.tcss"
    TITLE = "streamclf"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket,n,d", "step(1)", "Next source", key_display="n"),
        Binding("left_square_bracket,N", "step(-1)", "Source before", show=False),
        Binding("y", "past", "Days"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]

    def __init__(
        self,
        client: PageClient,
        theme: str | None = None,
        open_loudspeaker: Callable[[int], Loudspeaker] | None = None,
    ) -> None:
        super().__init__()
        self.state = RemoteState()
        self.selected = ""
        self.lost = f"connecting to {client.url}"
        self._client = client
        self._wanted_theme = theme
        self._player = (
            AudioPlayer(open_loudspeaker, self._say_aside) if open_loudspeaker is not None else None
        )
        self._follower = Follower(
            client,
            lambda kind, data: self.post_message(Told(kind, data)),
            lambda error: self.post_message(Lost(str(error))),
        )

    def compose(self) -> ComposeResult:
        """Make the widgets, in order from top to bottom."""
        yield TextLine(id="attached-state")
        yield Headline(id="headline")
        with Horizontal(id="top"):
            yield CurrentLabels(id="now")
            yield EventList(id="events")
            yield Counts(id="counts")
        yield LevelMeter(id="level")
        yield Spectrogram(id="spectrogram")
        yield TextLine(id="attached-health")
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin to follow the page."""
        self.choose_theme(self._wanted_theme)
        self.query_one("#now").focus()
        self.end_on_signals()
        if self._player is not None:
            self._player.start()
        self._follower.start()
        self.set_interval(HEALTH_EVERY_S, self._ask_health)
        self.draw()

    def stop(self) -> None:
        """End the connection, and what is played."""
        self._follower.stop()
        if self._player is not None:
            self._player.close()

    def action_step(self, step: int) -> None:
        """Show the next or the previous source."""
        names = list(self.state.sources)
        if names:
            at = names.index(self.selected) if self.selected in names else 0
            self.selected = names[(at + step) % len(names)]
            self.draw()

    def action_past(self) -> None:
        """Show the days that the store of the page remembers."""
        self.push_screen(PastScreen(RemoteDays(self._client), self._play, self._stop_playing))

    def _play(self, load: Callable[[], tuple[Waveform, int]]) -> None:
        if self._player is None:
            self.notify(NO_LOUDSPEAKER)
        else:
            self._player.play(ClipTrack(load))

    def _stop_playing(self) -> None:
        if self._player is not None:
            self._player.stop_clip()

    def _say_aside(self, text: str) -> None:
        """Show a line; called in the player's thread."""
        self.post_message(UserMessage(text))

    def on_user_message(self, message: UserMessage) -> None:
        """Show a line, such as why a clip cannot be played."""
        self.notify(message.line, markup=False)

    def action_filter(self) -> None:
        """Show the input field that filters the events."""
        self.query_one(EventList).ask_filter()

    def on_told(self, message: Told) -> None:
        """Take what the page tells, and draw it."""
        try:
            self.state.take(message.kind, message.data)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # A page of another version may leave out what this one wants to know.
            self.lost = f"not understood ({type(error).__name__}): is serve of another version?"
        else:
            self.lost = ""
        if self.selected not in self.state.sources:
            self.selected = next(iter(self.state.sources), "")
        if message.kind == "reset":
            self._ask_health()
            self.run_worker(self._read_stored(), group="stored", exclusive=True)
        self.draw()

    def on_lost(self, message: Lost) -> None:
        """Say that the page is gone; the thread tries again."""
        self.lost = f"{message.reason}; trying again"
        for source in self.state.sources.values():
            source.frame = {**source.frame, "state": "lost", "level": None, "sounds": []}
        self.draw()

    def draw(self) -> None:
        """Show the newest state."""
        if not self.screen_stack:
            return
        base = self.screen_stack[0]
        snapshot = self.state.snapshot(self.selected) if self.selected else None
        if snapshot is not None:
            for canvas in base.query(Canvas):
                canvas.show(snapshot)
            base.query_one(EventList).show(snapshot.entries, snapshot.counts)
        self._write("#attached-state", [self._describe_connection(), *self._describe_sources()])

    def _describe_connection(self) -> str:
        return f"NO CONNECTION: {self.lost}" if self.lost else f"● {self._client.url}"

    def _describe_sources(self) -> list[str]:
        return [
            f"{'▸' if name == self.selected else ''}{name} {describe_state(source)}".strip()
            for name, source in self.state.sources.items()
        ]

    def _write(self, place: str, parts: list[str]) -> None:
        self.screen_stack[0].query_one(place, TextLine).write(parts)

    def _ask_health(self) -> None:
        if not self.lost:
            self.run_worker(self._read_health(), group="health", exclusive=True)

    async def _read_health(self) -> None:
        try:
            health = await asyncio.to_thread(self._client.ask, "/api/health")
        except PageError:  # the thread that follows the stream says so
            return
        self._write("#attached-health", describe_health(health, self.selected))

    async def _read_stored(self) -> None:
        query = urlencode({"limit": N_STORED})
        try:
            answer = await asyncio.to_thread(self._client.ask, f"/api/events?{query}")
        except PageError:  # a store that cannot be read hides nothing of what sounds now
            return
        self.state.take_stored([each for each in answer.get("events", []) if each])
        self.draw()


def describe_state(source: RemoteSource) -> str:
    """Describe how a source fares: its level, or what is wrong with it."""
    level, calibration_db = source.frame.get("level"), source.frame.get("calibration_db")
    if source.state == "heard":
        if level is None:
            return ""
        unit = "dB" if calibration_db is None else "dB SPL"
        return f"{level + (calibration_db or 0.0):.0f} {unit}"
    words = {
        "waiting": "waiting", "paused": "paused", "late": "LATE", "lost": "NO AUDIO",
        "silent": "NO SIGNAL", "failed": "FAILED",
    }  # fmt: skip
    return words.get(source.state, source.state.upper())


def describe_health(health: Json, selected: str) -> list[str]:
    """Describe how a process and one of its sources fare, the most important first."""
    parts = [
        f"{'THE BROKER' if target.get('kind') == 'mqtt' else target.get('name')} TAKES NO MESSAGES"
        for target in health.get("targets", [])
        if target.get("state") == "failing" and target.get("waiting")
    ]
    for source in health.get("sources", []):
        if source.get("name") == selected:
            if source.get("overload"):
                parts.append(f"OVERLOAD {source['overload']}")
            lost_s = source.get("lost_s") or 0.0
            parts.append(f"{format_length(lost_s)} lost" if lost_s else "nothing lost")
            parts.append(f"{source.get('model')}, hop {source.get('hop_s'):g} s")
            parts.append(format_count(source.get("n_events") or 0, "event"))
    parts.append(f"serve {health.get('version')}, up {format_length(health.get('uptime_s') or 0)}")
    parts.append(f"{health.get('cpu_percent') or 0:.0f} % of a core")
    return parts
