"""A slow screen or line: the dashboard draws less, and hears everything."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import queue
import re
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable

import numpy as np
import prepared
import pytest
import soundfile
import toys
from dashboards import drive, make_dashboard, settle
from test_dashboard_live import PATIENCE_S, home

from streamclf.dashboard.messages import ListeningStarted, StateChanged
from streamclf.dashboard.refresh_rate import LATE_LIMIT, MAX_HZ, MIN_HZ, RefreshRate
from streamclf.sources.microphone.ring import CAPACITY_S
from streamclf.sources.simulated.fake_backend import FakeBackend, FakeClock


def test_messages_coalesce_when_the_screen_falls_behind():
    assert StateChanged().can_replace(StateChanged())
    assert not StateChanged().can_replace(ListeningStarted())


def test_refresh_rate_falls_on_a_slow_line_and_recovers():
    refresh = RefreshRate()
    for _ in range(LATE_LIMIT):
        assert refresh.rate_hz == MAX_HZ
        assert not refresh.record_frame(refresh.interval_s, backlog=1)
    assert refresh.rate_hz == MAX_HZ / 2
    for _ in range(20):
        assert refresh.record_frame(3 * refresh.interval_s, 0)
    assert refresh.rate_hz == MIN_HZ
    for _ in range(1000):
        assert refresh.record_frame(refresh.interval_s, 0)
    assert refresh.rate_hz == MAX_HZ


def test_refresh_rate_forgives_a_frame_that_is_late_by_chance():
    refresh = RefreshRate()
    for number in range(100):
        refresh.record_frame(3 * refresh.interval_s if number % 2 else refresh.interval_s, 0)
    assert refresh.rate_hz == MAX_HZ


class ScreenClock(FakeClock):
    """Time that passes only while the screen hangs, whoever waits for audio meanwhile."""

    def wait(self, items, timeout_s):
        deadline = self._now + max(0.0, timeout_s)
        while True:
            try:
                return items.get(timeout=0.002)
            except queue.Empty:
                if self._now >= deadline:
                    # What came while this thread waited for its turn came in time.
                    return items.get_nowait()

    def pass_time(self, seconds):
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            at, _, action = self._due[0]
            self._now = max(self._now, at)
            del self._due[0]
            action()
        self._now = until


@pytest.mark.parametrize("waits", [False, True], ids=["as it is", "if listening waited for it"])
def test_a_hanging_screen_loses_no_audio(tmp_path, tone_model, monkeypatch, waits):
    """Each picture takes longer to draw than the microphone's ring can hold audio for."""
    audio = FakeBackend()
    audio.clock = clock = ScreenClock()
    app = make_dashboard(tmp_path, tone_model, audio.microphone())
    draw, n_hangs, waiting = app.draw, [0], threading.Event()
    history, post = app.listener.history, app.listener._post

    def draw_slowly():
        if history.end_s and n_hangs[0] < 4:
            n_hangs[0] += 1
            start_s = history.end_s
            # Wall time says only when to give up.
            patience = time.monotonic() + PATIENCE_S
            # Steps well below the 2 s without a block after which the microphone is lost.
            for passed_s in np.arange(0.5, 1.5 * CAPACITY_S, 0.5):
                clock.pass_time(0.5)
                while history.end_s < start_s + passed_s - 0.5 and not waiting.is_set():
                    assert time.monotonic() < patience, "listening came to a halt"
                    time.sleep(0.002)
        draw()

    def post_and_wait(message):
        post(message)
        if n_hangs[0] < 4:
            seen = threading.Event()
            waiting.set()
            loop.call_soon_threadsafe(seen.set)
            seen.wait(PATIENCE_S)
            waiting.clear()

    def all_is_heard():
        """A little audio comes between the pictures, too."""
        if audio.streams:
            clock.pass_time(0.02)
        return n_hangs[0] == 4 and history.end_s > 4 * CAPACITY_S

    async def script(pilot):
        nonlocal loop
        loop = asyncio.get_running_loop()
        if waits:
            monkeypatch.setattr(app.listener, "_post", post_and_wait)
        monkeypatch.setattr(app, "draw", draw_slowly)
        await settle(pilot, all_is_heard)

    loop = None
    drive(app, script)
    counts = app.listener.engine.statistics
    assert counts.elapsed_samples > 4 * CAPACITY_S * toys.RATE
    assert (counts.n_gaps > 0) == waits


@pytest.mark.slow
def test_a_slow_line_is_drawn_to_less_often_and_nothing_is_lost(tmp_path, tone_model):
    sound = tmp_path / "sound.wav"
    tones = [toys.tone(hz, 0.2) for hz in np.random.default_rng(0).uniform(200, 3800, 100)]
    soundfile.write(sound, np.concatenate(tones), toys.RATE)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = prepared.begin(
        "listen", "--source", f"sim:{sound}", "--loop", "--model", tone_model,
        stdin=slave, stdout=slave, stderr=slave, env=home(tmp_path), start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        # A machine that has much else to do draws less often from the beginning.
        fast = max(read_until(master, lambda rate, n_bytes: rate >= 8 or n_bytes > 500_000))
        slow = max(min(fast / 2, 4), MIN_HZ)
        read_until(master, lambda rate, _: rate <= slow, pause_s=0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        said = read_rest(master)
        code = process.wait(PATIENCE_S)
    assert code == 130
    # A frame or two were on their way; a full queue of them is more than a megabyte.
    assert len(said) < 300_000
    assert re.search(rb"heard [^:]*: .* no gaps", said)


def read_until(
    terminal: int, enough: Callable[[int, int], bool], pause_s: float = 0.0
) -> list[int]:
    """Read 1000 bytes at a time until the last frame rate shown is what is waited for.

    Args:
        terminal: What is read.
        enough: Told the last frame rate and the number of bytes read.
        pause_s: Seconds between two reads.

    Returns:
        All frame rates that were shown.
    """
    said, n_bytes, shown = b"", 0, []
    deadline = time.monotonic() + PATIENCE_S
    while not (shown and enough(shown[-1], n_bytes)):
        assert time.monotonic() < deadline, said
        if select.select([terminal], [], [], 1.0)[0]:
            said = said[-1000:] + os.read(terminal, 1000)
            n_bytes += 1000
            shown += map(int, re.findall(rb"drawn (\d+)/s", said))
        time.sleep(pause_s)
    return shown


def read_rest(terminal: int) -> bytes:
    said = b""
    while True:
        try:
            said += os.read(terminal, 65_536)
        except OSError:  # Linux says so when the other side is closed
            return said
