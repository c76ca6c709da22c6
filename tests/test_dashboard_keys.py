"""Each key of the dashboard, pressed."""

import csv
import threading

import numpy as np
import pytest
import soundfile
import toys
from dashboards import SCENE, Script, drive, heard, make_dashboard, settle, text_of

from streamclf.dashboard.keys import KEYS, keys_for
from streamclf.dashboard.remembered import Remembered
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.help import Help
from streamclf.dashboard.widgets.now import Now
from streamclf.dashboard.widgets.picker import Picker
from streamclf.errors import DeviceError


@pytest.fixture
def app(tmp_path, tone_model):
    return make_dashboard(tmp_path, tone_model, Script(SCENE))


@pytest.fixture
def player(tmp_path, tone_model, write_wav):
    sounds = [toys.silence(3), toys.tone(1000, 3), toys.silence(5), toys.tone(440, 3)]
    path = write_wav(np.concatenate([*sounds, toys.silence(3)]))
    moments = iter(np.arange(0, 10_000, 0.001))
    return make_dashboard(tmp_path, tone_model, recording=path, now=lambda: float(next(moments)))


def test_every_key_has_an_action(app):
    names = {key.action.partition("(")[0] for key in KEYS}
    assert all(hasattr(app, f"action_{name}") for name in names)
    assert len({key.key for key in KEYS}) == len(KEYS)


