import errno
import time
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.card import Thresholds
from streamclf.core.errors import SourceError, UsageError
from streamclf.core.records import (
    Average,
    Block,
    EventBegan,
    EventOngoing,
    Gap,
    Notice,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource
from streamclf.sources.base import Source

SCENE = np.concatenate(
    [
        toys.silence(4),
        toys.tone(1000, 4),
        toys.silence(5),
        toys.tone(440, 3),
        toys.tone(2500, 3.3),
        toys.silence(3),
    ]
)
"""middle at 4-8 s, low at 13-16 s, high at 16-19.3 s."""


@pytest.fixture(scope="module")
def classifier(tone_model) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu"))


def listen(classifier, source, **settings) -> tuple[list, np.ndarray]:
    """The events as plain values, and the scores of all windows."""
    results = list(Engine(classifier, Settings(**settings)).run(source))
    events = [(e.label, e.onset, e.offset, e.score) for e in results if isinstance(e, SoundEvent)]
    scores = np.array([a.scores.values for a in results if isinstance(a, Average)])
    return events, scores


@pytest.mark.parametrize("average_s", [0, 1, 3])
@pytest.mark.parametrize("kind", ["mean", "exponential"])
def test_engine_finds_sounds_where_they_are(classifier, average_s, kind):
    how = {"average_s": average_s, "average_kind": kind, "thresholds": Thresholds(0.5, 0.4)}
    events, _ = listen(classifier, ArraySource(SCENE, toys.RATE), **how)
    found = [(label, onset / toys.RATE, offset / toys.RATE) for label, onset, offset, _ in events]
    sounds = [f for f in found if f[0] != "quiet"]
    assert [label for label, _, _ in sounds] == ["middle", "low", "high"]
    for (_, onset, offset), (begin, end) in zip(
        sounds, [(4, 8), (13, 16), (16, 19.3)], strict=True
    ):
        assert abs(onset - begin) <= 0.5
        assert abs(offset - end) <= 0.5


@settings(max_examples=15, deadline=None)
@given(
    rate=st.sampled_from([8000, 44_100]),
    sizes=st.lists(st.integers(1, 30_000), min_size=1, max_size=6),
    batch_size=st.integers(1, 40),
    hop_s=st.sampled_from([0.25, 0.5, 0.7]),
)
def test_engine_gives_the_same_for_any_block_and_batch_sizes(
    classifier, rate, sizes, batch_size, hop_s
):
    waveform = np.interp(
        np.arange(round(len(SCENE) / toys.RATE * rate)) / rate,
        np.arange(len(SCENE)) / toys.RATE,
        SCENE,
    ).astype(np.float32)
    whole = ArraySource(waveform, rate, block_samples=len(waveform))
    events, scores = listen(classifier, whole, hop_s=hop_s)
    source = ArraySource(waveform, rate, block_samples=[*sizes, 1000])
    other_events, other_scores = listen(classifier, source, hop_s=hop_s, batch_size=batch_size)
    np.testing.assert_allclose(other_scores, scores, atol=1e-6)
    assert [e[:3] for e in other_events] == [e[:3] for e in events]
    np.testing.assert_allclose([e[3] for e in other_events], [e[3] for e in events], atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30_000), min_size=1, max_size=6),
    batch_size=st.integers(1, 40),
    how=st.fixed_dictionaries({
        "hop_s": st.sampled_from([0.1, 0.5]),
        "average_kind": st.sampled_from(["mean", "exponential"]),
        "ongoing_s": st.sampled_from([None, 0.7]),
        "max_duration_s": st.sampled_from([None, 1.3]),
        "begin": st.sampled_from(["patient", "sure", "eager"]),
    }),
)  # fmt: skip
def test_engine_tells_the_same_lives_for_any_block_and_batch_sizes_and_live(
    classifier, sizes, batch_size, how
):
    def told(source, **more):
        results = Engine(classifier, Settings(**how, **more)).run(source)
        kinds = EventBegan | EventOngoing | SoundEvent
        return [replace(r, score=0.0) for r in results if isinstance(r, kinds)]

    whole = told(ArraySource(SCENE, toys.RATE, block_samples=len(SCENE)))
    begun, ended = (sorted(r.id for r in whole if isinstance(r, kind))
                    for kind in (EventBegan, SoundEvent))  # fmt: skip
    assert begun == ended != []
    cut = ArraySource(SCENE, toys.RATE, block_samples=[*sizes, 1000])
    assert told(cut, batch_size=batch_size) == whole
    assert told(LiveArray(SCENE, toys.RATE, block_samples=[160, 333, 480])) == whole


