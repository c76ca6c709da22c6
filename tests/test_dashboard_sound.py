"""What the dashboard plays aloud: recordings along with their picture, and chosen events."""

import subprocess
import sys
import threading
import time
import tracemalloc

import audio_server
import numpy as np
import pytest
import soundfile
import toys
from dashboards import SCENE, Script, drive, heard, make_dashboard, messages_of, settle, text_of
from hypothesis import given
from hypothesis import strategies as st
from test_dashboard_live import PATIENCE_S, Terminal, no_tmux

from streamclf.core.errors import DeviceError, RecordingError
from streamclf.core.records import Block
from streamclf.dashboard.audio_player import BUFFER_S, AudioPlayer, ClipTrack
from streamclf.dashboard.excerpts import Excerpts
from streamclf.dashboard.history import AUDIO_KEPT_S, History
from streamclf.dashboard.playback import MARGIN_S
from streamclf.dashboard.recent_audio import RecentAudio
from streamclf.dashboard.saved_settings import SavedSettings
from streamclf.dashboard.widgets.events import EventList
from streamclf.sources.microphone import loudspeaker
from streamclf.sources.microphone.loudspeaker import (
    FakeLoudspeaker,
    PlaybackBuffer,
    ProcessLoudspeaker,
)

RATE = 8000
with_audio = pytest.mark.skipif(
    bool(audio_server.available()), reason=audio_server.available() or "-"
)


class Shop:
    """Hands out fake loudspeakers, and remembers them."""

    def __init__(self) -> None:
        self.speakers: list[FakeLoudspeaker] = []

    def __call__(self, sample_rate: int) -> FakeLoudspeaker:
        self.speakers.append(FakeLoudspeaker(sample_rate))
        return self.speakers[-1]

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate([*(s.sound for s in self.speakers), np.zeros(0, np.float32)])


class Moving:
    """A track under a test's hand: each sample's value is its position."""

    ended = False

    def __init__(self) -> None:
        self.where: tuple[float, float] | None = (0.0, 1.0)

    def open(self):
        return RATE

    def locate(self):
        return self.where

    def read(self, from_s, to_s):
        return np.arange(round(from_s * RATE), round(to_s * RATE), dtype=np.float32)


def steps(player, track, times, speed=1.0):
    for time_s in times:
        track.where = (time_s, speed)
        player.step()


def test_what_is_followed_is_played_without_a_seam_and_a_little_ahead():
    shop, track = Shop(), Moving()
    player = AudioPlayer(shop, pytest.fail)
    player.follow(track)
    steps(player, track, np.arange(0, 3, 0.0437))
    (speaker,) = shop.speakers
    assert (speaker.sample_rate, speaker.n_flushes) == (RATE, 0)
    np.testing.assert_array_equal(speaker.sound, np.arange(speaker.sound.size))
    assert speaker.sound.size == pytest.approx((3 + BUFFER_S) * RATE, abs=0.06 * RATE)


def test_jumps_and_pauses_drop_what_was_to_be_played():
    shop, track = Shop(), Moving()
    player = AudioPlayer(shop, pytest.fail)
    player.follow(track)
    steps(player, track, [0.0, 0.05])
    steps(player, track, [9.0, 9.05])
    (speaker,) = shop.speakers
    assert speaker.n_flushes == 1
    assert speaker.played[2][0] == 9 * RATE
    track.where = None
    player.step()
    player.step()
    assert (speaker.n_flushes, len(speaker.played)) == (2, 4)
    steps(player, track, [9.05])
    assert speaker.played[-1][0] == 9.05 * RATE
    steps(player, track, [2.0])
    assert speaker.played[-1][0] == 2 * RATE


@pytest.mark.parametrize("speed", [0.5, 2.0, 8.0])
def test_another_speed_is_as_on_a_tape(speed):
    shop, track = Shop(), Moving()
    player = AudioPlayer(shop, pytest.fail)
    player.follow(track)
    steps(player, track, np.arange(0, 4 * speed, 0.05 * speed), speed)
    (speaker,) = shop.speakers
    assert speaker.n_flushes == 0
    assert speaker.sound.size == pytest.approx((4 + BUFFER_S) * RATE, rel=0.1)
    middle = speaker.sound[RATE : 3 * RATE]
    assert np.diff(middle) == pytest.approx(speed, rel=0.05)


