"""A dashboard over scripted audio, with a clock that stands still."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import toys
from rich.style import Style
from textual.css.stylesheet import Stylesheet
from textual.notifications import Notifications

from streamclf.core.errors import DeviceError
from streamclf.core.records import Block, Gap
from streamclf.core.settings import Settings
from streamclf.dashboard.app import Dashboard
from streamclf.dashboard.health import HealthMeter
from streamclf.dashboard.listener import Listener, Openers
from streamclf.dashboard.saved_settings import SavedSettings
from streamclf.dashboard.widgets.canvas import Canvas
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.base import Source
from streamclf.sources.microphone.loudspeaker import Loudspeaker
from streamclf.sources.recording.recording import Recording

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


class Universal(datetime):
    """Times that are told in UTC, wherever the test runs."""

    @classmethod
    def fromtimestamp(cls, timestamp, tz=None):
        return super().fromtimestamp(timestamp, UTC)

    def astimezone(self, tz=None):
        return self


class Script(Source):
    """Plays waveforms, gaps and failures one after another; then waits until it is stopped.

    With ``stays`` off it ends as a recording does.
    """

    live = True

    def __init__(self, *steps, name: str = "scripted", stays: bool = True) -> None:
        self.name = name
        self._steps = steps
        self._stays = stays
        self._stopped: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.played = threading.Event()

    def blocks(self, sample_rate):
        position = 0
        for step in self._steps:
            if isinstance(step, Exception):
                self.played.set()
                raise step
            if isinstance(step, float):
                n_samples = round(step * toys.RATE)
                yield Gap(position, n_samples, toys.RATE, "overflow")
                position += n_samples
                continue
            for first in range(0, step.size, 400):
                yield Block(position, step[None, first : first + 400], toys.RATE)
                position += step[first : first + 400].size
        self.played.set()
        if self._stays:
            self._stopped.get()

    def stop(self):
        self._stopped.put(None)


def make_dashboard(
    tmp_path: Path,
    model: Path,
    source: Source | None = None,
    *,
    recording: Path | None = None,
    models: dict[str, Path] | None = None,
    devices: dict[str, Callable[[], Source]] | None = None,
    saved_settings: SavedSettings | None = None,
    now: Callable[[], float] = lambda: 100.0,
    settings: Settings | None = None,
    sinks=(),
    open_loudspeaker: Callable[[int], Loudspeaker] | None = None,
    may_save_audio: bool = True,
    store: Path | None = None,
) -> Dashboard:
    """A dashboard that listens to a script, or shows a recording."""
    models = {"tones": model, **(models or {})}
    devices = devices or {}

    def open_model(name, settings):
        if name not in models:
            raise DeviceError(f"{name} is broken")
        opened = Model(models[name], provider="cpu")
        return Engine(Classifier(opened), settings), opened

    def open_source(name):
        return devices[name]() if name else Recording(recording)

    openers = Openers(
        open_model,
        open_source,
        lambda: [*devices],
        lambda: [*models, "broken"],
        sinks=sinks,
        recording=recording,
        open_loudspeaker=open_loudspeaker,
        may_save_audio=may_save_audio,
        store=store,
    )
    engine, opened = open_model("tones", settings)
    source = Recording(recording) if recording else source
    app = Dashboard(
        lambda post: Listener(openers, engine, opened, source, post, now), saved_settings, now
    )
    app.meter = HealthMeter(now, cpu=lambda: 0.0)
    app.folder = tmp_path
    return app


def parse_once(parse: Callable = Stylesheet._parse_rules) -> Callable:
    """Let all dashboards of this process share the rules of their widgets, once these are parsed.

    Textual keeps them as long as an app runs, and here an app runs for less than a second.
    """
    parsed: dict[tuple, list] = {}

    def parse_rules(sheet, css, read_from, is_default_rules=False, tie_breaker=0, scope=""):
        key = (css, read_from, is_default_rules, tie_breaker, scope, *sheet._variables.items())
        if key not in parsed:
            parsed[key] = parse(sheet, css, read_from, is_default_rules, tie_breaker, scope)
        return parsed[key]

    return parse_rules


Stylesheet._parse_rules = parse_once()


def keep_told(add: Callable = Notifications.add) -> Callable:
    """Let tests see what was told, however long ago: Textual forgets it after some seconds."""

    def add_and_keep(notifications, notification):
        vars(notifications).setdefault("told", []).append(notification)
        return add(notifications, notification)

    return add_and_keep


Notifications.add = keep_told()


def drive(app: Dashboard, script, size=(80, 24)) -> None:
    """Run the app without a terminal and let ``script(pilot)`` press its keys."""

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            try:
                await script(pilot)
            finally:
                app.listener.stop()

    asyncio.run(run())


async def settle(pilot, until: Callable[[], object] = lambda: True) -> None:
    """Wait until something is so, then until it is drawn."""
    deadline = asyncio.get_running_loop().time() + 60
    while not until():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("what the test waits for did not happen")
        await asyncio.sleep(0.02)
    await pilot.pause(0.1)
    pilot.app.draw()
    await pilot.pause()


def heard(app: Dashboard, seconds: float) -> Callable[[], bool]:
    """Whether so much audio went through, scores included."""
    history = app.listener.history

    def whether() -> bool:
        mean = history.averages.at(1e9)
        return history.end_s >= seconds - 1e-6 and mean is not None and (
            mean.time_s > seconds - 0.55
        )  # fmt: skip

    return whether


def text_of(app: Dashboard) -> str:
    """The screen as text."""
    size = app.size
    lines = app.screen._compositor.render_strips(size) if size else []
    return "\n".join(strip.text for strip in lines)


def colours_of(app: Dashboard) -> dict[str, int]:
    """Each pair of colours on the screen, and the cells that have it."""
    cells: Counter[str] = Counter()
    for strip in app.screen._compositor.render_strips(app.size):
        for segment in strip:
            style = segment.style or Style()
            pair = [colour.name if colour else "none" for colour in (style.color, style.bgcolor)]
            cells[" on ".join(pair)] += segment.cell_length
    return dict(sorted(cells.items()))


def lines_of(canvas: Canvas) -> list[str]:
    """The lines that a widget has drawn."""
    return [strip.text for strip in canvas._strips]


def messages_of(app: Dashboard) -> list[str]:
    """What all notifications so far say, the oldest first."""
    return [notification.message for notification in vars(app._notifications).get("told", ())]


def redraw_health(app: Dashboard) -> None:
    """Let the next picture measure the line of health anew, which else waits a second."""
    app._health_at = -1e9


def fix_time(monkeypatch) -> None:
    """Let every session begin at noon, and let scoring take no time."""
    stopped = SimpleNamespace(time=lambda: NOON, monotonic=lambda: 0.0)
    monkeypatch.setattr("streamclf.core.local_clock.time", stopped)
    monkeypatch.setattr("streamclf.core.local_clock.datetime", Universal)
    monkeypatch.setattr(Script, "keeps_time", False)
    monkeypatch.setattr("streamclf.pipeline.engine.time", SimpleNamespace(perf_counter=lambda: 0.0))


SCENE = np.concatenate([toys.silence(2), toys.tone(1000, 4), toys.silence(4)])
"""middle at 2-6 s of 10 s."""
