"""One timeline through changes of model and microphone: every stage behind a real relay."""

from __future__ import annotations

import csv
import itertools
import threading
import time
from pathlib import Path

import dashboards
import numpy as np
import pytest
import soundfile
import toys

from streamclf.core.errors import SourceError
from streamclf.core.records import Average, Block, Gap, SoundEvent, rescale
from streamclf.core.stats import Statistics
from streamclf.dashboard.history import History
from streamclf.dashboard.listener import Doors, Listener
from streamclf.dashboard.messages import ListeningEnded
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs.runner import run_stream
from streamclf.sinks.base import MemorySink
from streamclf.sinks.clips.clips import ClipSink
from streamclf.sinks.factory import open_sink
from streamclf.sources.array import ArraySource
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.relay import Relay
from streamclf.sources.simulated.fake_backend import FakeBackend, FakeClock


class LiveArray(ArraySource):
    live = True


class Timed(LiveArray):
    """Lets the clock run while it plays, and ``before_s`` before it begins."""

    def __init__(self, clock: FakeClock, before_s: float, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self._clock, self._before_s = clock, before_s

    def blocks(self, sample_rate):
        self._clock._now += self._before_s
        for item in super().blocks(sample_rate):
            self._clock._now += item.n_samples / item.sample_rate
            yield item


class Session:
    """Runs one engine after another over a relay, as the dashboard's listener does."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.audio: list[Block | Gap] = []
        self.sink = MemorySink()
        self.statistics = Statistics()

    def listen(self, classifier: Classifier, until_s: float = 1e9) -> None:
        """Listen until a moment, where the reading is cut, or to the end."""

        is_cut = False

        def cut(average: Average) -> None:
            nonlocal is_cut
            if average.end >= until_s * classifier.card.sample_rate and not is_cut:
                is_cut = True
                self.relay.cut()

        engine = Engine(classifier)
        try:
            run_stream(
                engine, self.relay, [self.sink], say=print, on_average=cut,
                on_audio=self.audio.append,
            )  # fmt: skip
        finally:
            self.statistics.add(engine.statistics)

    def found(self, kind: type) -> list[tuple[str, float, float]]:
        """Gaps, or events other than quiet: what, and from when to when in seconds."""
        found = []
        for stream, item in self.sink.results:
            if isinstance(item, kind):
                ends = (item.position, item.end) if kind is Gap else (item.onset, item.offset)
                what = item.cause if kind is Gap else item.label
                found.append((what, *(stream.seconds(end) for end in ends)))
        return [one for one in found if one[0] != "quiet"]

    def assert_whole(self, elapsed_s: float, within_s: float = 2 / toys.RATE) -> None:
        """Each item begins where the one before ended; what arrived and is missing is all."""
        for before, item in itertools.pairwise(self.audio):
            end = rescale(before.end, before.sample_rate, item.sample_rate)
            assert abs(item.position - end) <= (before.sample_rate != item.sample_rate)
        counts = self.statistics
        assert counts.delivered_samples + counts.gap_samples == counts.elapsed_samples
        assert sum(n for _, _, n, _ in counts.gaps) == counts.gap_samples
        assert counts.elapsed_samples == pytest.approx(
            elapsed_s * counts.sample_rate, abs=within_s * counts.sample_rate
        )
        end_s = self.audio[-1].end / self.audio[-1].sample_rate
        assert end_s == pytest.approx(elapsed_s, abs=within_s)


@pytest.fixture(scope="module")
def classifier(tone_model: Path) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu"))


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A model that hears 16,000 Hz: it knows the tones an octave higher."""
    card = toys.toy_card(sample_rate=2 * toys.RATE, name="doubled")
    path = toys.write_tone_detector(tmp_path_factory.mktemp("models") / "doubled.onnx", card)
    return Classifier(Model(path, provider="cpu"))


SOUND = np.concatenate([toys.silence(8), toys.tone(1000, 4), toys.silence(6)])
LOST = (6 * toys.RATE, toys.RATE // 2)


def test_an_overflow_behind_a_cut_is_as_long_as_it_is(classifier):
    session = Session(Relay(LiveArray(SOUND, toys.RATE, block_samples=400, gaps=[LOST])))
    session.listen(classifier, until_s=4)
    session.listen(classifier)
    assert session.found(Gap) == [("left out", 6.0, 6.5)]
    assert session.statistics.gap_samples == LOST[1]
    session.assert_whole(18)
    assert session.statistics.as_json()["gaps"] == [
        {"cause": "left out", "position": 6 * toys.RATE, "n_samples": LOST[1]}
    ]


@pytest.mark.parametrize("rate", [toys.RATE, 11_025, 44_100])
def test_what_comes_behind_a_cut_lies_where_a_recording_of_it_has_it(classifier, rate):
    """Live, cut thrice, is what a file with the same losses gives."""
    sound = np.concatenate([toys.silence(8, rate), toys.tone(1000, 4, rate), toys.silence(6, rate)])
    lost = [(6 * rate, rate // 2), (14 * rate, rate // 4)]
    cut = Session(Relay(LiveArray(sound, rate, block_samples=rate // 20, gaps=lost)))
    for until_s in (2, 3.5, 5, 1e9):
        cut.listen(classifier, until_s)
    whole = Session(Relay(ArraySource(sound, rate, gaps=lost)))
    whole.listen(classifier)
    assert cut.found(Gap) == whole.found(Gap)
    assert cut.found(SoundEvent) == whole.found(SoundEvent) != []
    assert cut.statistics.elapsed_samples == whole.statistics.elapsed_samples
    cut.assert_whole(18)


def test_a_model_of_another_rate_goes_on_at_the_same_moment(classifier, doubled):
    sound = np.concatenate([toys.silence(8), toys.tone(2000, 4), toys.silence(6)])
    session = Session(Relay(LiveArray(sound, toys.RATE, block_samples=400, gaps=[LOST])))
    session.listen(classifier, until_s=4)
    session.listen(doubled, until_s=13)
    session.listen(classifier)
    assert session.found(Gap) == [("left out", 6.0, 6.5)]
    ((label, onset, offset),) = session.found(SoundEvent)
    assert label == "middle"
    assert (onset, offset) == pytest.approx((8, 12), abs=0.3)
    session.assert_whole(18)
    # In one rate, that of the first model.
    assert session.statistics.sample_rate == toys.RATE
    assert [(p, n) for _, p, n, _ in session.statistics.gaps] == [LOST]


def test_three_changes_in_a_row_keep_time(classifier, doubled):
    """Model, microphone at another rate, model: as long as the clock says, nothing twice."""
    clock = FakeClock()
    first = Timed(clock, 0.0, SOUND, toys.RATE, block_samples=400, gaps=[(2400, 800)])
    relay = Relay(first, clock)
    session = Session(relay)
    session.listen(classifier, until_s=3)
    second_sound = np.concatenate([toys.silence(4, 44_100), toys.tone(1000, 4, 44_100)])
    second = Timed(clock, 2.0, second_sound, 44_100, block_samples=4410, name="second")
    relay.switch(second)
    relay.cut()
    session.listen(doubled)  # the cut holds, though nobody was reading when it was made
    assert session.statistics.elapsed_samples == pytest.approx(3.4 * toys.RATE, abs=800)
    session.listen(doubled, until_s=6)
    session.listen(classifier)
    ((_, begin, end),) = [gap for gap in session.found(Gap) if gap[0] == "device changed"]
    assert end - begin == pytest.approx(2.0, abs=0.06)
    session.assert_whole(clock.now())
    (event,) = [e for e in session.found(SoundEvent) if e[0] == "middle"]
    assert event[1:] == pytest.approx((end + 4, end + 8), abs=0.4)


def test_another_microphone_after_a_loss_tells_the_time_between_once(classifier):
    """The lost one is waited for until the user takes another, which begins later."""
    audio = FakeBackend()
    clock = audio.clock
    relay = Relay(audio.microphone(), clock)
    session = Session(relay)
    clock.at(4.0, audio.unplug)
    other = FakeBackend(devices=[InputDevice(0, "other", "Fake", 1, toys.RATE, is_default=True)])
    other.clock = clock
    other.streams = audio.streams

    def change() -> None:
        relay.switch(other.microphone())

    clock.at(20.0, change)
    clock.at(30.0, relay.stop)
    session.listen(classifier)
    session.assert_whole(30.0, within_s=0.11)  # what is in the ring at the end is left there
    assert session.statistics.gap_samples == pytest.approx(16 * toys.RATE, abs=0.3 * toys.RATE)
    assert {cause for cause, *_ in session.found(Gap)} <= {"device lost", "device changed"}


def test_a_source_that_fails_is_followed_by_another(classifier):
    class Failing(LiveArray):
        def blocks(self, sample_rate):
            yield from super().blocks(sample_rate)
            raise SourceError("it is gone")

    clock = FakeClock()
    relay = Relay(Failing(toys.silence(3), toys.RATE, block_samples=400), clock)
    session = Session(relay)
    with pytest.raises(SourceError, match="it is gone"):
        session.listen(classifier)
    relay.switch(Timed(clock, 62.24, toys.tone(440, 4), toys.RATE, block_samples=400))
    session.listen(classifier)
    assert session.found(Gap) == [("device changed", 3.0, pytest.approx(65.24, abs=0.06))]
    ((label, onset, offset),) = session.found(SoundEvent)
    assert (label, offset - onset) == ("low", pytest.approx(4.0))
    session.assert_whole(3 + 62.24 + 4)


# The dashboard's listener, with what the command line may ask of it.


class Gated(dashboards.Script):
    """Waits at four seconds until it is let go on."""

    def __init__(self, *steps) -> None:
        super().__init__(*steps)
        self.gate = threading.Event()

    def blocks(self, sample_rate):
        for item in super().blocks(sample_rate):
            if item.position >= 4 * toys.RATE:
                self.gate.wait(60)
            yield item


def test_outputs_clips_stats_and_duration_are_true_behind_a_change_of_model(
    tmp_path, classifier, doubled
):
    source = Gated(toys.silence(6), 0.5, toys.silence(1.5), toys.tone(2000, 4), toys.silence(20))
    models = {"tones": classifier, "doubled": doubled}
    sinks = [open_sink(tmp_path / "events.csv"), ClipSink(tmp_path / "clips")]
    ended = threading.Event()

    def open_model(name, settings):
        return Engine(models[name], settings), models[name].model

    def post(message) -> None:
        if isinstance(message, ListeningEnded):
            ended.set()

    doors = Doors(open_model, lambda name: source, list, list, sinks, duration_s=15.0)
    listener = Listener(doors, *open_model("tones", None), source, post)
    listener.start()
    while listener.history.end_s < 3.9:
        time.sleep(0.01)
    listener.use_model("doubled")
    source.gate.set()
    assert ended.wait(60)
    listener.stop()
    for sink in sinks:
        sink.close()

    with (tmp_path / "events.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != "quiet"]
    (gap,) = [row for row in rows if row["type"] == "gap"]
    assert (float(gap["onset"]), float(gap["offset"])) == (6, 6.5)
    (event,) = [row for row in rows if row["type"] == "event"]
    assert event["label"] == "middle"
    assert (float(event["onset"]), float(event["offset"])) == pytest.approx((8, 12), abs=0.3)
    (clip,) = (tmp_path / "clips" / "middle").rglob("*.flac")
    heard, rate = soundfile.read(clip)
    assert (rate, heard.size / rate) == (16_000, pytest.approx(5, abs=0.6))
    assert np.abs(heard[rate : 4 * rate]).max() == pytest.approx(0.3, abs=0.01)
    stats = listener.statistics.as_json()
    assert stats["delivered_samples"] + stats["gap_samples"] == stats["elapsed_samples"]
    assert stats["sample_rate"] == toys.RATE
    assert stats["elapsed_samples"] / toys.RATE == pytest.approx(15, abs=0.6)
    assert stats["gaps"] == [{"cause": "overflow", "position": LOST[0], "n_samples": LOST[1]}]
    assert stats["events"] == len([r for r in listener.history.results if hasattr(r[1], "label")])


def test_a_clip_saved_behind_a_change_of_model_has_one_rate(tmp_path, classifier, doubled):
    history = History()
    for rate, level in ((8000, 0.1), (16_000, 0.3)):
        for second in range(5):
            position = (second + 5 * (rate > 8000)) * rate
            block = Block(position, np.full((1, rate), level, np.float32), rate)
            history.take_audio(block, float(position / rate + 1))
    from_s, waveform, rate = history.audio(0.0, 10.0)
    assert (from_s, rate, waveform.size) == (5.0, 16_000, 5 * 16_000)
    assert waveform.min() == pytest.approx(0.3, abs=1e-4)  # kept in 16 bits