def test_a_clip_is_played_once_in_place_of_what_is_followed():
    clock, shop, track = [0.0], Shop(), Moving()
    player = AudioPlayer(shop, pytest.fail)
    player.follow(track)
    player.step()
    player.play(ClipTrack(lambda: (np.full(RATE // 2, -1, np.float32), RATE), lambda: clock[0]))
    assert player.is_playing_clip
    for _ in range(15):
        player.step()
        clock[0] += 0.05
    along, clip, again = shop.speakers
    assert along.closed
    assert along.n_flushes == 1
    assert clip.closed
    np.testing.assert_array_equal(clip.sound, np.full(RATE // 2, -1))
    assert not player.is_playing_clip
    assert again.sound.size


def test_a_loudspeaker_that_is_lost_is_said_once_and_given_up():
    told, track = [], Moving()

    class Lost(FakeLoudspeaker):
        def play(self, waveform):
            raise DeviceError("the loudspeaker is gone")

    player = AudioPlayer(Lost, told.append)
    player.follow(track)
    player.step()
    player.step()
    assert told == ["the loudspeaker is gone"]
    assert not player.is_following


def test_playing_runs_in_a_thread_that_ends():
    shop, track = Shop(), Moving()
    player = AudioPlayer(shop, pytest.fail)
    player.start()
    player.follow(track)
    until(lambda: shop.sound.size)
    player.close()
    assert all(speaker.closed for speaker in shop.speakers)
    assert "audio-player" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """The same noise in containers that are read in different ways."""
    folder = tmp_path_factory.mktemp("noise")
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (20 * 8000, 2)).astype(np.float32)
    paths = {}
    for ending, subtype in [("wav", "FLOAT"), ("flac", "PCM_16"), ("caf", "FLOAT")]:
        paths[ending] = folder / f"noise.{ending}"
        soundfile.write(paths[ending], samples, 8000, subtype)
    return samples.mean(axis=1), paths


@pytest.mark.parametrize("ending", ["wav", "flac", "caf"])
@given(places=st.lists(st.tuples(st.floats(0, 21), st.floats(0, 3)), min_size=1, max_size=6))
def test_excerpts_are_what_the_recording_holds_there(noise, ending, places):
    samples, paths = noise
    excerpts, rate = Excerpts(paths[ending]), 8000
    for from_s, length_s in places:
        piece = excerpts.read(from_s, from_s + length_s)
        expected = samples[round(from_s * rate) : round((from_s + length_s) * rate)]
        np.testing.assert_allclose(piece, expected, atol=1e-4)
    assert excerpts.sample_rate == rate
    excerpts.close()


def test_excerpts_of_a_recording_that_ffmpeg_reads(tmp_path):
    import av

    samples = np.concatenate([toys.silence(4), toys.tone(1000, 2), toys.silence(4)])
    path = tmp_path / "scene.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=toys.RATE, layout="mono")
        whole = (samples * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate = toys.RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    excerpts = Excerpts(path)
    for from_s in (4.5, 0.5, 7.0, 4.0):
        first = round(from_s * toys.RATE)
        piece = excerpts.read(from_s, from_s + 1)
        np.testing.assert_allclose(piece, samples[first : first + toys.RATE], atol=1e-3)
    excerpts.close()
    with pytest.raises(RecordingError):
        Excerpts(tmp_path / "none.wav").open()


@pytest.mark.parametrize("ending", ["mp3", "ogg", "wav"])
def test_excerpts_far_into_a_recording_are_found_soon_and_in_their_place(tmp_path, ending):
    path, rate = tmp_path / f"long.{ending}", 8_000
    tone = toys.tone(1000, 1, rate, level=0.5)
    quiet = 0.001 * np.random.default_rng(2).standard_normal(250 * rate)
    quiet[200 * rate : 201 * rate] = tone
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        for piece in np.array_split(quiet, 250):  # libsndfile's Vorbis takes no more at once
            file.write(piece)
    excerpts = Excerpts(path)
    for from_s in (198.0, 199.5, 30.5, 199.0):
        loud = np.flatnonzero(np.abs(excerpts.read(from_s, from_s + 4)) > 0.2)
        if from_s < 100:
            assert not loud.size
            continue
        assert loud[0] / rate == pytest.approx(200 - from_s, abs=0.06)
        assert loud[-1] / rate == pytest.approx(201 - from_s, abs=0.06)
    excerpts.close()


def test_live_audio_is_kept_for_minutes_in_bounded_memory():
    history = History()
    history.begin(toys_stream())
    block = np.full((1, 4410), 0.25, np.float32)
    tracemalloc.start()
    for number in range(3000):
        history.take_audio(Block(number * 4410, block.copy(), 22_050), number / 5)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert history.end_s == 600
    first_s, waveform, rate = history.audio(0, 600)
    assert first_s == pytest.approx(600 - AUDIO_KEPT_S, abs=0.4)
    assert waveform.size == pytest.approx(AUDIO_KEPT_S * rate, abs=rate)
    np.testing.assert_allclose(waveform, 0.25, atol=2e-5)
    assert used < 24e6  # 13 MB of it are the audio; as floats they are 26, as are ten minutes


def toys_stream():
    from streamclf.core.records import StreamStarted

    return StreamStarted("x", 22_050, ["a", "b"], "single-label")


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 3000)), min_size=1, max_size=20),
    st.floats(0, 5),
    st.floats(0, 5),
)
def test_recent_audio_keeps_gaps_in_their_place(pieces, from_s, length_s):
    from streamclf.dashboard.recent_audio import join_pieces

    recent, whole = RecentAudio(1e9), []
    recent.use_rate(RATE)
    for number, (is_gap, size) in enumerate(pieces):
        audio = np.full(size, 0.0 if is_gap else (number + 1) / 32, np.float32)
        if not is_gap:
            recent.add(sum(map(len, whole)) / RATE, audio)
        whole.append(audio)
    expected = np.concatenate(whole)
    to_s = from_s + length_s
    start_s, waveform = join_pieces(recent.pieces(from_s, to_s), RATE, from_s, to_s)
    first = round(start_s * RATE)
    np.testing.assert_allclose(waveform, expected[first : first + waveform.size], atol=2e-5)


def test_enter_plays_a_live_event_and_zero_stops_it(tmp_path, tone_model):
    shop = Shop()
    app = make_dashboard(tmp_path, tone_model, Script(SCENE), open_loudspeaker=shop)

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        assert not shop.speakers
        shown = app.query_one(EventList).shown
        place = next(n for n, entry in enumerate(shown) if entry.label == "middle")
        chosen = shown[place]
        await pilot.press("tab", *["down"] * (place + 1), "enter")
        length_s = chosen.offset_s - chosen.onset_s + 2 * MARGIN_S
        await settle(pilot, lambda: shop.sound.size > (length_s - 0.1) * toys.RATE)
        assert "view frozen" in text_of(app)
        first = round((chosen.onset_s - MARGIN_S) * toys.RATE)
        np.testing.assert_allclose(
            shop.sound, SCENE[first : first + shop.sound.size], atol=1e-4
        )  # fmt: skip
        await settle(pilot, lambda: shop.speakers[0].closed)
        await pilot.press("enter")
        await settle(pilot, lambda: len(shop.speakers) == 2 and shop.speakers[1].played)
        await pilot.press("0")
        await settle(pilot, lambda: shop.speakers[1].closed)
        assert shop.speakers[1].sound.size < shop.speakers[0].sound.size
        assert messages_of(app)[-1] == "stopped"

    drive(app, script)


def test_where_there_is_no_loudspeaker_a_line_says_so(tmp_path, tone_model, write_wav):
    def refuse(sample_rate):
        raise DeviceError("no loudspeaker: none is connected")

    app = make_dashboard(tmp_path, tone_model, Script(SCENE), open_loudspeaker=refuse)

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("tab", "down", "enter")
        await settle(pilot, lambda: messages_of(app))
        assert messages_of(app) == ["no loudspeaker: none is connected"]
        await pilot.press("0")
        await settle(pilot, lambda: len(messages_of(app)) == 2)

    drive(app, script)
    app = make_dashboard(
        tmp_path, tone_model, recording=write_wav(SCENE), open_loudspeaker=refuse,
        now=time.monotonic,
    )  # fmt: skip

    async def shown_all_the_same(pilot):
        await settle(pilot, lambda: messages_of(app))
        (told,) = messages_of(app)
        assert told == (
            "no loudspeaker: none is connected; the recording is shown without sound, 0 tries again"
        )
        assert "playing 1x, no sound" in text_of(app)

    drive(app, shown_all_the_same)


def test_an_event_older_than_what_is_kept_is_said(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE), open_loudspeaker=Shop())

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        block = np.zeros((1, 80 * toys.RATE), np.float32)
        for number in range(5):
            position = 80_000 + number * block.size
            app.listener.history.take_audio(Block(position, block, toys.RATE), 100.0)
        await settle(pilot)
        shown = app.query_one(EventList).shown
        place = next(n for n, entry in enumerate(shown) if entry.label == "middle")
        await pilot.press("tab", *["down"] * (place + 1), "enter")
        await settle(pilot, lambda: messages_of(app))
        (told,) = messages_of(app)
        assert told == (
            "the sound of middle is no longer kept, only that of the last 5 min 00 s: "
            "choose a later event"
        )

    drive(app, script)


def test_a_recording_is_played_along_and_muted(tmp_path, tone_model, write_wav):
    samples = np.concatenate([toys.silence(1), toys.tone(1000, 30)])
    shop = Shop()
    app = make_dashboard(
        tmp_path, tone_model, recording=write_wav(samples), open_loudspeaker=shop,
        now=time.monotonic,
    )  # fmt: skip

    async def script(pilot):
        await settle(pilot, lambda: app.reason == "ended" and shop.sound.size > 2 * toys.RATE)
        (speaker,) = shop.speakers
        played = speaker.sound
        first = round(app.playhead.at(31.0) * toys.RATE)
        assert played.size <= first + (BUFFER_S + 0.2) * toys.RATE
        assert np.abs(played).max() == pytest.approx(np.abs(samples).max(), abs=1e-3)
        assert "no sound" not in text_of(app)
        await pilot.press("0")
        await settle(pilot, lambda: speaker.closed)
        assert "playing 1x, no sound" in text_of(app)
        assert app.saved_settings.muted
        await pilot.press("0")
        await settle(pilot, lambda: len(shop.speakers) == 2 and shop.speakers[1].played)
        assert not app.saved_settings.muted
        # On a busy machine it may have caught up already, which flushes too.
        before = shop.speakers[1].n_flushes
        await pilot.press("space")
        await settle(pilot, lambda: shop.speakers[1].n_flushes > before)
        assert "paused" in text_of(app)
        await pilot.press("tab", "down", "enter")
        await settle(pilot, lambda: len(shop.speakers) == 3 and shop.speakers[2].played)

    drive(app, script)
    assert all(speaker.closed for speaker in shop.speakers)


def test_a_muted_session_stays_muted_in_the_next(tmp_path, tone_model, write_wav):
    shop = Shop()
    app = make_dashboard(
        tmp_path, tone_model, recording=write_wav(SCENE), open_loudspeaker=shop,
        saved_settings=SavedSettings(muted=True),
    )  # fmt: skip

    async def script(pilot):
        await settle(pilot, lambda: app.reason == "ended")
        assert "no sound" in text_of(app)
        assert not shop.speakers

    drive(app, script)


def test_without_a_loudspeaker_it_says_why_nothing_sounds(tmp_path, tone_model):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE), open_loudspeaker=None)

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        await pilot.press("tab", "down", "enter")
        await settle(pilot, lambda: messages_of(app))
        assert messages_of(app)[0].startswith("no sound: this dashboard was opened without")

    drive(app, script)