def test_dashboard_shows_what_it_hears_and_quits(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        shown = text_of(app)
        for words in ("listening", "scripted 8 kHz", "tones", "middle", "quiet", "latency"):
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
                    gate.wait(30)
                yield item

    app = make_dashboard(tmp_path, tone_model, Gated(SCENE))

    async def script(pilot):
        await settle(pilot, heard(app, 5))
        await pilot.press("space")
        gate.set()
        await settle(pilot, heard(app, 10))
        assert "PAUSED" in text_of(app)
        assert app.take_picture().time_s == pytest.approx(5, abs=0.1)
        await pilot.press("space")
        assert app.take_picture().time_s == pytest.approx(10)

    drive(app, script)


def test_thresholds_move_for_all_and_for_the_selected_class(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("plus", "plus")
        assert app.listener.engine.thresholds.on == pytest.approx(0.6)
        await pilot.press("minus")
        assert app.listener.engine.thresholds.on == pytest.approx(0.55)
        await pilot.press("right_square_bracket")
        assert not app.listener.engine.thresholds.classes
        await pilot.press("down")
        selected = app.query_one(Now).selected
        await pilot.press("right_square_bracket", "right_square_bracket", "left_square_bracket")
        thresholds = app.listener.engine.thresholds
        assert {k: v.on for k, v in thresholds.classes.items()} == {selected: pytest.approx(0.6)}
        assert app.remembered.thresholds == {"tones": pytest.approx(0.55)}

    drive(app, script)


def test_hop_and_average_change_while_it_listens(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("h", "a", "a", "A")
        settings = app.listener.engine.settings
        assert (settings.hop_s, settings.average_s) == (0.25, 5.0)
        await pilot.press("H", "H")
        assert app.listener.engine.settings.hop_s == 1.0
        assert (app.remembered.hop_s, app.remembered.average_s) == (1.0, 5.0)

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
        assert (app.remembered.view, app.remembered.theme) == ("waveform", app.theme)

    drive(app, script)


def test_filter_by_typing(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        events = app.query_one(EventList)
        assert len(events._shown) == 2
        await pilot.press("slash", *"midd")
        await settle(pilot)
        assert [entry.label for entry in events._shown] == ["middle"]
        await pilot.press("escape")
        await settle(pilot)
        assert len(events._shown) == 2

    drive(app, script)


def test_help_names_every_key_and_so_does_the_palette(app):
    async def script(pilot):
        await pilot.press("question_mark")
        await settle(pilot)
        assert isinstance(app.screen, Help)
        shown = text_of(app)
        assert all(key.help in shown for key in keys_for(recording=False))
        await pilot.press("escape")
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert len(titles) == len(keys_for(recording=False))
        view = [c for c in app.get_system_commands(app.screen) if c.title.startswith("View")]
        view[0].callback()
        await settle(pilot)
        assert app.remembered.view == "waveform"

    drive(app, script, size=(110, 40))


def test_clip_export_and_screenshot(app, tmp_path):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("s", "e", "p")
        for ending in ("wav", "csv", "svg"):
            await settle(pilot, lambda e=ending: [*tmp_path.glob(f"streamclf-*.{e}")])
        await app.workers.wait_for_complete()

    drive(app, script)
    (clip,) = tmp_path.glob("streamclf-clip-*.wav")
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


def test_another_model_goes_on_with_the_same_audio(tmp_path, tone_model):
    other = toys.write_loudness_meter(tmp_path / "loudness.onnx")
    gate = threading.Event()

    class Gated(Script):
        def blocks(self, sample_rate):
            for item in super().blocks(sample_rate):
                if item.position >= 4 * toys.RATE:
                    gate.wait(30)
                yield item

    app = make_dashboard(tmp_path, tone_model, Gated(SCENE), models={"loudness": other})

    async def script(pilot):
        await settle(pilot, heard(app, 4))
        await pilot.press("m")
        await settle(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press("down", "enter")
        await app.workers.wait_for_complete()
        gate.set()
        await settle(pilot, heard(app, 10))
        assert app.query_one("#gauge").display
        assert "power" in text_of(app)
        history = app.listener.history
        assert not [e for e in history.entries if e.kind == "gap"]
        assert [c.missing for c in history.columns.between(0, 11)].count(False) >= 99

    drive(app, script)
    assert app.remembered.model == "loudness"


def test_a_model_that_does_not_open_leaves_the_present_one(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("m")
        await settle(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press("end", "enter")
        await app.workers.wait_for_complete()
        await settle(pilot)
        assert app.listener.engine.card.name == "tones"
        assert "broken is broken" in [n.message for n in app._notifications]

    drive(app, script)


def test_another_microphone_after_the_first_was_lost(tmp_path, tone_model):
    first = Script(toys.silence(2), DeviceError("microphone first lost"), name="first")
    devices = {"second": lambda: Script(toys.tone(440, 4), name="second")}
    moments = iter(np.arange(0, 1000, 0.02))
    app = make_dashboard(
        tmp_path, tone_model, first, devices=devices, now=lambda: float(next(moments))
    )

    async def script(pilot):
        await settle(pilot, lambda: app.reason)
        assert "NO AUDIO" in text_of(app)
        assert "microphone first lost" in [e.label for e in app.listener.history.entries]
        await pilot.press("d")
        await settle(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await settle(pilot, heard(app, 6))
        assert "second" in text_of(app)
        assert app.listener.engine.scorer.card.labels[int(app.take_picture().values.argmax())]

    drive(app, script)
    assert app.remembered.device == "second"


def test_player_seeks_jumps_and_changes_speed(player):
    async def script(pilot):
        await settle(pilot, heard(player, 17))
        await pilot.press("space")
        assert not player.playhead.playing
        await pilot.press("n", "n")
        onsets = sorted(e.onset_s for e in player.listener.history.entries)
        at = player.playhead.at(17.0)
        assert onsets[1] - 0.1 < at <= onsets[2]
        await pilot.press("N")
        assert player.playhead.at(17.0) < at
        await pilot.press("right")
        forward = player.playhead.at(17.0)
        await pilot.press("left")
        assert player.playhead.at(17.0) == pytest.approx(forward - 5)
        await pilot.press("greater_than_sign", "greater_than_sign", "less_than_sign")
        assert player.playhead.speed == 2.0
        await pilot.press("d")
        assert not isinstance(player.screen, Picker)
        await pilot.press("s")
        await player.workers.wait_for_complete()

    drive(player, script)
    assert [*player.folder.glob("streamclf-clip-*.wav")]


def test_player_listens_anew_with_other_thresholds(player):
    async def script(pilot):
        await settle(pilot, heard(player, 17))
        assert len(player.listener.history.results) == 5
        await pilot.press(*["plus"] * 4)
        await settle(pilot, heard(player, 17))
        await settle(
            pilot,
            lambda: {e.label for e in player.listener.history.entries} == {"quiet"},
        )

    drive(player, script)


def test_ctrl_c_ends_with_130(app):
    async def script(pilot):
        await pilot.press("ctrl+c")

    drive(app, script)
    assert app.return_value == 130


def test_last_sessions_theme_and_view_return(tmp_path, tone_model):
    remembered = Remembered(theme="nord", view="waveform")
    app = make_dashboard(tmp_path, tone_model, Script(SCENE), remembered=remembered)

    async def script(pilot):
        await settle(pilot)
        assert app.theme == "nord"
        assert app.query_one("#waveform").display

    drive(app, script)
