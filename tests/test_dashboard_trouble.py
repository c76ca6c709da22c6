"""What the dashboard shows when the machine is too slow, or the microphone is away."""

import toys
from dashboards import Script, drive, heard, make_dashboard, redraw_health, settle, text_of

from streamclf.core.settings import Settings


class LiveScript(Script):
    """A script that comes at its pace, from a device in some state."""

    state = "listening"
    pace = 1.0
    drift_ppm = 41.6


class SlowScorer:
    """Takes its time, in pretended time."""

    def __init__(self, scorer) -> None:
        self.card = scorer.card
        self.time = self.takes_s = 0.0
        self._scorer = scorer

    def score(self, waveforms):
        self.time += self.takes_s * len(waveforms)
        return self._scorer.score(waveforms)


def test_a_wider_hop_is_shown_with_its_reason(tmp_path, tone_model, monkeypatch):
    app = make_dashboard(tmp_path, tone_model, LiveScript(toys.silence(60)))
    engine = app.listener.engine
    slow = engine.scorer = SlowScorer(engine.scorer)
    slow.takes_s = 0.8
    monkeypatch.setattr(engine, "_now", lambda: slow.time)

    async def script(pilot):
        await settle(pilot, lambda: app.listener.history.end_s >= 60)
        redraw_health(app)
        await settle(pilot)
        shown = text_of(app)
        assert "hop 1 s, average 3 s" in shown
        assert "OVERLOAD a second of audio takes 1." in shown
        told = [entry.label for entry in app.listener.history.entries if entry.kind == "warning"]
        assert len(told) == 1
        assert told[0].startswith("hop 1 s instead of 0.5 s: a second of audio takes 1.")

    drive(app, script, size=(160, 40))


def test_the_drift_of_the_device_is_shown(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, LiveScript(toys.silence(4)))

    async def script(pilot):
        await settle(pilot, heard(app, 4))
        redraw_health(app)
        await settle(pilot)
        assert "clock 42 ppm fast" in text_of(app)
        assert "OVERLOAD" not in text_of(app)

    drive(app, script, size=(160, 40))


def test_nothing_is_said_of_a_drift_that_is_not_known(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, Script(toys.silence(4)))

    async def script(pilot):
        await settle(pilot, heard(app, 4))
        redraw_health(app)
        await settle(pilot)
        assert "nothing lost" in text_of(app)
        for words in ("clock", "ppm", "RTF"):
            assert words not in text_of(app)

    drive(app, script, size=(160, 40))


def test_a_source_without_a_signal_is_shown(tmp_path, tone_model):
    source = LiveScript(toys.silence(4))
    app = make_dashboard(tmp_path, tone_model, source, settings=Settings(silent_after_s=3.0))

    async def script(pilot):
        await settle(pilot, heard(app, 4))
        assert "● NO SIGNAL" in text_of(app)
        assert "no signal for 3.0 s" in text_of(app)

    drive(app, script, size=(160, 40))


def test_the_state_of_a_microphone_that_is_away_is_shown(tmp_path, tone_model):
    moment = [100.0]
    source = LiveScript(toys.tone(440, 4))
    app = make_dashboard(tmp_path, tone_model, source, now=lambda: moment[0])

    async def script(pilot):
        await settle(pilot, heard(app, 4))
        assert "● listening" in text_of(app)
        assert app.take_snapshot().active_classes
        moment[0] += 2
        redraw_health(app)
        await settle(pilot)
        # Nobody knows what sounds, and what is being lost is not nothing.
        assert text_of(app).count("no audio") == 3  # in place of sounds, level and losses
        assert "no audio for 2.0 s" in text_of(app)
        assert "▲" not in text_of(app)
        for state in ("stalled", "lost", "reconnecting"):
            source.state = state
            await settle(pilot)
            assert f"● NO AUDIO, {state}" in text_of(app)
        await pilot.press("space")
        await settle(pilot)
        assert "● view frozen, NO AUDIO, reconnecting" in text_of(app)

    drive(app, script, size=(160, 40))
