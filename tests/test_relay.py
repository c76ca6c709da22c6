"""Changes at a position, and sources one after another on one timeline."""

import queue
from itertools import pairwise

import numpy as np
import pytest
import toys

from streamclf.core.card import Thresholds
from streamclf.core.errors import UsageError
from streamclf.core.records import Average, Block, Change, Gap, Notice, SoundEvent
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource
from streamclf.sources.relay import Relay
from streamclf.sources.simulated.fake_backend import FakeClock


class LiveArray(ArraySource):
    live = True


@pytest.fixture(scope="module")
def classifier(tone_model):
    return Classifier(Model(tone_model, provider="cpu"))


def run_with_change(classifier, waveform, at_s, settings, **first):
    engine = Engine(classifier, Settings(**first))
    results = []
    for result in engine.run(LiveArray(waveform, toys.RATE, block_samples=400)):
        results.append(result)
        if isinstance(result, Average) and result.end >= at_s * toys.RATE:
            at_s = 1e9
            engine.change(settings)
    return results


def test_change_of_hop_takes_effect_at_one_place(classifier):
    waveform = toys.silence(10)
    results = run_with_change(classifier, waveform, 4, Settings(hop_s=0.25))
    (change,) = [r for r in results if isinstance(r, Change)]
    starts = [r.position for r in results if isinstance(r, Average)]
    before = [b - a for a, b in pairwise(starts) if b <= change.position]
    after = [b - a for a, b in pairwise(starts) if a > change.position]
    assert set(before) <= {4000, 2000}
    assert set(after) == {2000}
    assert change.position == pytest.approx(4 * toys.RATE, abs=400)


def test_change_of_average_makes_it_that_of_a_run_with_it_from_the_start(classifier):
    waveform = np.concatenate([toys.silence(4), toys.tone(1000, 6)])
    for kind in ("mean", "exponential"):
        wanted = Settings(average_s=1.0, average_kind=kind)
        changed = run_with_change(classifier, waveform, 2, wanted, average_kind=kind)
        whole = [*Engine(classifier, wanted).run(LiveArray(waveform, toys.RATE))]
        last = [[r for r in rs if isinstance(r, Average)][-1].values for rs in (changed, whole)]
        np.testing.assert_allclose(*last, atol=1e-3)


@pytest.mark.parametrize("kind", ["mean", "exponential"])
def test_averaging_may_be_turned_off_and_on(classifier, kind):
    first = {"average_kind": kind}
    off = run_with_change(classifier, toys.tone(440, 6), 3, Settings(average_s=0), **first)
    averages = [r for r in off if isinstance(r, Average)]
    np.testing.assert_array_equal(averages[-1].values, averages[-1].scores.values)
    on = run_with_change(
        classifier, toys.tone(440, 6), 3, Settings(average_s=2, average_kind=kind),
        average_s=0, **first,
    )  # fmt: skip
    assert isinstance(on[-1], SoundEvent)


def test_change_of_thresholds_ends_and_prevents_events(classifier):
    high = Settings(thresholds=Thresholds(on=0.99, off=0.98, max_gap=0.5))
    results = run_with_change(classifier, toys.tone(1000, 12), 6, high)
    (event,) = [r for r in results if isinstance(r, SoundEvent)]
    assert event.label == "middle"
    assert 5 <= event.offset / toys.RATE <= 7


def test_change_that_does_not_fit_is_refused(classifier):
    engine = Engine(classifier)
    with pytest.raises(UsageError, match="less than one sample"):
        engine.change(Settings(hop_s=1e-5))
    assert engine.settings == Settings()


def test_relay_goes_over_to_another_rate_with_a_gap():
    clock = FakeClock()

    class Slow(LiveArray):
        def blocks(self, sample_rate):
            clock._now += 3.0
            for item in super().blocks(sample_rate):
                clock._now += item.n_samples / item.sample_rate
                yield item

    relay = Relay(Slow(toys.silence(4), 8000, block_samples=800), clock)
    items = []
    for item in relay.blocks(8000):
        items.append(item)
        if item.end == 16_000:
            relay.switch(Slow(np.zeros(16_000), 16_000, block_samples=1600, name="other"))
    gaps = [item for item in items if isinstance(item, Gap)]
    assert [(gap.position, gap.n_samples, gap.sample_rate) for gap in gaps] == [
        (32_000, 48_000, 16_000)
    ]
    assert gaps[0].cause == "device changed"
    assert relay.position == 32_000 + 48_000 + 16_000
    assert relay.name == "other"


def test_relay_is_cut_and_read_on_without_losing_a_sample(classifier):
    waveform = np.concatenate([toys.silence(3), toys.tone(1000, 5)])
    relay = Relay(LiveArray(waveform, toys.RATE, block_samples=400))
    heard = []

    def listen(until_s):
        engine = Engine(classifier)
        for result in engine.run(relay, on_audio=heard.append):
            if isinstance(result, Average) and result.end >= until_s * toys.RATE:
                relay.cut()
            yield result

    first, second = [*listen(4)], [*listen(99)]
    np.testing.assert_array_equal(np.concatenate([b.waveform[0] for b in heard]), waveform)
    positions = [block.position for block in heard]
    assert positions == list(range(0, waveform.size, 400))
    assert min(r.position for r in second if isinstance(r, Average)) == 4 * toys.RATE
    assert max(r.end for r in first if isinstance(r, Average)) == 4 * toys.RATE
    (event,) = [r for r in second if isinstance(r, SoundEvent)]
    assert (event.onset, event.offset) == (4 * toys.RATE, 8 * toys.RATE)


def test_relay_stops_for_good():
    relay = Relay(LiveArray(toys.silence(4), toys.RATE, block_samples=800))
    items = []
    for item in relay.blocks(toys.RATE):
        items.append(item)
        if len(items) == 3:
            relay.stop()
    assert [*relay.blocks(toys.RATE)] == []
    assert [type(item) for item in items] == [Block] * 3
    relay.close()


def test_relay_passes_gaps_and_notices_with_their_place():
    class Telling(LiveArray):
        def blocks(self, sample_rate):
            yield from super().blocks(sample_rate)
            yield Notice(99, toys.RATE, "well")

    relay = Relay(Telling(toys.silence(1), toys.RATE, gaps=[(4000, 800)], block_samples=4000))
    kinds = [(type(item).__name__, item.position) for item in relay.blocks(toys.RATE)]
    assert kinds == [("Block", 0), ("Gap", 4000), ("Block", 4800), ("Notice", 8000)]


@pytest.mark.parametrize(("kind", "n_gaps"), [(ArraySource, 0), (LiveArray, 1)])
def test_only_between_live_sources_is_time_missing(kind, n_gaps):
    clock = FakeClock()
    relay = Relay(kind(toys.silence(1), toys.RATE), clock)
    first = [*relay.blocks(toys.RATE)]
    clock.at(60.0, lambda: None)
    with pytest.raises(queue.Empty):
        clock.wait(queue.SimpleQueue(), 60.0)
    relay.switch(kind(toys.silence(1), toys.RATE))
    items = [*first, *relay.blocks(toys.RATE)]
    assert [isinstance(item, Gap) for item in items].count(True) == n_gaps
    assert relay.position == (2 if n_gaps == 0 else 61) * toys.RATE
