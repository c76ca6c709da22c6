"""Stops that come before anything began, readers that leave early, threads that must not stay."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import FileIO
from pathlib import Path
from queue import SimpleQueue

import av
import dashboards
import numpy as np
import pytest
import toys

from streamclf.core.errors import DeviceError
from streamclf.core.records import Block
from streamclf.dashboard.listener import Doors, Listener
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs.batch import run_recordings
from streamclf.runs.console import Bars
from streamclf.runs.runner import run_stream
from streamclf.sinks.base import MemorySink
from streamclf.sources.array import ArraySource
from streamclf.sources.base import Source
from streamclf.sources.clock import SystemClock
from streamclf.sources.microphone.call_thread import CallThread
from streamclf.sources.prefetch import PrefetchThread
from streamclf.sources.recording.recording import Recording
from streamclf.sources.relay import Relay
from streamclf.sources.simulated.fake_backend import FakeBackend
from streamclf.sources.simulated.random_blocks import RandomBlocks
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone
from streamclf.sources.stream.raw_format import RawFormat
from streamclf.sources.stream.standard_input import StandardInput
from streamclf.sources.stream.url_stream import UrlStream

PATIENCE_S = 60


@pytest.fixture(scope="module")
def classifier(tone_model: Path) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu"))


def until(happened: Callable[[], object]) -> None:
    """Wait for something that other threads do."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.01)


def prefetch_threads() -> int:
    return sum(thread.name == "streamclf-prefetch" for thread in threading.enumerate())


class Radio:
    """Sends a sound for ever; tells of each call, and of each caller who hung up."""

    def __init__(self) -> None:
        self.n_calls = self.n_gone = 0
        radio = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                radio.n_calls += 1
                self.send_response(200)
                self.end_headers()
                header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0"
                try:
                    self.wfile.write(header + b"\2\0\x10\0data\xff\xff\xff\xff")
                    while True:
                        self.wfile.write(bytes(8000))
                        time.sleep(0.01)
                except OSError:
                    radio.n_gone += 1

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/live.wav"


@pytest.fixture
def radio() -> Iterator[Radio]:
    radio = Radio()
    yield radio
    radio.server.shutdown()
    radio.thread.join()
    radio.server.server_close()


@pytest.fixture
def pipe() -> Iterator[int]:
    """A pipe that nobody writes into."""
    reading, writing = os.pipe()
    yield reading
    os.close(writing)
    os.close(reading)


# Stops that come before the reading.

SOURCES = [
    "array", "recording", "decoded", "random", "simulated", "microphone", "relay", "raw", "encoded",
    "url",
]  # fmt: skip


@pytest.fixture
def make_source(write_wav, tmp_path, radio, pipe) -> Callable[[str], Source]:
    tone = toys.tone(440, 3)

    def decoded() -> Recording:
        with av.open(str(tmp_path / "tone.mka"), "w") as container:
            stream = container.add_stream("pcm_f32le", rate=toys.RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone[np.newaxis], "flt", "mono")
            frame.sample_rate = toys.RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
        return Recording(tmp_path / "tone.mka")

    def unwritten() -> FileIO:
        return FileIO(pipe, "rb", closefd=False)

    makers: dict[str, Callable[[], Source]] = {
        "array": lambda: ArraySource(tone, toys.RATE),
        "recording": lambda: Recording(write_wav(tone)),
        "decoded": decoded,
        "random": lambda: RandomBlocks(write_wav(tone), seed=1),
        "simulated": lambda: SimulatedMicrophone(write_wav(tone), speed=0),
        "microphone": lambda: FakeBackend().microphone(),
        "relay": lambda: Relay(ArraySource(tone, toys.RATE)),
        "raw": lambda: StandardInput(RawFormat.parse("s16le:8000:1"), unwritten()),
        "encoded": lambda: StandardInput(None, unwritten()),
        "url": lambda: UrlStream(radio.url),
    }
    return lambda name: makers[name]()


@pytest.mark.parametrize("name", SOURCES)
def test_a_stop_before_the_reading_holds(name, make_source, radio):
    n_threads = prefetch_threads()
    with make_source(name) as source:
        source.stop()
        assert [*source.blocks(toys.RATE)] == []
        source.stop()
    source.close()
    assert prefetch_threads() == n_threads
    assert radio.n_calls == 0


@pytest.mark.parametrize("name", SOURCES)
def test_an_engine_that_is_stopped_before_its_first_result_ends(name, make_source, classifier):
    engine = Engine(classifier)
    with make_source(name) as source:
        results = engine.run(source)
        engine.stop()
        assert [*results] == []
    assert engine.statistics.elapsed_samples == 0