class LiveArray(ArraySource):
    live = True


class SteadyArray(LiveArray):
    keeps_time = False


def test_engine_gives_the_same_live_and_recorded(classifier):
    recorded = listen(classifier, ArraySource(SCENE, toys.RATE))
    live = listen(classifier, LiveArray(SCENE, toys.RATE, block_samples=[160, 333, 480]))
    assert [e[:3] for e in live[0]] == [e[:3] for e in recorded[0]]
    np.testing.assert_allclose(live[1], recorded[1], atol=1e-6)


def test_a_label_of_which_nothing_is_told_has_no_threshold(classifier):
    never = Settings(thresholds=Thresholds(on=0.5, off=0.3, never=["low"]))
    engine = Engine(classifier, never)
    assert engine.onset_thresholds["low"] == np.inf  # asked for, and never told
    assert engine.onset_threshold("low") is None
    assert engine.onset_threshold("middle") == 0.5
    assert "low" in engine.card.labels


def test_engine_scores_each_live_window_as_soon_as_it_is_there(classifier):
    delivered = []

    class Watched(LiveArray):
        def blocks(self, sample_rate):
            for block in super().blocks(sample_rate):
                delivered.append(block.end)
                yield block

    engine = Engine(classifier)
    for result in engine.run(Watched(SCENE, toys.RATE, block_samples=400)):
        if isinstance(result, Average) and result.scores.n_samples == toys.WINDOW:
            assert delivered[-1] == result.end


def test_engine_reports_gaps_and_ends_events_before_them(classifier):
    loud = toys.tone(1000, 12)
    source = ArraySource(loud, toys.RATE, gaps=[(5 * toys.RATE, 2 * toys.RATE)])
    engine = Engine(classifier)
    results = [r for r in engine.run(source) if not isinstance(r, Average)]
    kinds = [StreamStarted, EventBegan, SoundEvent, Gap, EventBegan, SoundEvent]
    assert [type(r) for r in results] == kinds
    _, _, before, gap, _, after = results
    assert (before.onset, before.offset) == (0, 5 * toys.RATE)
    assert (gap.position, gap.end) == (5 * toys.RATE, 7 * toys.RATE)
    assert (after.onset, after.offset) == (7 * toys.RATE, 12 * toys.RATE)
    counts = engine.statistics
    assert counts.delivered_samples + counts.gap_samples == counts.elapsed_samples == len(loud)
    assert (counts.n_gaps, counts.n_events) == (1, 2)


def test_engine_writes_values_for_a_regression(tmp_path):
    path = toys.write_loudness_meter(tmp_path / "m.onnx")
    engine = Engine(Classifier(Model(path, provider="cpu")), Settings(average_s=0))
    _, *results = engine.run(ArraySource(toys.tone(1000, 3, level=0.5), toys.RATE))
    assert {type(r) for r in results} == {Average}
    np.testing.assert_allclose([r.values[0] for r in results], 0.125, rtol=1e-3)


def test_engine_may_find_several_sounds_at_once(tmp_path):
    card = toys.toy_card(task="multi-label", activation="sigmoid")
    path = toys.write_tone_detector(tmp_path / "m.onnx", card)
    both = toys.tone(440, 5) + toys.tone(2500, 5)
    events, _ = listen(Classifier(Model(path, provider="cpu")), ArraySource(both, toys.RATE))
    assert [e[0] for e in events if e[0] != "quiet"] == ["low", "high"]


class Broken(Source):
    """Delivers a sound, then fails."""

    name = "broken"

    def blocks(self, sample_rate):
        yield Block(0, toys.tone(1000, 4)[None], toys.RATE)
        raise SourceError("it broke")


def test_engine_gives_all_it_found_before_a_source_fails(classifier):
    results = []
    engine = Engine(classifier)
    with pytest.raises(SourceError, match="it broke"):
        results.extend(engine.run(Broken()))
    (event,) = [r for r in results if isinstance(r, SoundEvent)]
    assert (event.label, event.onset, event.offset) == ("middle", 0, 4 * toys.RATE)


