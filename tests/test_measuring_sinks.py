"""Sinks that measure the audio of the source: what they get, when, and what it costs others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toys

from streamclf.core.errors import SourceError
from streamclf.core.records import Block, Gap, Notice, Result, StreamStarted
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline import engine as engine_module
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.levels import LevelMeter, LevelSummary
from streamclf.runs.runner import run_stream
from streamclf.sinks.base import MemorySink, Sink
from streamclf.sources.array import ArraySource
from streamclf.sources.base import Source
from streamclf.sources.simulated.faults import parse_name
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone

RATE = 48_000


class Meter(Sink):
    """Notes the kinds of what it is told in their order, and measures levels."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.measured: list[Block | Gap] = []
        self.threads: set[int] = set()
        self.meter, self.summary = LevelMeter(), LevelSummary()

    def begin(self, stream: StreamStarted) -> None:
        self.order.append("begin")

    def hear(self, item: Block | Gap) -> None:
        self.order.append("hear")

    def measure(self, item: Block | Gap) -> None:
        self.order.append("measure")
        self.measured.append(item)
        self.threads.add(threading.get_ident())
        for piece in self.meter.add(item):
            self.summary.add(piece)

    def write(self, result: Result) -> None:
        self.order.append("write")

    def close(self) -> None:
        for piece in self.meter.end():
            self.summary.add(piece)


class Scripted(Source):
    """Gives these items, and then fails."""

    name = "scripted"

    def __init__(self, *items: Block | Gap | Notice) -> None:
        self._items = items

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        yield from self._items
        raise SourceError("the device burnt down")


@pytest.fixture(scope="module")
def engine(tone_model: Path) -> Engine:
    return Engine(Classifier(Model(tone_model, provider="cpu")), Settings())


@pytest.fixture(params=[False, True], ids=["one thread", "reading ahead"])
def ahead(request, engine):
    engine.read_ahead = request.param
    yield request.param
    engine.read_ahead = False


def stereo(seconds: float, left_db: float = -20.0) -> np.ndarray:
    tone = np.sin(2 * np.pi * 1000 * np.arange(round(seconds * RATE)) / RATE)
    left = 10 ** (left_db / 20) * tone
    return np.stack([left, np.zeros_like(left)]).astype(np.float32)


def test_a_sink_measures_the_mono_audio_at_the_rate_of_the_source(engine, ahead):
    sink, waveform = Meter(), stereo(23.4)  # far more blocks than are read ahead
    with ArraySource(waveform, RATE) as source:
        run_stream(engine, source, [MemorySink(), sink], say=print)
    sink.close()
    assert sink.order[:2] == ["begin", "measure"]
    assert {item.sample_rate for item in sink.measured} == {RATE}
    heard = np.concatenate([item.waveform for item in sink.measured], axis=1)
    np.testing.assert_array_equal(heard, waveform.mean(axis=0, keepdims=True))
    assert len(sink.threads) == 1 + ahead
    levels = sink.summary.levels()
    assert levels is not None
    assert levels.heard_s == pytest.approx(23.4)
    assert levels.laeq == pytest.approx(-26.02, abs=0.02)  # the mean of a channel and silence


def test_a_source_is_asked_for_all_that_people_hear_if_it_is_measured(engine):
    """A microphone is otherwise opened at the model's rate, which has no treble."""
    asked = []

    class Choosing(ArraySource):
        def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
            asked.append(sample_rate)
            return super().blocks(sample_rate)

    for sinks in ([MemorySink()], [Meter()]):
        with Choosing(stereo(2), RATE) as source:
            run_stream(engine, source, sinks, say=print)
    assert asked == [toys.RATE, 48_000]


def test_the_channel_that_is_heard_is_measured(tone_model):
    engine, sink = Engine(Classifier(Model(tone_model)), Settings(channel=1)), Meter()
    with ArraySource(stereo(2), RATE) as source:
        run_stream(engine, source, [sink], say=print)
    levels = sink.summary.levels()
    assert levels is not None
    assert levels.laeq == pytest.approx(-20, abs=0.02)


def test_gaps_are_measured_at_the_rate_of_the_source_and_all_audio_before_an_error(engine, ahead):
    first = Block(0, stereo(1.5), RATE)
    gap = Gap(first.end, 12_345, RATE, "overflow")
    second = Block(gap.end, stereo(0.7), RATE)
    sink = Meter()
    notice = Notice(0, RATE, "hello")
    with pytest.raises(SourceError, match="burnt"):
        run_stream(engine, Scripted(notice, first, gap, second), [sink], say=print)
    sink.close()
    assert [(item.position, item.n_samples) for item in sink.measured] == [
        (0, 72_000), (72_000, 12_345), (84_345, 33_600),
    ]  # fmt: skip
    assert sink.measured[1] == gap
    assert sink.order[0] == "begin"
    assert sink.summary.heard_s == pytest.approx(2.2)


def test_a_simulated_microphone_with_faults_is_measured_to_the_sample(engine, write_wav):
    """What was measured and what was missing is all that passed."""
    path = write_wav(toys.tone(1000, 12), "tone.wav")
    sink = Meter()
    name, faults = parse_name(f"{path}?unplug=3,2&overflow=4,0.3")
    with SimulatedMicrophone(name, speed=0, faults=faults) as source:
        run_stream(engine, source, [sink], say=lambda message: None)
    sink.close()
    position = 0
    for item in sink.measured:
        assert item.position == position
        position = item.end
    statistics = engine.statistics
    heard = sum(item.n_samples for item in sink.measured if isinstance(item, Block))
    assert heard == statistics.delivered_samples
    assert position == statistics.elapsed_samples
    assert sum(isinstance(item, Gap) for item in sink.measured) == statistics.n_gaps > 1
    assert sink.summary.heard_s == pytest.approx(statistics.audio_s)


def test_without_a_sink_that_measures_nothing_is_called_for_it(engine, monkeypatch):
    def refuse(items, on_audio):
        raise AssertionError("audio is told to nobody")

    monkeypatch.setattr(engine_module, "_tell", refuse)
    sink = MemorySink()
    with ArraySource(stereo(2), RATE) as source:
        run_stream(engine, source, [sink], say=print)
    assert sink.results


def test_an_error_of_a_measurement_ends_the_run(engine, ahead):
    class Failing(Meter):
        def measure(self, item: Block | Gap) -> None:
            raise ValueError("no room")

    with ArraySource(stereo(3), RATE) as source, pytest.raises(ValueError, match="no room"):
        run_stream(engine, source, [Failing()], say=print)


def test_nothing_is_measured_after_the_run(engine, ahead):
    """A sink may be closed then, whatever a thread that reads ahead still does."""

    class Full(Meter):
        def write(self, result: Result) -> None:
            raise ValueError("no room")

    sink = Full()
    with ArraySource(stereo(60), RATE) as source, pytest.raises(ValueError, match="no room"):
        run_stream(engine, source, [sink], say=print)
    n_measured = len(sink.measured)
    assert n_measured > 0
    assert sum(item.n_samples for item in sink.measured) < 60 * RATE
    for thread in threading.enumerate():
        if thread.name == "streamclf-prefetch":
            thread.join(5)
    assert len(sink.measured) == n_measured
