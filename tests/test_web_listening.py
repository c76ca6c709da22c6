"""Live listening: who may, what they hear, and that nobody who listens slowly costs anything."""

import asyncio
import http.client
import io
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import quote

import av
import numpy as np
import pytest
import toys
from chromium import PHONE, Chromium, needs_chromium
from live_runs import PATIENCE_S
from lives import stream
from pages import PASSWORD, Browser, make_context

from streamclf.core.records import Block, Gap
from streamclf.runs.health import LiveState
from streamclf.web import listening, live_sound
from streamclf.web.hub import LiveHub
from streamclf.web.live_sound import LEAD_S
from streamclf.web.mp3 import FRAME_S, RATE, Mp3Encoder
from streamclf.web.server import WebServer

SOURCE = "yard & garden"
LINK = f"/media/live.mp3?source={quote(SOURCE)}"


class Ears:
    """A page with one source, which a test feeds as a microphone at a rate of its own does."""

    def __init__(self, rate=16_000, now=time.monotonic):
        self.hub = LiveHub(now=now)
        self.private = False
        self.hub.may_be_heard = lambda name: name == SOURCE and not self.private
        self.sink = self.hub.sink(SOURCE)
        self.sink.begin(stream())
        self.rate = rate
        self.position = 0

    @property
    def sound(self):
        return self.hub.sound(SOURCE)

    def hear(self, waveform, n_samples=800):
        for start in range(0, len(waveform), n_samples):
            piece = waveform[np.newaxis, start : start + n_samples]
            block = Block(self.position, piece, self.rate)
            self.sink.measure(block)
            self.sink.hear(block)
            self.position += piece.shape[1]

    def lose(self, seconds):
        gap = Gap(self.position, round(seconds * self.rate), self.rate, "overflow")
        self.position = gap.end
        self.sink.measure(gap)


@pytest.fixture
def ears():
    return Ears()


@pytest.fixture
def serve(tmp_path):
    """Serves a page, with a password if not told otherwise."""
    with ExitStack() as stack:

        def start(ears, password=PASSWORD, **options):
            context = make_context(tmp_path, password=password, **options)
            return stack.enter_context(WebServer(replace(context, hub=ears.hub)))

        yield start


@pytest.fixture
def listen():
    """Makes listeners, and closes them."""
    with ExitStack() as stack:

        def start(*arguments, **options):
            listener = Listener(*arguments, **options)
            stack.callback(listener.close)
            return listener

        yield start


def log_in(server, **headers):
    browser = Browser(server, **headers)
    assert browser.log_in().status == 303
    return browser


class Listener:
    """Somebody who listens."""

    def __init__(self, browser, link=LINK, window=None):
        self._socket = socket.socket()
        if window is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(("127.0.0.1", browser.port))
        cookie = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
        lines = [f"GET {link} HTTP/1.1", f"Host: {browser.host}", f"Cookie: {cookie}", "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        self.answer = http.client.HTTPResponse(self._socket)

    def begin(self):
        self.answer.begin()
        return self.answer.status

    def read(self, seconds):
        """Read a number of seconds of sound; returns what is decoded of it."""
        n_frames = round(seconds / FRAME_S)
        return decode(self.answer.read(n_frames * 576))  # bytes of a frame at 192 kbit/s

    def ends(self):
        """Whether the answer breaks off by itself."""
        try:
            while self.answer.read(1000):
                pass
        except (http.client.HTTPException, ConnectionError):
            pass
        return True

    def close(self):
        self.answer.close()
        self._socket.close()


def decode(data):
    with av.open(io.BytesIO(data), format="mp3") as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(frames)


def chirp(seconds, rate):
    times = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (200 + 900 * times) * times)).astype(np.float32)


def likeness(heard, sound):
    """Highest correlation of a sound with a part of what is heard, and where that part begins."""
    size = 1 << (len(heard) + len(sound)).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sound, size)))
    at = int(np.argmax(product[: len(heard) - len(sound)]))
    part = heard[at : at + len(sound)]
    return float(part @ sound / np.linalg.norm(part) / np.linalg.norm(sound)), at / RATE


def until(condition):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# What is heard.


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000, 96_000])
def test_what_is_heard_is_the_sound(serve, rate, listen):
    ears = Ears(rate)
    listener = listen(log_in(serve(ears)))
    assert listener.begin() == 200
    assert listener.answer.headers["Content-Type"] == "audio/mpeg"
    assert listener.answer.headers["Cache-Control"] == "no-store"
    ears.hear(chirp(2.0, rate))
    ears.hear(toys.silence(1.0, rate))  # what pushes the last frames out of the encoder
    heard = listener.read(LEAD_S + 2.4)
    same, at_s = likeness(heard, chirp(2.0, RATE))
    assert same > 0.99
    assert LEAD_S <= at_s < LEAD_S + 0.1
    assert np.abs(heard[: round((LEAD_S - 0.05) * RATE)]).max() < 0.01