def test_a_disk_that_fails_is_the_sources_failure_and_all_before_it_is_kept(classifier):
    class OnABadDisk(ArraySource):
        def blocks(self, sample_rate):
            yield from super().blocks(sample_rate)
            raise OSError(errno.EIO, "Input/output error")

    results = []
    with pytest.raises(SourceError) as caught:
        results.extend(Engine(classifier).run(OnABadDisk(toys.tone(440, 3), toys.RATE, name="a")))
    assert str(caught.value) == (
        "a: cannot be read on: input/output error; what came before is kept"
    )
    assert [r.label for r in results if isinstance(r, SoundEvent)] == ["low"]


def test_engine_stops_as_if_the_stream_had_ended(classifier):
    engine = Engine(classifier)
    results = []
    for result in engine.run(LiveArray(toys.tone(1000, 60), toys.RATE, block_samples=800)):
        results.append(result)
        if isinstance(result, Average) and result.end >= 5 * toys.RATE:
            engine.stop()
    (event,) = [r for r in results if isinstance(r, SoundEvent)]
    assert 5 * toys.RATE <= event.offset <= 6 * toys.RATE


def test_engine_tells_when_live_audio_sounded(classifier):
    """An array comes all at once: it sounded before it came."""
    engine = Engine(classifier)
    before = datetime.now().astimezone()
    list(engine.run(LiveArray(SCENE, toys.RATE, block_samples=8000)))
    after = datetime.now().astimezone()
    first, last = engine.clock.moment(0), engine.clock.moment(SCENE.size)
    assert first is not None
    assert last is not None
    assert before <= last <= after + timedelta(milliseconds=10)
    assert (last - first).total_seconds() == pytest.approx(SCENE.size / toys.RATE)


def test_engine_passes_notices_with_their_place(classifier):
    waveform = SCENE.copy()
    waveform[8000] = np.nan
    results = list(Engine(classifier).run(ArraySource(waveform, toys.RATE, block_samples=4000)))
    notices = [r for r in results if isinstance(r, Notice)]
    assert [n.message for n in notices] == [
        "samples that are no audio (NaN, Inf or above 2^32) from 1.00 s on: replaced by zeros",
        "samples that are no audio (NaN, Inf or above 2^32): 1 replaced by zeros",
    ]
    assert notices[0].position == 8000


def test_engine_takes_one_channel(classifier):
    stereo = np.stack([toys.tone(440, 4), toys.tone(2500, 4)])
    for channel, label in [(1, "low"), (2, "high")]:
        events, _ = listen(classifier, ArraySource(stereo, toys.RATE), channel=channel)
        assert [e[0] for e in events] == [label]


def test_engine_refuses_a_hop_below_a_sample(classifier):
    with pytest.raises(UsageError, match="is less than one sample at 8000 Hz"):
        Engine(classifier, Settings(hop_s=1e-5))


def test_engine_hears_nothing_in_nothing(classifier):
    assert listen(classifier, ArraySource(np.zeros(0, np.float32), toys.RATE))[0] == []


def test_engine_memory_holds_windows_not_the_stream(classifier):
    """Sizes of what the stages keep, watched over a stream 40 windows long."""
    import tracemalloc

    def peak(seconds: int) -> int:
        class Endless(ArraySource):
            def blocks(self, sample_rate):
                for i in range(seconds):
                    yield Block(i * toys.RATE, np.zeros((1, toys.RATE), np.float32), toys.RATE)

        tracemalloc.start()
        for _ in Engine(classifier).run(Endless([0.0], toys.RATE)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(400) < 1.2 * peak(100)


def test_engine_says_when_the_system_clock_is_set(classifier, monkeypatch):
    """Events and positions are those of an undisturbed run."""
    undisturbed = listen(classifier, LiveArray(SCENE, toys.RATE, block_samples=800))[0]
    ahead = [0.0]
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + ahead[0])
    engine = Engine(classifier)
    results = []
    for result in engine.run(SteadyArray(SCENE, toys.RATE, block_samples=800)):
        results.append(result)
        if isinstance(result, Average) and result.end == 6 * toys.RATE:
            ahead[0] = 3600.0
    events = [(e.label, e.onset, e.offset, e.score) for e in results if isinstance(e, SoundEvent)]
    assert [e[:3] for e in events] == [e[:3] for e in undisturbed]
    (notice,) = [r for r in results if isinstance(r, Notice)]
    assert "clock went forward by 1 h 00 min" in notice.message
    before, after = (engine.clock.moment(notice.position - back) for back in (1, 0))
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() == pytest.approx(3600, abs=1)