def test_a_microphone_that_was_stopped_or_closed_is_not_opened():
    for end in ("stop", "close"):
        audio = FakeBackend()
        microphone = audio.microphone()
        getattr(microphone, end)()
        assert [*microphone.blocks(toys.RATE)] == []
        assert audio.open_attempts == []


def test_an_interrupt_before_the_engine_knows_the_recording_ends_it(classifier, write_wav):
    path = write_wav(toys.tone(440, 600))
    asked = iter([False])  # as if the signal came right after the first question
    sink = MemorySink()
    report = run_recordings(
        [Engine(classifier)], [path], lambda path: [sink], Bars(1),
        interrupted=lambda: next(asked, True),
    )  # fmt: skip
    assert 0 < report.statistics.audio_s < 60


# Readers that leave early.


@pytest.mark.parametrize("how", ["close", "leave", "stop"])
def test_a_url_stream_left_early_hangs_up(radio, how):
    source = UrlStream(radio.url)
    items = source.blocks(toys.RATE)
    assert isinstance(next(items), Block)
    if how == "close":
        source.close()
    elif how == "leave":
        items.close()
    else:
        source.stop()
    until(lambda: radio.n_gone == 1)
    until(lambda: not prefetch_threads())


def test_a_run_that_is_left_early_hangs_up(radio, classifier):
    with UrlStream(radio.url) as source:
        results = Engine(classifier).run(source)
        next(results)
        results.close()
    until(lambda: radio.n_gone == 1 and not prefetch_threads())


def test_a_prefetch_thread_that_is_left_closes_what_it_read_in_its_thread():
    closed: SimpleQueue[str] = SimpleQueue()

    def produce() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.put(threading.current_thread().name)

    for number in PrefetchThread(produce, max_items=3):
        if number == 1:
            break
    assert closed.get(timeout=PATIENCE_S) == "streamclf-prefetch"


def test_a_device_that_opens_after_it_was_given_up_is_closed():
    """`close` does not wait for a call that hangs; what that opens in the end is closed then."""
    calls, let_go = CallThread(SystemClock()), threading.Event()
    done: SimpleQueue[str] = SimpleQueue()
    with pytest.raises(TimeoutError):
        calls.call(lambda: (let_go.wait(), done.put("opened")), 0.01)
    assert not calls.close(lambda: done.put("closed"), 0.01)
    let_go.set()
    assert [done.get(timeout=PATIENCE_S) for _ in range(2)] == ["opened", "closed"]


# A relay whose sources end, change and stop at the same moment.


class Watched(ArraySource):
    """Knows whether it was stopped and closed."""

    live = True

    def __init__(self, seconds: float, name: str) -> None:
        super().__init__(toys.silence(seconds), toys.RATE, block_samples=800, name=name)
        self.ends: list[str] = []
        self.on_close: Callable[[], None] = lambda: None

    def stop(self) -> None:
        self.ends.append("stop")
        super().stop()

    def close(self) -> None:
        self.ends.append("close")
        self.on_close()


def test_the_source_between_two_switches_is_closed_unread():
    first, second, third = Watched(1, "first"), Watched(1, "second"), Watched(1, "third")
    relay = Relay(first)
    items = relay.blocks(toys.RATE)
    next(items)
    relay.switch(second)
    relay.switch(third)
    assert second.ends == ["close"]
    assert sum(item.n_samples for item in items if isinstance(item, Block)) == toys.RATE
    assert (relay.source, first.ends[-1], third.ends) == (third, "close", [])
    relay.close()
    assert third.ends == ["stop", "close"]


def test_a_switch_stops_the_source_that_it_was_made_from_and_never_the_new_one():
    first, second, third = Watched(0.1, "first"), Watched(1, "second"), Watched(1, "third")
    relay = Relay(first)
    items = relay.blocks(toys.RATE)
    next(items)
    relay.switch(second)
    # The reader comes to the first one's end while it is switched once more.
    second.on_close = lambda: next(item for item in items if isinstance(item, Block))
    relay.switch(third)
    assert relay.source is third
    assert third.ends == []
    assert sum(item.n_samples for item in items if isinstance(item, Block)) == toys.RATE - 800


