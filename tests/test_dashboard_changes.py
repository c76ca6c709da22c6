"""Thresholds, hop, average, model and microphone, changed while the dashboard listens."""

import threading

import numpy as np
import pytest
import toys
from dashboards import SCENE, Script, drive, heard, make_dashboard, messages_of, settle, text_of
from live_runs import PATIENCE_S

from streamclf.core.errors import DeviceError
from streamclf.core.records import EventBegan, SoundEvent
from streamclf.dashboard.widgets.current_labels import CurrentLabels
from streamclf.dashboard.widgets.picker import Picker
from streamclf.sinks.base import MemorySink


@pytest.fixture
def app(tmp_path, tone_model):
    return make_dashboard(tmp_path, tone_model, Script(SCENE))


def test_thresholds_move_for_all_and_for_the_selected_class(tmp_path, tone_model):
    # Two sounds are in the average when it ends.
    app = make_dashboard(tmp_path, tone_model, Script(SCENE[: 7 * toys.RATE]))

    async def script(pilot):
        await settle(pilot, heard(app, 7))
        await pilot.press("plus", "plus")
        assert app.listener.engine.thresholds.on == pytest.approx(0.6)
        await pilot.press("minus")
        assert app.listener.engine.thresholds.on == pytest.approx(0.55)
        await pilot.press("right_square_bracket")
        assert not app.listener.engine.thresholds.classes
        await pilot.press("down")
        selected = app.query_one(CurrentLabels).selected
        await pilot.press("right_square_bracket", "right_square_bracket", "left_square_bracket")
        thresholds = app.listener.engine.thresholds
        assert {k: v.on for k, v in thresholds.classes.items()} == {selected: pytest.approx(0.6)}
        first, second = app.query_one(CurrentLabels).shown
        await pilot.press("down")
        assert (selected, app.query_one(CurrentLabels).selected) == (first, second)
        await pilot.press("down", "up")
        assert app.query_one(CurrentLabels).selected == first
        assert app.saved_settings.thresholds == {"tones": pytest.approx(0.55)}

    drive(app, script)


def test_hop_and_average_change_while_it_listens(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("h", "a", "a", "A")
        settings = app.listener.engine.settings
        assert (settings.hop_s, settings.average_s) == (0.25, 5.0)
        await pilot.press("H", "H")
        assert app.listener.engine.settings.hop_s == 1.0
        assert (app.saved_settings.hop_s, app.saved_settings.average_s) == (1.0, 5.0)

    drive(app, script)


def test_another_model_goes_on_with_the_same_audio(tmp_path, tone_model):
    other = toys.write_loudness_meter(tmp_path / "loudness.onnx")
    gate = threading.Event()

    class Gated(Script):
        def blocks(self, sample_rate):
            for item in super().blocks(sample_rate):
                if item.position >= 4 * toys.RATE:
                    gate.wait(PATIENCE_S)
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
    assert app.saved_settings.model == "loudness"


def test_events_that_go_on_end_once_over_changes_of_settings_and_models(tmp_path, tone_model):
    """A begin and an end each, in the outputs and in the list."""
    steps = [threading.Event() for _ in range(3)]
    loud = np.concatenate([toys.silence(2), toys.tone(1000, 10)])

    class Gated(Script):
        def blocks(self, sample_rate):
            for item in super().blocks(sample_rate):
                for number, step in enumerate(steps):
                    if item.position >= (4 + 2 * number) * toys.RATE:
                        step.wait(PATIENCE_S)
                yield item

    memory = MemorySink()
    app = make_dashboard(
        tmp_path, tone_model, Gated(loud), models={"again": tone_model}, sinks=[memory]
    )

    async def script(pilot):
        await settle(pilot, heard(app, 4))
        await pilot.press("h", "a", "minus")
        steps[0].set()
        await settle(pilot, heard(app, 6))
        await pilot.press("m")
        await settle(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press("down", "enter")
        await app.workers.wait_for_complete()
        steps[1].set()
        await settle(pilot, heard(app, 8))
        assert [e.ongoing for e in app.listener.history.entries if e.label == "middle"] == [
            False, True,
        ]  # fmt: skip
        steps[2].set()
        await settle(pilot, heard(app, 12))

    drive(app, script)
    results = [result for _, result in memory.results]
    begun = [r.id for r in results if isinstance(r, EventBegan)]
    assert sorted(begun) == sorted(r.id for r in results if isinstance(r, SoundEvent))
    assert [name.partition("-")[0] for name in begun].count("middle") == 2
    assert not any(entry.ongoing for entry in app.listener.history.entries)
    assert len({stream.run for stream, _ in memory.results}) == 2


def test_a_model_chosen_without_audio_waits_and_says_so(tmp_path, tone_model):
    other = toys.write_loudness_meter(tmp_path / "loudness.onnx")
    gate, clock = threading.Event(), [100.0]

    class Gated(Script):
        def blocks(self, sample_rate):
            for item in super().blocks(sample_rate):
                if item.position >= 4 * toys.RATE:
                    gate.wait(PATIENCE_S)
                yield item

    app = make_dashboard(
        tmp_path, tone_model, Gated(SCENE), models={"loudness": other}, now=lambda: clock[0]
    )

    async def script(pilot):
        await settle(pilot, heard(app, 4))
        clock[0] += 2
        await pilot.press("m")
        await settle(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press("down", "enter")
        await app.workers.wait_for_complete()
        await settle(pilot)
        assert "NO AUDIO" in text_of(app)
        assert "tones → loudness when audio comes" in text_of(app)
        (told,) = messages_of(app)
        assert told == "no audio just now: loudness takes over as soon as some comes"
        await pilot.press("a")
        assert app.listener.selected_engine.settings.average_s == 5.0
        gate.set()
        await settle(pilot, heard(app, 10))
        assert app.listener.engine.card.name == "loudness"
        assert app.listener.engine.settings.average_s == 5.0
        assert "→" not in text_of(app).splitlines()[0]

    drive(app, script, size=(120, 40))


def test_a_model_that_does_not_open_leaves_the_present_one(app):
    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("m")
        await settle(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press("end", "enter")
        await app.workers.wait_for_complete()
        await settle(pilot)
        assert app.listener.engine.card.name == "tones"
        assert "broken is broken" in messages_of(app)

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
        assert app.listener.engine.scorer.card.labels[int(app.take_snapshot().values.argmax())]

    drive(app, script)
    assert app.saved_settings.device == "second"
