"""A recording in the dashboard: play, seek, jump, and judge anew."""

import itertools
import threading

import numpy as np
import pytest
import toys
from dashboards import drive, heard, make_dashboard, messages_of, settle, text_of
from live_runs import PATIENCE_S
from test_lying_headers import FADING, NOISE, flac, mp3

from streamclf.core.card import Thresholds
from streamclf.core.records import SoundEvent
from streamclf.core.settings import Settings
from streamclf.dashboard.widgets.events import EventList
from streamclf.dashboard.widgets.picker import Picker
from streamclf.pipeline.engine import Engine
from streamclf.sources.recording.recording import Recording


@pytest.fixture
def player(tmp_path, tone_model, write_wav):
    sounds = [toys.silence(3), toys.tone(1000, 3), toys.silence(5), toys.tone(440, 3)]
    path = write_wav(np.concatenate([*sounds, toys.silence(3)]))
    moments = itertools.count()
    return make_dashboard(tmp_path, tone_model, recording=path, now=lambda: next(moments) / 1000)


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


def test_player_goes_to_the_event_that_is_chosen_with_enter(player):
    async def script(pilot):
        await settle(pilot, lambda: player.reason == "ended")
        await pilot.press("space", "tab")
        for place in (0, 1):
            await pilot.press("down", "enter")
            chosen = player.query_one(EventList).shown[place]
            assert player.playhead.at(17.0) == pytest.approx(chosen.onset_s)

    drive(player, script)


def unknown_flac(folder):
    data = bytearray(flac(folder / "x.flac", NOISE))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (folder / "x.flac").write_bytes(data)
    return folder / "x.flac", "10.0 s"


def stale_flac(folder):
    """That promises an hour."""
    data = bytearray(flac(folder / "x.flac", NOISE))
    data[22:26] = (3600 * 48_000).to_bytes(4, "big")
    (folder / "x.flac").write_bytes(data)
    return folder / "x.flac", "1 h 00 min"  # the rest of it is a gap


def uncounted_mp3(folder):
    mp3(folder / "x.mp3", FADING, counted=False)
    return folder / "x.mp3", "30.0 s"


@pytest.mark.parametrize("make", [unknown_flac, stale_flac, uncounted_mp3])
def test_player_shows_the_length_that_was_heard(tmp_path, tone_model, make):
    path, length = make(tmp_path)
    app = make_dashboard(tmp_path, tone_model, recording=path)

    async def script(pilot):
        await settle(pilot, lambda: app.reason is not None)
        app.draw()
        await settle(pilot)
        assert f" of {length}" in text_of(app)

    drive(app, script)


def test_player_tells_the_time_that_a_recording_tells(tmp_path, tone_model, write_wav):
    sounds = [toys.silence(3), toys.tone(1000, 3), toys.silence(3)]
    path = write_wav(np.concatenate(sounds), "SITE_20240601_235958.wav")
    app = make_dashboard(tmp_path, tone_model, recording=path)

    async def script(pilot):
        await settle(pilot, lambda: app.reason == "ended")
        await pilot.press("space")
        app.playhead.seek(4.5, 9.0)
        app.draw()
        await settle(pilot)
        assert "00:00:02, 4.5 s of 9.0 s" in text_of(app)
        assert "0:03." in text_of(app)  # the event, where it lies in the recording
        await pilot.press("e")
        await app.workers.wait_for_complete()

    drive(app, script)
    (table,) = app.folder.glob("streamclf-events-*.csv")
    assert "2024-06-02T00:00:01" in table.read_text()


def test_player_shows_level_and_spectrum_once_all_is_analysed(player):
    async def script(pilot):
        await settle(pilot, lambda: player.reason == "ended")
        player.playhead.seek(4.5, 17.0)
        player.draw()
        await settle(pilot)
        shown = text_of(player)
        assert "no audio" not in shown
        assert "peak -10.5" in shown
        assert "playing 1x" in shown

    drive(player, script)


def test_player_says_where_it_ends_and_begins_again(player):
    async def script(pilot):
        await settle(pilot, lambda: player.reason == "ended")
        player.playhead.seek(17.0, 17.0)
        player.draw()
        await settle(pilot)
        assert "ENDED" in text_of(player)
        await pilot.press("space")
        assert player.playhead.playing
        assert player.playhead.at(17.0) < 10

    drive(player, script)


@pytest.mark.parametrize(
    ("keys", "settings"),
    [
        (["minus"] * 3, Settings(thresholds=Thresholds(on=0.35, off=0.28, max_gap=0.5))),
        (["a", "a"], Settings(average_s=10.0)),
        (["A"] * 3, Settings(average_s=0.0)),
        (["a", "plus"], Settings(average_s=5.0, thresholds=Thresholds(0.55, 0.44, max_gap=0.5))),
    ],
)
def test_player_judges_the_kept_scores_with_other_settings(player, monkeypatch, keys, settings):
    expected = found(player, settings)
    audio = []

    async def script(pilot):
        await settle(pilot, lambda: player.reason == "ended")
        before = count_scored(player, monkeypatch)
        await pilot.press(*["right"] * 2)
        at = player.playhead.at(17.0)
        history = player.listener.history
        monkeypatch.setattr(history, "take_audio", lambda item, now: audio.append(item))
        await pilot.press(*keys)
        await settle(pilot, lambda: events(player) == expected)
        assert (before(), audio) == (0, [])
        assert at <= player.playhead.at(17.0) < at + 2

    drive(player, script)