def test_a_switch_never_stops_the_new_source_however_threads_take_turns():
    for _ in range(300):
        relay = Relay(Watched(0.1, "first"))
        n_read: list[int] = []

        def read(relay: Relay = relay, n_read: list[int] = n_read) -> None:
            while not relay.has_next and relay.name == "first":
                n_read.extend(item.n_samples for item in relay.blocks(toys.RATE))
            n_read.extend(item.n_samples for item in relay.blocks(toys.RATE))

        reader = threading.Thread(target=read)
        reader.start()
        second = Watched(0.5, "second")
        relay.switch(second)
        reader.join()
        assert "stop" not in second.ends


def test_a_stop_outlasts_a_cut():
    relay = Relay(Watched(1, "first"))
    relay.stop()
    relay.cut()
    assert [*relay.blocks(toys.RATE), *relay.blocks(toys.RATE)] == []


def test_a_cut_that_comes_before_the_reading_ends_one_reading():
    relay = Relay(Watched(1, "first"))
    relay.cut()
    assert [*relay.blocks(toys.RATE)] == []
    assert not relay.has_ended
    assert len([*relay.blocks(toys.RATE)]) == 10
    assert relay.has_ended


def test_a_source_that_comes_after_the_stop_is_closed():
    relay, late = Relay(Watched(1, "first")), Watched(1, "late")
    relay.stop()
    relay.switch(late)
    assert late.ends == ["close"]
    assert not relay.has_next


# The dashboard's listener between two runs.


class Scorer:
    """Scores as a classifier does; does something when a stream begins."""

    def __init__(self, classifier: Classifier, on_begin: Callable[[], None]) -> None:
        self.card, self.score = classifier.card, classifier.score
        self.stride, self.batch_size = 1, classifier.batch_size
        self.on_begin = on_begin

    def open_stream(self):
        self.on_begin()
        return lambda windows: self.score(np.stack([w.waveform for w in windows]))

    def take_notice(self) -> str:
        return ""


class Slow(dashboards.Script):
    """Goes on for a minute at most, a little at a time."""

    def blocks(self, sample_rate):
        for position in range(0, 6000 * 80, 80):
            if not self._stopped.empty():
                return
            time.sleep(0.001)
            yield Block(position, np.zeros((1, 80), np.float32), toys.RATE)


def test_a_model_chosen_while_another_takes_over_is_not_forgotten(classifier, tone_model):
    begun: list[str] = []

    def begin(name: str) -> None:
        begun.append(name)
        if name == "second":
            listener.use_model("third")

    opened = Model(tone_model, provider="cpu")

    def open_model(name, settings):
        return Engine(Scorer(classifier, lambda: begin(name)), settings), opened

    source = Slow()
    doors = Doors(open_model, lambda name: source, list, list)
    posted: list[object] = []
    listener = Listener(doors, *open_model("first", None), source, posted.append)
    listener.start()
    until(lambda: listener.history.end_s > 0.1)
    listener.use_model("second")
    until(lambda: "third" in begun)
    at_s = listener.history.end_s
    until(lambda: listener.history.end_s > at_s + 0.1)
    assert begun == ["first", "second", "third"]
    assert listener.chosen is listener.engine
    listener.stop()
    assert [type(message).__name__ for message in posted].count("ListeningEnded") == 0
    heard = listener.statistics
    assert heard.delivered_samples == heard.elapsed_samples == listener.relay.position


def test_a_model_chosen_after_the_microphone_was_lost_leaves_its_reason(classifier, tone_model):
    opened = Model(tone_model, provider="cpu")
    second = dashboards.Script(toys.tone(440, 3))

    def open_model(name, settings):
        return Engine(classifier, settings), opened

    doors = Doors(open_model, lambda name: second, list, list)
    first = dashboards.Script(toys.silence(2), DeviceError("microphone first lost"))
    ended: SimpleQueue[str] = SimpleQueue()

    def post(message) -> None:
        if type(message).__name__ == "ListeningEnded":
            ended.put(message.reason)

    listener = Listener(doors, *open_model("first", None), first, post)
    listener.start()
    assert ended.get(timeout=PATIENCE_S) == "microphone first lost"
    listener.use_model("second")
    time.sleep(0.2)
    assert ended.empty()
    assert str(listener.error) == "microphone first lost"
    engine = listener.chosen
    listener.use_device("second")
    until(lambda: listener.history.end_s > 4.9)
    listener.stop()
    assert listener.engine is engine
    assert listener.error is None


def test_a_run_stream_closes_its_run_when_a_sink_fails(classifier, radio):
    class Failing(MemorySink):
        def write(self, result):
            raise ZeroDivisionError

    with UrlStream(radio.url) as source, pytest.raises(ZeroDivisionError):
        run_stream(Engine(classifier), source, [Failing()], say=print)
    until(lambda: not prefetch_threads())