def test_waiting_samples_are_played_in_order_with_silence_behind_and_bounded():
    buffer = PlaybackBuffer(6)
    buffer.put(b"abcd")
    assert buffer.take(3) == b"abc"
    assert buffer.take(3) == b"d\0\0"
    buffer.put(b"0123456789")
    assert (len(buffer), buffer.take(2)) == (6, b"45")
    buffer.clear()
    assert buffer.take(1) == b"\0"


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.02)


class Monitor:
    """What the loudspeaker of an audio server plays, as it sounds."""

    def __init__(self, server: audio_server.AudioServer, path) -> None:
        self._path = path
        with path.open("wb") as file:
            self._process = subprocess.Popen(
                ["parec", "--device=fake.monitor", "--format=float32le", "--rate=8000",
                 "--channels=1", "--raw", "--latency-msec=50"],
                env=server.env, stdout=file,
            )  # fmt: skip

    def __enter__(self):
        until(lambda: self._path.stat().st_size)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def sound(self) -> np.ndarray:
        data = self._path.read_bytes()
        return np.frombuffer(data[: len(data) // 4 * 4], dtype="<f4")

    def seconds_of(self, hz: float) -> float:
        """How long a tone sounded: tenths of a second of which it is the most."""
        sound = self.sound()
        frames = sound[: sound.size // 800 * 800].reshape(-1, 800)
        power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
        band = power[:, round(hz / 10) - 3 : round(hz / 10) + 4].sum(axis=1)
        return float(np.sum((band > 0.8 * power.sum(axis=1)) & (band > 1)) / 10)


def play_on(speaker):
    """Play silence until the loudspeaker is gone, or for very long."""
    until(lambda: speaker.play(np.zeros(4410, np.float32)))


@with_audio
@pytest.mark.audio_server
def test_the_real_loudspeaker_plays_and_tells_when_there_is_none(tmp_path, monkeypatch):
    with audio_server.AudioServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        with Monitor(server, tmp_path / "heard.raw") as monitor:
            speaker = ProcessLoudspeaker(8000)
            for piece in np.array_split(toys.tone(1000, 3, level=0.5), 60):
                speaker.play(piece)
                time.sleep(0.04)
            speaker.flush()
            speaker.close()
            until(lambda: monitor.seconds_of(1000) > 1.5)
        speaker = ProcessLoudspeaker(44_100)
        server.stop()
        with pytest.raises(DeviceError, match="the loudspeaker is gone"):
            play_on(speaker)
        speaker.close()
        with pytest.raises(DeviceError, match="no loudspeaker: "):
            ProcessLoudspeaker(8000)


@with_audio
@pytest.mark.audio_server
def test_a_frozen_sound_server_is_given_up(monkeypatch):
    monkeypatch.setattr(loudspeaker, "START_S", 1.0)
    with audio_server.AudioServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        server.freeze()
        with pytest.raises(DeviceError, match="does not answer"):
            ProcessLoudspeaker(8000)
        server.thaw()


@no_tmux
@with_audio
@pytest.mark.audio_server
def test_a_recording_is_heard_from_a_real_loudspeaker(tmp_path, tone_model, write_wav):
    path = write_wav(np.concatenate([toys.silence(2), toys.tone(1000, 60, level=0.5)]))
    command = [sys.executable, "-m", "streamclf", "file", str(path), "--ui", "--fresh"]
    with (
        audio_server.AudioServer() as server,
        Monitor(server, tmp_path / "heard.raw") as monitor,
        Terminal([*command, "--model", str(tone_model)], server.env) as terminal,
    ):
        terminal.until("playing 1x", "middle")
        until(lambda: monitor.seconds_of(1000) > 2)
        terminal.press("0")
        terminal.until("playing 1x, no sound")
        time.sleep(1)
        before = monitor.seconds_of(1000)
        time.sleep(1)
        assert monitor.seconds_of(1000) == before
        terminal.press("q")
        terminal.until("exit code 0")


@no_tmux
@with_audio
@pytest.mark.audio_server
def test_an_event_of_the_microphone_is_heard_again_from_a_real_loudspeaker(tmp_path, tone_model):
    sound = tmp_path / "sound.wav"
    tones = [toys.tone(1000, 4, level=0.5), toys.silence(1)]
    soundfile.write(sound, np.concatenate(tones), toys.RATE)
    command = [sys.executable, "-m", "streamclf", "listen", "--model", str(tone_model), "--fresh"]
    with (
        audio_server.AudioServer() as server,
        Monitor(server, tmp_path / "heard.raw") as monitor,
        Terminal(command, server.env) as terminal,
    ):
        terminal.until("● listening", "no signal: muted?")
        server.play(sound)
        terminal.until("middle")
        terminal.until("no signal: muted?")
        once = monitor.seconds_of(1000)
        assert once > 2
        terminal.press("/")
        terminal.until("part of a label")
        terminal.press(*"middle")
        terminal.until("events (1, of")
        terminal.press("Enter")
        time.sleep(1)  # nothing on the screen tells that the list has the keys
        terminal.press("Down", "Enter")
        terminal.until("view frozen, still listening")
        until(lambda: monitor.seconds_of(1000) > once + 2)
        terminal.press("q")
        terminal.until("exit code 0")