@pytest.mark.parametrize("keys", [["h"], ["H"], ["H", "h", "h", "plus", "minus"]])
def test_player_listens_anew_with_another_hop_and_stays_where_it_is(player, keys):
    async def script(pilot):
        await settle(pilot, lambda: player.reason == "ended")
        await pilot.press(*["right"] * 2)
        at = player.playhead.at(17.0)
        n_columns = len(player.listener.history.columns.between(0, 17))
        await pilot.press(*keys)
        settings = player.listener.selected_engine.settings
        assert settings.hop_s == (1.0 if keys == ["H"] else 0.25)
        expected = found(player, settings)
        await settle(pilot, lambda: events(player) == expected)
        n_windows = len(player.listener.history.averages.between(0, 18))
        assert n_windows == pytest.approx((17 - 1.5) / settings.hop_s + 1, abs=2)
        assert at <= player.playhead.at(17.0) < at + 2
        assert len(player.listener.history.columns.between(0, 17)) == n_columns

    drive(player, script)


@pytest.mark.parametrize("key", ["minus", "a", "h"])
def test_player_takes_settings_while_it_still_listens(player, monkeypatch, key):
    gate, halfway = threading.Event(), threading.Event()
    hear = player.listener.history.take_audio

    def hear_slowly(item, now):
        hear(item, now)
        if item.end > 8 * toys.RATE:
            halfway.set()
            gate.wait(PATIENCE_S)

    monkeypatch.setattr(player.listener.history, "take_audio", hear_slowly)

    async def script(pilot):
        await settle(pilot, halfway.is_set)
        assert "analysed" in text_of(player)
        await pilot.press(key)
        gate.set()
        expected = found(player, player.listener.selected_engine.settings)
        await settle(pilot, lambda: player.reason == "ended" and events(player) == expected)
        columns = player.listener.history.columns.between(0, 17)
        assert np.diff([column.time_s for column in columns]) == pytest.approx(0.1)

    drive(player, script)


def test_player_shows_another_models_view_of_the_same_place(tmp_path, tone_model, write_wav):
    other = toys.write_loudness_meter(tmp_path / "loudness.onnx")
    path = write_wav(np.concatenate([toys.silence(3), toys.tone(1000, 3)]))
    app = make_dashboard(tmp_path, tone_model, recording=path, models={"loudness": other})

    async def script(pilot):
        await settle(pilot, lambda: app.reason == "ended")
        await pilot.press("right", "m")
        await settle(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press("down", "enter")
        await app.workers.wait_for_complete()
        await settle(pilot, lambda: app.query_one("#gauge").display and heard(app, 6)())
        assert "power" in text_of(app)
        assert app.playhead.at(6.0) == pytest.approx(5.0)

    drive(app, script)


def test_player_keeps_what_was_heard_before_a_file_was_cut_short(
    tmp_path, tone_model, write_wav, monkeypatch
):
    path = write_wav(np.concatenate([toys.silence(2), toys.tone(1000, 4), toys.silence(2)]))
    path.write_bytes(path.read_bytes()[:-20_000])
    app = make_dashboard(tmp_path, tone_model, recording=path)

    forget, forgotten_by = app.listener.history.forget_results, []

    def note_engine():
        forgotten_by.append(app.listener.engine.settings.average_s)
        forget()

    monkeypatch.setattr(app.listener.history, "forget_results", note_engine)

    def kinds():
        with app.listener.history.lock:
            return [entry.kind for entry in app.listener.history.entries]

    def judged(average_s):
        """Whether all was judged with this average: the warning is what comes last."""

        def whether():
            return app.listener.engine.settings.average_s == average_s and "warning" in kinds()

        return whether

    async def script(pilot):
        await settle(pilot, lambda: app.reason)
        for _ in range(2):
            assert kinds().count("warning") == 1
            assert "gap" in kinds()
            assert kinds().count("event") == 2
            await pilot.press("a")
            await settle(pilot, judged(5.0))
            await pilot.press("A")
            await settle(pilot, judged(3.0))
        told = messages_of(app)
        assert told.count(app.reason) == 1
        # Whoever sees the new engine sees nothing of what the one before it found.
        assert forgotten_by == [3.0, 5.0, 3.0, 5.0]

    drive(app, script)


def found(app, settings):
    """What an engine of its own finds in the recording, told nothing before."""
    engine = Engine(app.listener.engine.scorer, settings)
    with Recording(app.listener.openers.recording) as recording:
        return [r for r in engine.run(recording) if isinstance(r, SoundEvent)]


def events(app):
    return [result for _, result in [*app.listener.history.results]]


def count_scored(app, monkeypatch):
    """Count the batches that the model scores from now on."""
    scorer, batches = app.listener.engine.scorer, []
    score = scorer.score

    def counted(waveforms):
        batches.append(waveforms)
        return score(waveforms)

    monkeypatch.setattr(scorer, "score", counted)
    return lambda: len(batches)
