"""The dashboard's keys, pressed."""

import csv
import threading

import numpy as np
import pytest
import soundfile
import toys
from dashboards import SCENE, Script, drive, heard, make_dashboard, settle, text_of
from live_runs import PATIENCE_S
from textual.command import CommandPalette

from streamclf.core.clip_tags import is_clip
from streamclf.dashboard.keys import KEYS, keys_for
from streamclf.dashboard.saved_settings import SavedSettings
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.help import Help
from streamclf.dashboard.widgets.picker import Picker


@pytest.fixture
def app(tmp_path, tone_model):
    return make_dashboard(tmp_path, tone_model, Script(SCENE))


def test_every_key_has_an_action(app):
    names = {key.action.partition("(")[0] for key in KEYS}
    assert all(hasattr(app, f"action_{name}") for name in names)
    assert len({key.key for key in KEYS}) == len(KEYS)


def test_dashboard_shows_what_it_hears_and_quits(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        shown = text_of(app)
        for words in ("listening", "scripted 8 kHz", "tones", "middle", "quiet", "nothing lost"):
            assert words in shown
        (event,) = [e for e in app.listener.history.entries if e.label == "middle"]
        assert 1.5 <= event.onset_s <= 2.5
        await pilot.press("q")

    drive(app, script)
    assert app.return_value == 0
    assert app.failure is None


def test_pause_freezes_the_view_and_goes_on_listening(tmp_path, tone_model):
    gate = threading.Event()

    class Gated(Script):
        def blocks(self, sample_rate):
            for item in super().blocks(sample_rate):
                if item.position >= 5 * toys.RATE:
                    gate.wait(PATIENCE_S)
                yield item

    app = make_dashboard(tmp_path, tone_model, Gated(SCENE))

    async def script(pilot):
        await settle(pilot, heard(app, 5))
        await pilot.press("space")
        gate.set()
        await settle(pilot, heard(app, 10))
        assert "● view frozen, still listening" in text_of(app)
        assert app.take_snapshot().time_s == pytest.approx(5, abs=0.1)
        await pilot.press("space")
        assert app.take_snapshot().time_s == pytest.approx(10)

    drive(app, script)


def test_view_and_theme(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        assert app.query_one("#spectrogram").display
        await pilot.press("v")
        await settle(pilot)
        assert app.query_one("#waveform").display
        assert not app.query_one("#spectrogram").display
        before = app.theme
        await pilot.press("t")
        await settle(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press("home", "enter")
        await settle(pilot)
        assert app.theme != before
        assert (app.saved_settings.view, app.saved_settings.theme) == ("waveform", app.theme)

    drive(app, script)


def test_filter_by_typing(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        events = app.query_one(EventList)
        assert len(events.shown) == 3
        await pilot.press("slash", *"midd")
        await settle(pilot)
        assert [entry.label for entry in events.shown] == ["middle"]
        await pilot.press("escape")
        await settle(pilot)
        assert len(events.shown) == 3

    drive(app, script)


def test_enter_goes_to_an_event_and_freezes_a_live_view(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        chosen = app.query_one(EventList).shown[1]
        assert chosen.label == "middle"
        await pilot.press("tab", "down", "down", "enter")
        await settle(pilot)
        assert "● view frozen, still listening" in text_of(app)
        picture = app.take_snapshot()
        assert picture.time_s == pytest.approx(chosen.offset_s)
        assert chosen in picture.entries
        assert app.query_one("#entries").highlighted == 1
        await pilot.press("space")
        assert app.take_snapshot().time_s == pytest.approx(10)

    drive(app, script)


def test_the_cursor_stays_on_its_event_when_others_arrive(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("tab", "down", "down")
        events = app.query_one(EventList)
        chosen = events.shown[app.query_one("#entries").highlighted]
        app.listener.history.add_notice("info", "something else")
        app.draw()
        await settle(pilot)
        assert events.shown[0].label == "something else"
        assert events.shown[app.query_one("#entries").highlighted] == chosen

    drive(app, script)


def test_help_names_every_key_and_so_does_the_palette(app):
    async def script(pilot):
        await pilot.press("question_mark")
        await settle(pilot)
        assert isinstance(app.screen, Help)
        shown = text_of(app)
        assert all(key.help in shown for key in keys_for(recording=False))
        await pilot.press("escape", "ctrl+p")
        await settle(pilot, lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"view")
        await settle(pilot, lambda: "View (v)" in text_of(app))
        await pilot.press("enter")
        await settle(pilot, lambda: app.saved_settings.view == "waveform")

    drive(app, script, size=(110, 40))


@pytest.mark.parametrize("recording", [False, True])
def test_palette_does_what_every_key_does(tmp_path, tone_model, write_wav, recording):
    path = write_wav(SCENE) if recording else None
    app = make_dashboard(tmp_path, tone_model, Script(SCENE), recording=path)
    done = []

    async def script(pilot):
        app.run_action = lambda action: note(action)
        commands = {c.title: c for c in app.get_system_commands(app.screen)}
        keys = keys_for(recording=recording)
        assert [*commands] == [f"{key.title} ({key.shown})" for key in keys]
        for command in commands.values():
            command.callback()
        await settle(pilot, lambda: len(done) == len(keys))
        assert done == [key.action for key in keys]

    async def note(action):
        done.append(action)

    drive(app, script)


def test_clip_export_and_screenshot(app, tmp_path):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("s", "e", "p")
        for ending in ("wav", "csv", "svg"):
            await settle(pilot, lambda e=ending: [*tmp_path.glob(f"streamclf-*.{e}")])
        await app.workers.wait_for_complete()

    drive(app, script)
    (clip,) = tmp_path.glob("streamclf-clip-*.wav")
    assert is_clip(clip)
    waveform, rate = soundfile.read(clip, dtype="float32")
    assert rate == toys.RATE
    np.testing.assert_allclose(waveform, SCENE, atol=1e-4)
    with clip.with_suffix(".csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["seconds", *toys.LABELS]
    assert len(rows) == 18
    (table,) = tmp_path.glob("streamclf-events-*.csv")
    assert "middle" in table.read_text()
    (screen,) = tmp_path.glob("streamclf-screen-*.svg")
    assert screen.read_text().startswith("<svg")


def test_ctrl_c_ends_with_130(app):
    async def script(pilot):
        await pilot.press("ctrl+c")

    drive(app, script)
    assert app.return_value == 130


def test_last_sessions_theme_and_view_return(tmp_path, tone_model):
    saved_settings = SavedSettings(theme="nord", view="waveform")
    app = make_dashboard(tmp_path, tone_model, Script(SCENE), saved_settings=saved_settings)

    async def script(pilot):
        await settle(pilot)
        assert app.theme == "nord"
        assert app.query_one("#waveform").display

    drive(app, script)