def test_a_gap_is_as_long_as_it_was(serve, ears, listen):
    listener = listen(log_in(serve(ears)))
    assert listener.begin() == 200
    ears.hear(toys.tone(1000, 1.0, ears.rate))
    ears.lose(0.8)
    ears.hear(toys.tone(1000, 1.5, ears.rate))
    heard = listener.read(LEAD_S + 2.8)
    pieces = heard[: len(heard) // 240 * 240].reshape(-1, 240)  # of 5 ms
    loud = np.abs(pieces).max(axis=1) > 0.1
    first = int(np.argmax(loud))
    pause = np.flatnonzero(~loud[first:])
    assert 0.77 < 0.005 * (pause[-1] - pause[0] + 1) < 0.83
    assert abs(0.005 * pause[0] - 1.0) < 0.03


class Wall:
    """The clock on the wall, which a test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def made_s(sound):
    return sound._n_frames * FRAME_S


def listened(wall, rate=16_000):
    """A source with one listener."""
    ears = Ears(rate, wall)
    ears.sound.enter()
    ears.sound.make()
    return ears


def test_a_source_that_is_away_is_silence_and_comes_back_no_later_than_it_was():
    wall = Wall()
    ears = listened(wall)
    for _ in range(10):  # 1 s
        wall.now += 0.1
        ears.hear(toys.tone(1000, 0.1, ears.rate))
        ears.sound.make()
    for _ in range(1000):  # 100 s
        wall.now += 0.1
        ears.sound.make()
    away_s = made_s(ears.sound)
    assert wall.now - 1.1 < away_s < wall.now  # a browser goes on to play
    ears.lose(100.0)
    ears.hear(toys.tone(1000, 0.1, ears.rate))
    ears.sound.make()
    assert made_s(ears.sound) == pytest.approx(wall.now + LEAD_S + 0.1, abs=0.1)


def test_a_stream_that_comes_in_bursts_is_heard_whole():
    wall = Wall()
    ears = listened(wall)
    for _ in range(5):
        wall.now += 4.0
        ears.sound.make()
        ears.hear(toys.tone(1000, 4.0, ears.rate), n_samples=ears.rate)
        ears.sound.make()
    # 4 s of silence before the first burst, less what a source may be behind, then every sample.
    assert made_s(ears.sound) == pytest.approx(3.0 + 5 * 4.0, abs=0.1)


def test_a_source_that_runs_ahead_does_not_fill_memory(monkeypatch):
    wall = Wall()
    ears = listened(wall)
    for _ in range(10):
        ears.hear(toys.tone(1000, 10.0, ears.rate), n_samples=ears.rate)
    ears.sound.make()
    assert made_s(ears.sound) < live_sound.MOST_AHEAD_S + LEAD_S + 0.1
    assert len(ears.sound._frames) * FRAME_S < live_sound.KEPT_S + 0.1
    ears.hear(toys.tone(1000, 100.0, ears.rate))
    assert ears.sound._waiting_s < live_sound.MOST_WAITING_S + 0.1


def test_a_process_that_stood_still_makes_no_hours_of_silence():
    wall = Wall()
    ears = listened(wall)
    wall.now += 10_000
    ears.sound.make()
    assert made_s(ears.sound) < live_sound.KEPT_S + LEAD_S + 0.1


def test_nothing_is_kept_or_encoded_while_nobody_listens(ears):
    ears.hear(toys.tone(1000, 1.0, ears.rate))
    ears.sound.make()
    assert (len(ears.sound._waiting), ears.sound._n_frames) == (0, 0)
    ears.sound.enter()
    ears.hear(toys.tone(1000, 1.0, ears.rate))
    ears.sound.make()
    assert ears.sound._frames
    ears.sound.leave()
    assert not ears.sound._frames
    assert ears.sound._encoding is None


def test_all_listeners_share_one_encoder_and_begin_at_the_present(serve, ears, monkeypatch, listen):
    made = []
    real = Mp3Encoder.__init__
    monkeypatch.setattr(Mp3Encoder, "__init__", lambda self: made.append(1) or real(self))
    browser = log_in(serve(ears))
    first = listen(browser)
    assert first.begin() == 200
    ears.hear(chirp(3.0, ears.rate))
    first.read(LEAD_S + 2.5)
    second = listen(browser)
    assert second.begin() == 200
    late = second.read(LEAD_S - 0.1)
    assert np.abs(late[RATE // 10 :]).max() > 0.1  # no silence of a new encoder
    assert made == [1]
    first.close()
    second.close()
    until(lambda: not ears.sound.n_listeners)  # which a connection that is closed ends


def test_a_frame_stands_for_itself():
    """Whoever begins in the middle hears the sound from there on."""
    encoder = Mp3Encoder()
    frames = encoder.encode(np.tile(chirp(1.0, RATE), 2))
    whole, part = decode(b"".join(frames)), decode(b"".join(frames[40:]))
    same, _ = likeness(whole, part[4000:30_000])
    assert same > 0.999


# Who may hear it.


def test_without_a_password_nobody_listens_and_no_page_offers_it(serve, ears):
    browser = Browser(serve(ears, password=None))
    answer = browser.ask(LINK, Accept="audio/*")
    assert answer.status == 403
    assert "set one by streamclf serve --set-password" in answer.text
    assert "live.mp3" not in browser.ask("/").text


def test_strangers_are_refused(serve, ears):
    server = serve(ears)
    assert Browser(server).ask(LINK, Accept="audio/*").status == 401
    assert Browser(server).ask(LINK).headers["Location"].startswith("../login?next=%2Fmedia%2Flive")
    known = log_in(server)
    for headers in [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        # A link of another page makes no room sound.
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
    ]:
        assert known.ask(LINK, **headers).status == 403
    assert known.ask("/media/live.mp3?source=hall").status == 404
    assert known.ask("/media/live.mp3").status == 404
    assert known.ask(LINK, "HEAD").status == 200
    assert not ears.sound.n_listeners


def test_where_privacy_is_on_nobody_listens_and_no_page_offers_it(serve, ears):
    browser = log_in(serve(ears))
    assert 'class="hear" hidden' not in browser.ask("/").text.split("<template")[0]
    ears.private = True
    answer = browser.ask(LINK, Accept="audio/*")
    assert answer.status == 403
    assert "privacy" in answer.text
    shown = browser.ask("/").text.split("<template")[0]
    assert '<p class="hear" hidden>' in shown


def test_nobody_may_listen_unless_somebody_says_so():
    assert not LiveHub().may_be_heard("yard")


def test_privacy_that_is_turned_on_ends_it_and_nothing_of_that_time_is_heard(serve, ears, listen):
    listener = listen(log_in(serve(ears)))
    assert listener.begin() == 200
    ears.hear(toys.tone(1000, 0.5, ears.rate))
    listener.read(LEAD_S)
    ears.private = True
    ears.hear(toys.tone(1000, 1.0, ears.rate))
    assert not ears.sound._waiting
    assert listener.ends()
    until(lambda: not ears.sound.n_listeners)
    ears.private = False  # and what was said meanwhile is not heard later
    ears.sound.enter()
    ears.sound.make()
    assert ears.sound._encoding is not None
    assert np.abs(decode(b"".join(ears.sound._frames))).max() < 0.01


def test_sound_that_waits_when_privacy_is_turned_on_is_forgotten(ears):
    ears.sound.enter()
    ears.hear(toys.tone(1000, 1.0, ears.rate))
    ears.sound.make()
    ears.hear(toys.tone(1000, 1.0, ears.rate))
    ears.private = True
    ears.sound.make()
    assert not ears.sound._waiting
    assert not ears.sound._frames


def test_a_logout_ends_it(serve, ears, monkeypatch, listen):
    monkeypatch.setattr("streamclf.web.security.CHECK_S", 0.05)
    browser = log_in(serve(ears))
    listener = listen(browser)
    assert listener.begin() == 200
    browser.post("/logout")
    assert listener.ends()


def test_a_source_that_goes_ends_it(serve, ears, listen):
    listener = listen(log_in(serve(ears)))
    assert listener.begin() == 200
    ears.sink.close()
    ears.hub.frames()  # which finds that it is gone
    assert listener.ends()
    assert ears.hub.sound(SOURCE) is None


def test_listeners_stay_with_a_source_that_begins_anew(ears):
    before = ears.sound
    ears.sink = ears.hub.sink(SOURCE)
    assert ears.sound is before
    ears.sound.enter()
    ears.hear(toys.tone(1000, 1.0, ears.rate))
    assert ears.sound._waiting


# What it may cost.


def test_a_listener_who_does_not_read_is_let_go_and_holds_up_nobody(serve, monkeypatch, listen):
    monkeypatch.setattr(listening, "STUCK_S", 0.3)
    began = time.monotonic()
    ears = Ears(now=lambda: 100 * (time.monotonic() - began))  # sound in a hurry
    browser = log_in(serve(ears))
    listen(browser, window=4096)
    until(lambda: ears.sound.n_listeners == 1)
    ended = threading.Event()

    def feed():
        while not ended.is_set():
            ears.hear(toys.tone(1000, 1.0, ears.rate), n_samples=ears.rate)
            time.sleep(0.01)

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        until(lambda: not ears.sound.n_listeners)
        assert not ears.sound._frames
        assert browser.ask("/").status == 200
    finally:
        ended.set()
        feeding.join()


def test_a_listener_far_behind_is_told_so(ears):
    ears.sound.enter()
    place = ears.sound.place()
    ears.sound.make()
    assert ears.sound.after(place)
    ears.sound._n_frames += 10_000
    assert ears.sound.after(place) is None


def test_there_are_only_so_many(serve, ears, monkeypatch, listen):
    monkeypatch.setattr(listening, "MOST_LISTENERS", 1)
    browser = log_in(serve(ears))
    first = listen(browser)
    assert first.begin() == 200
    assert browser.ask(LINK).status == 503
    first.close()
    until(lambda: not ears.sound.n_listeners)
    second = listen(browser)
    assert second.begin() == 200


def test_an_encoder_that_fails_ends_the_answers_alone(serve, ears, monkeypatch, listen):
    def fail(self):
        raise ValueError("no libmp3lame")

    monkeypatch.setattr(Mp3Encoder, "__init__", fail)
    browser = log_in(serve(ears))
    listener = listen(browser)
    assert listener.begin() == 200
    assert listener.ends()
    assert browser.ask("/").status == 200


def test_an_end_waits_for_no_listener(tmp_path, ears, listen):
    context = replace(make_context(tmp_path, password=PASSWORD), hub=ears.hub)
    with WebServer(context) as server:
        listener = listen(log_in(server))
        assert listener.begin() == 200
        began = time.monotonic()
    assert time.monotonic() - began < PATIENCE_S / 4
    assert listener.ends()


# In a browser.


class Microphone:
    """Feeds a source in real time, in a thread."""

    def __init__(self, ears):
        self._ears = ears
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _run(self):
        block = toys.tone(1000, 0.1, self._ears.rate)
        while not self._ended.wait(0.1):
            self._ears.hear(block, block.size)


async def come_in(browser, port):
    await browser.go(f"http://127.0.0.1:{port}/")
    await browser.ask(
        f"document.querySelector('#password').value = {PASSWORD!r};"
        "document.querySelector('form').requestSubmit(); 0"
    )
    await browser.until("!!document.querySelector('#sources')")


CLICK = {"expression": "document.querySelector('.hear a').click()", "userGesture": True}


@pytest.mark.slow
@needs_chromium
def test_a_browser_plays_it_and_stops_when_it_may_no_more(serve, ears):
    port = serve(ears).port
    ears.hub.state_of = lambda name: LiveState("heard", 0.5, "", 94.0)
    playing = "document.querySelector('.hear audio')?.currentTime > 0.5"

    async def look():
        async with Chromium(PHONE) as browser:
            await come_in(browser, port)
            await browser.until("document.querySelector('#connection').dataset.state === 'live'")
            await browser.until("document.querySelector('.db').textContent === '84 dB SPL'")
            await browser.tell("Runtime.evaluate", **CLICK)
            await browser.until(playing)
            assert (await browser.text(".hear .word")) == "Stop listening"
            assert ears.sound.n_listeners == 1
            await browser.tell("Runtime.evaluate", **CLICK)
            await browser.until("!document.querySelector('.hear audio')")
            assert (await browser.text(".hear .word")) == "Listen live"
            await asyncio.to_thread(until, lambda: not ears.sound.n_listeners)
            await browser.tell("Runtime.evaluate", **CLICK)
            await browser.until(playing)
            ears.private = True
            await browser.until("document.querySelector('.hear').hidden")
            await browser.until("!document.querySelector('.hear audio')")
            return browser.said

    with Microphone(ears):
        said = asyncio.run(look())
    assert not [line for line in said if "ERR_" not in line]


@pytest.mark.slow
@needs_chromium
def test_without_script_the_link_plays_it(serve, ears):
    port = serve(ears).port

    async def look():
        async with Chromium(script=False) as browser:
            await come_in(browser, port)
            await browser.tell("Runtime.evaluate", **CLICK)
            await browser.until("document.querySelector('video, audio')?.currentTime > 0.3")

    with Microphone(ears):
        asyncio.run(look())
