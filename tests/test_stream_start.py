"""A stream announces itself: the first thing that sinks see of it, once, before any audio."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import toys

from streamclf.core.card import Thresholds, Unknown
from streamclf.core.errors import SourceError
from streamclf.core.local_clock import LocalClock
from streamclf.core.records import Average, Block, Gap, Notice, Result, StreamStarted
from streamclf.core.settings import Settings
from streamclf.dashboard.history import History
from streamclf.dashboard.listener import Listener, Openers
from streamclf.dashboard.messages import ListeningEnded
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs.batch import run_recordings
from streamclf.runs.console import Bars
from streamclf.runs.runner import run_stream
from streamclf.runs.spool import pack, unpack
from streamclf.sinks.base import Sink
from streamclf.sources.array import ArraySource
from streamclf.sources.base import Source
from streamclf.sources.recording.recording import Recording
from streamclf.sources.relay import Relay
from streamclf.sources.retried import RetriedSource
from streamclf.sources.simulated.fake_backend import FakeBackend
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone
from streamclf.sources.stream.raw_format import RawFormat
from streamclf.sources.stream.standard_input import StandardInput
from streamclf.sources.stream.url_stream import UrlStream

TONE = toys.tone(1000, 4)


@pytest.fixture(scope="module")
def classifier(tone_model: Path) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu"))


class Witness(Sink):
    """Notes what a sink is told, in its order."""

    def __init__(self) -> None:
        self.seen: list[StreamStarted | Block | Gap | Result] = []

    def begin(self, stream: StreamStarted) -> None:
        self.seen.append(stream)

    def hear(self, item: Block | Gap) -> None:
        self.seen.append(item)

    def write(self, result: Result) -> None:
        self.seen.append(result)

    def close(self) -> None:
        pass

    @property
    def start(self) -> StreamStarted:
        """The one start, which comes first."""
        first, *others = self.seen
        assert isinstance(first, StreamStarted)
        assert not any(isinstance(item, StreamStarted) for item in others)
        return first


class LiveArray(ArraySource):
    live = True


class Scripted(Source):
    """Gives these items, and then fails where it is told to."""

    def __init__(self, *items: Block | Gap | Notice, error: str = "", live: bool = False) -> None:
        self.name, self._items, self._error = "scripted", items, error
        self.live = live  # type: ignore[misc]

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        yield from self._items
        if self._error:
            raise SourceError(self._error)


def block(position: int = 0) -> Block:
    return Block(position, TONE[np.newaxis], toys.RATE)


def listen(classifier: Classifier, source: Source, until_s: float = 3, **how: object) -> Witness:
    """Run the engine over a source, to its end or until so much was heard."""
    witness, engine = Witness(), Engine(classifier, Settings(**how))

    def end(average: Average) -> None:
        if average.end >= until_s * toys.RATE:
            engine.stop()

    with source:
        run_stream(engine, source, [witness], say=print, on_average=end)
    return witness


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Gives a file's address on a server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield lambda path: f"http://127.0.0.1:{server.server_port}/{path.name}"
    server.shutdown()
    thread.join()
    server.server_close()


SOURCES = ["array", "recording", "raw", "encoded", "simulated", "microphone", "url", "relay"]
LIVE = {"raw", "encoded", "simulated", "microphone", "url"}


@pytest.fixture
def make_source(write_wav, served) -> Callable[[str], Source]:
    def encoded() -> BytesIO:
        file = BytesIO()
        soundfile.write(file, TONE, toys.RATE, format="FLAC")
        file.seek(0)
        return file

    samples = (TONE * 32_767).astype("<i2").tobytes()
    form = RawFormat.parse(f"s16le:{toys.RATE}:1")
    makers: dict[str, Callable[[], Source]] = {
        "array": lambda: ArraySource(TONE, toys.RATE),
        "recording": lambda: Recording(write_wav(TONE)),
        "raw": lambda: StandardInput(form, BytesIO(samples)),
        "encoded": lambda: StandardInput(None, encoded()),
        "simulated": lambda: SimulatedMicrophone(write_wav(TONE), speed=0),
        "microphone": lambda: FakeBackend().microphone(),
        "url": lambda: UrlStream(served(write_wav(TONE)), reconnect=False),
        "relay": lambda: Relay(ArraySource(TONE, toys.RATE)),
    }
    return lambda name: makers[name]()


@pytest.mark.parametrize("name", SOURCES)
def test_the_first_that_a_sink_sees_is_the_start_of_its_stream(name, make_source, classifier):
    source = make_source(name)
    witness = listen(classifier, source)
    start = witness.start
    kinds = {type(item) for item in witness.seen[1:]}
    assert {Block, Average} <= kinds
    assert (start.source, start.position) == (source.name, 0)
    assert (start.sample_rate, start.labels) == (toys.RATE, toys.LABELS)
    assert start.task == "single-label"
    assert start.live == (name in LIVE)
    # Only what is live has a clock, and a name that tells one run from the next.
    assert (start.clock is not None) == bool(start.run) == (start.started is not None) == start.live
    assert start.moment(0) is not None or not start.live


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "first", [block(), Gap(0, 400, toys.RATE, "device lost"), Notice(0, toys.RATE, "late")]
)
def test_nothing_of_a_stream_comes_before_its_start(classifier, live, first):
    source = Scripted(first, block(getattr(first, "end", 0)), live=live)
    witness = listen(classifier, source, until_s=99)
    assert witness.start.source == "scripted"
    shown = witness.seen[1]
    assert type(shown) is type(first)
    assert shown.position == 0
    if live:
        # After a notice it is not known yet when audio sounded; the clock has learnt it since.
        assert (witness.start.started is None) == isinstance(first, Notice)
        assert witness.start.moment(0) is not None


@pytest.mark.parametrize("live", [False, True])
def test_calls_about_the_audio_come_after_the_start(classifier, live):
    calls = []

    class Caller(Witness):
        def begin(self, stream: StreamStarted) -> None:
            calls.append("start")

    kind = LiveArray if live else ArraySource
    run_stream(
        Engine(classifier), kind(TONE, toys.RATE), [Caller()], say=print,
        on_start=lambda: calls.append("audio"), on_audio=lambda item: calls.append("block"),
    )  # fmt: skip
    assert calls[:3] == ["start", "audio", "block"]
    assert calls.count("start") == calls.count("audio") == 1


def test_a_source_without_anything_starts_no_stream(classifier):
    assert listen(classifier, ArraySource(TONE[:0], toys.RATE)).seen == []
    witness = Witness()
    with pytest.raises(SourceError, match="no device"):
        run_stream(Engine(classifier), Scripted(error="no device"), [witness], say=print)
    assert witness.seen == []


def test_a_stream_that_fails_later_has_started_once(classifier):
    witness = Witness()
    with pytest.raises(SourceError, match="lost"):
        run_stream(Engine(classifier), Scripted(block(), error="lost"), [witness], say=print)
    assert witness.start.source == "scripted"
    assert any(isinstance(item, Average) for item in witness.seen)


def test_a_start_tells_how_the_stream_is_listened_to(tmp_path):
    card = toys.toy_card(
        temperature=2.0, display_names={"low": "Low tone"}, unknown=Unknown(0.4),
        broader={"high": ["middle"]},
    )  # fmt: skip
    path = toys.write_tone_detector(tmp_path / "tones.onnx", card)
    how = {"thresholds": Thresholds(0.7, 0.5), "labels": frozenset({"low", "high"})}
    start = listen(Classifier(Model(path, provider="cpu")), Scripted(block()), **how).start
    assert start.thresholds == {"low": 0.7, "high": 0.7}
    assert start.display_name("low") == "Low tone"
    assert (start.temperature, start.unknown) == (2.0, Unknown(0.4))
    assert start.broader == {"high": ["middle"]}


def test_a_live_start_is_named_by_when_its_first_audio_sounded(classifier):
    before = datetime.now(UTC)
    start = listen(classifier, LiveArray(TONE, toys.RATE, block_samples=400)).start
    after = datetime.now(UTC)
    assert before - timedelta(seconds=1) < start.started < after
    assert start.run.startswith(f"{start.started.astimezone(UTC):%Y%m%dT%H%M%SZ}-")
    assert start.event_id("low-1") == f"low-1@{start.run}"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_recording_of_a_batch_starts_once(classifier, write_wav, tmp_path, n_jobs):
    paths = [
        write_wav(TONE, "S_20240601_043000.wav"),
        write_wav(np.concatenate([TONE, TONE]), "b.wav"),
        write_wav(TONE[:0], "empty.wav"),
        write_wav(toys.tone(440, 0.3), "short.wav"),
    ]
    written: dict[Path, Witness] = {}
    heard: list[Witness] = []

    def make_hearer() -> list[Sink]:
        heard.append(Witness())
        return [heard[-1]]

    report = run_recordings(
        [Engine(classifier) for _ in range(n_jobs)], paths,
        lambda path: [written.setdefault(path, Witness())], Bars(len(paths)),
        audio_sinks=make_hearer,
    )  # fmt: skip
    assert len(report.failures) == 1
    assert written.pop(paths[2], Witness()).seen == []
    starts = [witness.start for witness in written.values()]
    assert [start.source for start in starts] == [str(paths[k]) for k in (0, 1, 3)]
    assert [start.started for start in starts] == [datetime(2024, 6, 1, 4, 30), None, None]
    # The sinks that hear the audio, in the thread that listens, see the same start.
    told = [witness.start for witness in heard if witness.seen]
    assert sorted(told, key=lambda start: start.source) == sorted(
        starts, key=lambda start: start.source
    )


def test_a_reading_that_goes_on_is_a_stream_that_starts_there(classifier):
    """As the dashboard goes over to another model."""
    relay = Relay(LiveArray(np.concatenate([TONE, TONE]), toys.RATE, block_samples=400))
    starts = []
    for until_s in (3, 99):
        for result in Engine(classifier).run(relay):
            if isinstance(result, StreamStarted):
                starts.append((result, relay.position))
            elif isinstance(result, Average) and result.end >= until_s * toys.RATE:
                relay.cut()
    (first, _), (second, _) = starts
    assert (first.position, second.position) == (0, 3 * toys.RATE)
    assert first.run != second.run


@pytest.mark.parametrize("live", [False, True])
def test_the_dashboard_knows_its_stream_before_its_audio(classifier, monkeypatch, live):
    known: list[bool] = []
    take_audio = History.take_audio

    def take(self: History, item: Block | Gap, now: float) -> None:
        known.append(self.stream is not None)
        take_audio(self, item, now)

    monkeypatch.setattr(History, "take_audio", take)
    ended = threading.Event()

    def post(message: object) -> None:
        if isinstance(message, ListeningEnded):
            ended.set()

    def open_model(name: str, settings: Settings | None) -> tuple[Engine, Model]:
        return Engine(classifier, settings), classifier.model

    source = (LiveArray if live else ArraySource)(TONE, toys.RATE, block_samples=400)
    witness = Witness()
    openers = Openers(open_model, lambda name: source, list, list, [witness])
    listener = Listener(openers, *open_model("tones", None), source, post)
    listener.start()
    assert ended.wait(60)
    listener.stop()
    assert known
    assert all(known)
    if live:  # a recording is only shown
        assert witness.start == listener.history.stream


@pytest.mark.parametrize(
    "started",
    [
        None,
        datetime(2024, 6, 1, 4, 30),
        datetime(2024, 6, 1, 4, 30, 0, 125_000, UTC),
        datetime(2024, 10, 27, 2, 30, tzinfo=timezone(-timedelta(hours=3, minutes=30))),
    ],
)
def test_a_recordings_start_survives_being_packed(started):
    start = StreamStarted(
        "a\n.wav", 8000, ["dog", "übel"], "multi-label", started, Unknown(0.25),
        display_names={"dog": "Dog"}, thresholds={"dog": 0.1}, temperature=0.7, position=2**40,
        broader={"dog": ["übel"]},
    )  # fmt: skip
    again = unpack(pack(start))
    assert again == start
    assert again.time(4000) == start.time(4000)


def test_a_clock_cannot_be_packed():
    with pytest.raises(TypeError):
        pack(StreamStarted("mic", 8000, ["dog"], "multi-label", clock=LocalClock(), live=True))


@pytest.mark.parametrize("speed", [0, 1000])
@pytest.mark.parametrize("served", [False, True])
def test_no_time_of_a_recording_played_fast_lies_in_the_future(
    speed, served, classifier, write_wav
):
    path = write_wav(toys.tone(1000, 60))

    def play() -> Source:
        return SimulatedMicrophone(path, speed=speed)

    began = datetime.now(UTC)
    start = listen(classifier, RetriedSource("sim", play) if served else play()).start
    end = start.moment(60 * toys.RATE)
    # At speed 1000 a block is due some milliseconds before its last sample is.
    assert began - timedelta(seconds=1) < end <= datetime.now(UTC) + timedelta(seconds=0.1)
    assert end - start.moment(0) == timedelta(seconds=60)
