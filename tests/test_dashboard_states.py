"""The dashboard in the states that matter; `pytest --snapshot-update` takes new ones.

Five are pictures. Of the others the text is kept, with the number of cells of each colour: a change
shows in a diff.
"""

from pathlib import Path

import numpy as np
import pytest
import toys
from dashboards import (
    SCENE,
    Script,
    colours_of,
    drive,
    fix_time,
    heard,
    make_dashboard,
    redraw_health,
    settle,
    text_of,
)

from streamclf.core.errors import DeviceError
from streamclf.dashboard.refresh_rate import RefreshRate
from streamclf.dashboard.saved_settings import SavedSettings
from streamclf.dashboard.widgets.help import Help
from streamclf.dashboard.widgets.picker import Picker

SOUNDS = np.concatenate(
    [toys.silence(2), toys.tone(440, 6), toys.silence(3), toys.tone(2500, 4, level=0.6)]
)


STATES = Path(__file__).parent / "states"


@pytest.fixture
def bring(tmp_path, tone_model, monkeypatch, request):
    """A dashboard and what brings it to its state: its script is played, its keys are pressed."""
    fix_time(monkeypatch)

    def prepare(*steps, until=None, keys=(), show=None, model=tone_model, stop=True, **options):
        app = make_dashboard(tmp_path, model, Script(*steps), **options)
        # Rows stay where they are from picture to picture: so there must be as many each time.
        app.refresh_rate = RefreshRate(1e-3)
        seconds = sum(step if isinstance(step, float) else step.size / toys.RATE
                      for step in steps if not isinstance(step, Exception))  # fmt: skip

        async def before(pilot):
            await settle(pilot, (lambda: until(app)) if until else heard(app, seconds))
            if keys:
                await pilot.press(*keys)
                await settle(pilot, lambda: show is None or isinstance(app.screen, show))
            if stop:
                app.listener.stop()
            redraw_health(app)
            app.meter._frames.clear()
            app.clear_notifications()
            await pilot.pause()
            app.draw()
            await pilot.pause()

        request.addfinalizer(app.listener.stop)
        return app, before

    return prepare


@pytest.fixture
def picture(snap_compare, bring):
    """Compare a picture of a state with the one that is kept."""

    def take(*steps, size=(120, 40), **options):
        app, before = bring(*steps, **options)
        return snap_compare(app, terminal_size=size, run_before=before)

    return take


@pytest.fixture
def text(bring, request):
    """Compare the text of a state, and how many cells have which colours, with what is kept."""
    path = STATES / f"{request.node.name}.txt"

    def take(*steps, size=(120, 40), **options):
        app, before = bring(*steps, **options)
        seen = []

        async def script(pilot):
            await before(pilot)
            lines = [line.rstrip() for line in text_of(app).splitlines()]
            colours = [f"{cells:6} {pair}" for pair, cells in colours_of(app).items()]
            seen.append("\n".join([*lines, "", *colours, ""]))

        drive(app, script, size)
        if request.config.getoption("update_snapshots"):
            path.write_text(seen[0], encoding="utf-8")
        return seen[0] == path.read_text(encoding="utf-8")

    return take


def test_start(text):
    assert text(toys.silence(0.5), until=lambda app: app.listener.history.end_s >= 0.5)


def test_quiet(text):
    assert text(toys.silence(6))


def test_several_sounds(picture):
    assert picture(SOUNDS)


def test_event_that_goes_on(picture):
    """It stands in the list from its first moment, with its length so far."""
    assert picture(SOUNDS, toys.silence(3), toys.tone(1000, 5, level=0.6), stop=False)


def test_waveform(text):
    assert text(SOUNDS, saved_settings=SavedSettings(view="waveform"))


def test_80x24(text):
    assert text(SOUNDS, size=(80, 24))


def test_narrow(text):
    assert text(SOUNDS, size=(50, 24))


def test_tiny(text):
    assert text(SOUNDS, size=(60, 14))


def test_very_wide(text):
    assert text(SOUNDS, size=(200, 60))


def test_gap(text):
    assert text(toys.tone(1000, 4), 1.5, toys.tone(440, 4))


def test_device_lost(text):
    steps = toys.tone(1000, 4), DeviceError("microphone usb lost: the audio system ended")
    assert text(*steps, until=lambda app: app.reason)


def test_regression(text, tmp_path):
    model = toys.write_loudness_meter(tmp_path / "loudness.onnx")
    assert text(SOUNDS, model=model)


def test_no_colour(picture, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert picture(SOUNDS)


def test_help(text, monkeypatch):
    monkeypatch.setattr("streamclf.dashboard.actions.settings_path", lambda: "SETTINGS")
    monkeypatch.setattr("streamclf.dashboard.actions.log_path", lambda: "LOG")
    assert text(SCENE, keys=["question_mark"], show=Help)


def test_device_picker(picture):
    devices = dict.fromkeys(("built-in, ALSA", "usb, ALSA", "pulse, ALSA"), Script)
    assert picture(SCENE, keys=["d"], show=Picker, devices=devices)


def test_model_picker(text):
    assert text(SCENE, keys=["m"], show=Picker)


def test_light_theme(picture):
    assert picture(SOUNDS, saved_settings=SavedSettings(theme="textual-light"))
