"""The dashboard in the states that matter; `pytest --snapshot-update` takes new pictures."""

import numpy as np
import pytest
import toys
from dashboards import SCENE, Script, fix_time, heard, make_dashboard, settle

from streamclf.core.errors import DeviceError
from streamclf.dashboard.refresh_rate import Pace
from streamclf.dashboard.saved_settings import Remembered
from streamclf.dashboard.widgets.help import Help
from streamclf.dashboard.widgets.picker import Picker

SOUNDS = np.concatenate(
    [toys.silence(2), toys.tone(440, 6), toys.silence(3), toys.tone(2500, 4, level=0.6)]
)


@pytest.fixture
def picture(snap_compare, tmp_path, tone_model, monkeypatch, request):
    """Take a picture of a dashboard once its script was played."""
    fix_time(monkeypatch)

    def take(
        *steps, size=(120, 40), until=None, keys=(), show=None, model=tone_model, stop=True,
        **options,
    ):  # fmt: skip
        app = make_dashboard(tmp_path, model, Script(*steps), **options)
        # Rows stay where they are from picture to picture: so there must be as many each time.
        app.pace = Pace(1e-3)
        seconds = sum(step if isinstance(step, float) else step.size / toys.RATE
                      for step in steps if not isinstance(step, Exception))  # fmt: skip

        async def before(pilot):
            await settle(pilot, (lambda: until(app)) if until else heard(app, seconds))
            if keys:
                await pilot.press(*keys)
                await settle(pilot, lambda: show is None or isinstance(app.screen, show))
            if stop:
                app.listener.stop()
            app._health_at = -1e9
            app.meter._frames.clear()
            app.clear_notifications()
            await pilot.pause()
            app.draw()
            await pilot.pause()

        request.addfinalizer(app.listener.stop)
        return snap_compare(app, terminal_size=size, run_before=before)

    return take


def test_start(picture):
    assert picture(toys.silence(0.5), until=lambda app: app.listener.history.end_s >= 0.5)


def test_quiet(picture):
    assert picture(toys.silence(6))


def test_several_sounds(picture):
    assert picture(SOUNDS)


def test_event_that_goes_on(picture):
    """It stands in the list from its first moment, with its length so far."""
    assert picture(SOUNDS, toys.silence(3), toys.tone(1000, 5, level=0.6), stop=False)


def test_waveform(picture):
    assert picture(SOUNDS, remembered=Remembered(view="waveform"))


def test_80x24(picture):
    assert picture(SOUNDS, size=(80, 24))


def test_narrow(picture):
    assert picture(SOUNDS, size=(50, 24))


def test_tiny(picture):
    assert picture(SOUNDS, size=(60, 14))


def test_very_wide(picture):
    assert picture(SOUNDS, size=(200, 60))


def test_gap(picture):
    assert picture(toys.tone(1000, 4), 1.5, toys.tone(440, 4))


def test_device_lost(picture):
    steps = toys.tone(1000, 4), DeviceError("microphone usb lost: the audio system ended")
    assert picture(*steps, until=lambda app: app.reason)


def test_regression(picture, tmp_path):
    model = toys.write_loudness_meter(tmp_path / "loudness.onnx")
    assert picture(SOUNDS, model=model)


def test_no_colour(picture, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert picture(SOUNDS)


def test_help(picture, monkeypatch):
    monkeypatch.setattr("streamclf.dashboard.actions.settings_path", lambda: "SETTINGS")
    monkeypatch.setattr("streamclf.dashboard.actions.log_path", lambda: "LOG")
    assert picture(SCENE, keys=["question_mark"], show=Help)


def test_device_picker(picture):
    devices = dict.fromkeys(("built-in, ALSA", "usb, ALSA", "pulse, ALSA"), Script)
    assert picture(SCENE, keys=["d"], show=Picker, devices=devices)


def test_model_picker(picture):
    assert picture(SCENE, keys=["m"], show=Picker)


def test_light_theme(picture):
    assert picture(SOUNDS, remembered=Remembered(theme="textual-light"))
