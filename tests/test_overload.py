"""A network slower than the audio, in pretended time: the hop widens, narrows, and at last audio
is skipped as a gap; nothing is lost without a word."""

from __future__ import annotations

import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.errors import SourceError
from streamclf.core.records import Average, Block, Change, Gap, Notice
from streamclf.core.settings import Settings
from streamclf.pipeline.engine import Engine
from streamclf.sources.base import Source

RATE = toys.RATE
BLOCK_S = 0.1


class Hand:
    """A clock that is moved by those who take time."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time


class SlowScorer:
    """Takes its time; ``takes_s`` may depend on the moment."""

    def __init__(self, hand: Hand, takes_s) -> None:
        self.card = toys.toy_card()
        self._hand = hand
        self._takes_s = takes_s if callable(takes_s) else lambda time: takes_s

    def score(self, waveforms: np.ndarray) -> np.ndarray:
        for _ in waveforms:
            self._hand.time += self._takes_s(self._hand.time - 100.0)
        return np.tile(np.float32([1, 0, 0, 0]), (len(waveforms), 1))


class PacedSource(Source):
    """Audio that comes at its pace, and waits (in pretended time) where it is not read."""

    live = True
    name = "paced"

    def __init__(self, hand: Hand, length_s: float, pace: float | None = 1.0, fails=False) -> None:
        self._hand = hand
        self._n_blocks = round(length_s / BLOCK_S)
        self._pace = pace
        self._fails = fails
        self.latest_s = 0.0

    @property
    def pace(self) -> float | None:
        return self._pace

    def blocks(self, sample_rate):
        size = round(BLOCK_S * RATE)
        for number in range(self._n_blocks):
            due = 100.0 + (number + 1) * BLOCK_S / (self._pace or np.inf)
            self.latest_s = max(self.latest_s, self._hand.time - due)
            self._hand.time = max(self._hand.time, due)
            yield Block(number * size, np.zeros((1, size), np.float32), RATE)
        if self._fails:
            raise SourceError("it broke")


def listen(takes_s, length_s=120.0, pace=1.0, **options):
    hand = Hand()
    source = PacedSource(hand, length_s, pace)
    engine = Engine(SlowScorer(hand, takes_s), Settings(**options), now=hand.now)
    return engine, source, list(engine.run(source))


def hops(results):
    return [result.hop / RATE for result in results if isinstance(result, Change)]


def assert_accounted(engine, results, length_s):
    counts = engine.statistics
    gaps = [result for result in results if isinstance(result, Gap)]
    assert counts.elapsed_samples == round(length_s * RATE)
    assert counts.delivered_samples + counts.gap_samples == counts.elapsed_samples
    assert sum(gap.n_samples for gap in gaps) == counts.gap_samples
    assert [(g.cause, g.position, g.n_samples, "") for g in gaps] == list(counts.gaps)
    assert counts.n_windows == sum(isinstance(result, Average) for result in results)


def test_overload_leaves_alone_what_keeps_up():
    engine, _, results = listen(0.4)
    assert not [r for r in results if isinstance(r, Change | Notice | Gap)]
    assert engine.overload.reason == ""
    assert engine.statistics.n_hop_changes == 0


@pytest.mark.parametrize(
    ("takes_s", "expected"), [(0.6, [1.0]), (0.9, [1.0]), (1.3, [1.0, 1.5]), (1.45, [1.0, 1.5])]
)
def test_overload_widens_the_hop_in_steps(takes_s, expected):
    engine, source, results = listen(takes_s)
    assert hops(results) == expected
    assert not [r for r in results if isinstance(r, Gap)]  # nothing was lost
    assert_accounted(engine, results, 120.0)
    assert source.latest_s < 8  # a ring holds ten seconds
    said = [r.message for r in results if isinstance(r, Notice)]
    assert said[0].startswith("hop 1 s instead of 0.5 s: a second of audio takes ")
    assert said[0].endswith(" s wait")
    assert engine.overload.reason
    assert engine.overload.hop_s == expected[-1]
    assert [hop.hop_s for hop in engine.statistics.hops] == expected
    assert engine.statistics.n_hop_changes == len(expected)


def test_overload_narrows_the_hop_when_there_is_room_again():
    engine, _, results = listen(lambda time: 1.2 if time < 40 else 0.1, 120.0)
    assert hops(results) == [1.0, 1.5, 1.0, 0.5]
    assert engine.overload.reason == ""
    said = [r.message for r in results if isinstance(r, Notice)]
    assert said[-1].startswith("hop 0.5 s instead of 1 s: there is room again")
    assert_accounted(engine, results, 120.0)


def test_overload_that_comes_back_is_given_more_time():
    """Just too slow at the narrow hop, in bursts: the hop shall not go up and down for ever."""
    engine, _, results = listen(lambda time: 0.65 if time % 30 < 15 else 0.1, 1200.0)
    changes = [r.position / RATE for r in results if isinstance(r, Change)]
    first, last = [c for c in changes if c < 400], [c for c in changes if c >= 800]
    assert len(last) < len(first)
    assert_accounted(engine, results, 1200.0)


def test_overload_skips_audio_only_past_the_widest_hop_and_as_gaps():
    engine, source, results = listen(3.0)
    assert hops(results) == [1.0, 1.5]
    kinds = [type(r) for r in results if isinstance(r, Change | Gap)]
    assert kinds[:2] == [Change, Change]
    gaps = [r for r in results if isinstance(r, Gap)]
    assert gaps
    assert {gap.cause for gap in gaps} == {"overload"}
    assert_accounted(engine, results, 120.0)
    missing_s = engine.statistics.gap_samples / RATE
    assert engine.statistics.n_skipped == pytest.approx(missing_s / 1.5, abs=len(gaps))
    said = [r.message for r in results if isinstance(r, Notice)]
    assert any("s of audio skipped: a second of audio takes" in message for message in said)
    assert source.latest_s < 10


def test_overload_with_a_fixed_hop_skips_instead_of_widening():
    engine, source, results = listen(1.0, fixed_hop=True)
    assert hops(results) == []
    gaps = [r for r in results if isinstance(r, Gap)]
    assert gaps
    assert gaps[0].position > 6 * RATE
    assert engine.statistics.n_skipped > 0
    assert_accounted(engine, results, 120.0)
    assert source.latest_s < 10


def test_overload_starts_from_the_hop_asked_for():
    _, _, results = listen(0.3, hop_s=0.25)
    assert hops(results) == [0.5]
    _, _, results = listen(1.2, hop_s=0.75)
    assert hops(results) == [1.0, 1.5]


def test_overload_goes_no_wider_than_the_window():
    _, _, results = listen(1.2, hop_s=1.2)
    assert hops(results) == []
    hand = Hand()
    scorer = SlowScorer(hand, 2.0)
    scorer.card = toys.toy_card(window_samples=RATE)
    results = list(Engine(scorer, now=hand.now).run(PacedSource(hand, 60)))
    assert hops(results) == [1.0]


def test_overload_does_nothing_where_the_source_waits():
    engine, _, results = listen(5.0, 20.0, pace=None)
    assert not [r for r in results if isinstance(r, Change | Gap | Notice)]
    assert engine.statistics.n_hop_changes == 0


def test_overload_counts_at_the_pace_of_the_source():
    _, _, results = listen(0.15, pace=4.0)
    assert hops(results) == [1.0]


def test_one_long_pause_widens_once_and_loses_nothing():
    """A process that was halted catches up by itself."""
    paused = []

    def takes(time):
        if time > 20 and not paused:
            paused.append(time)
            return 9.0
        return 0.05

    _, _, results = listen(takes, 60.0)
    assert hops(results) == [1.0, 0.5]
    assert not [r for r in results if isinstance(r, Gap)]


def test_a_hop_chosen_meanwhile_begins_anew():
    hand = Hand()
    engine = Engine(SlowScorer(hand, 0.7), Settings(), now=hand.now)
    results = []
    for result in engine.run(PacedSource(hand, 120)):
        results.append(result)
        if isinstance(result, Average) and result.end > 60 * RATE and engine.settings.hop_s == 0.5:
            engine.change(Settings(hop_s=0.8))
    assert hops(results) == [1.0, 0.8]
    assert engine.overload.reason == ""


def test_a_second_run_begins_with_the_hop_asked_for():
    hand = Hand()
    engine = Engine(SlowScorer(hand, lambda time: 0.7 if time < 60 else 0.1), now=hand.now)
    list(engine.run(PacedSource(hand, 60)))
    assert engine.overload.hop_s == 1.0
    hand.time = 200.0
    source = PacedSource(hand, 20)
    results = list(engine.run(source))
    positions = [r.position for r in results if isinstance(r, Average)]
    assert set(np.diff(positions)[:-1]) == {RATE // 2}


def test_what_was_skipped_is_said_also_when_the_source_fails():
    hand = Hand()
    engine = Engine(SlowScorer(hand, 30.0), Settings(fixed_hop=True), now=hand.now)
    results = []
    with pytest.raises(SourceError, match="it broke"):
        results.extend(engine.run(PacedSource(hand, 20.0, fails=True)))
    assert_accounted(engine, results, 20.0)
    assert engine.statistics.gap_samples > 0


@settings(max_examples=60, deadline=None)
@given(
    takes=st.lists(st.floats(0.0, 4.0), min_size=1, max_size=12),
    hop_s=st.sampled_from([0.25, 0.5, 0.8]),
    fixed=st.booleans(),
    pace=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_overload_never_loses_audio_without_a_gap(takes, hop_s, fixed, pace):
    slow = lambda time: takes[int(time / 10) % len(takes)]  # noqa: E731
    engine, _, results = listen(slow, 60.0, pace, hop_s=hop_s, fixed_hop=fixed)
    assert_accounted(engine, results, 60.0)
    allowed = {hop_s} if fixed else {hop_s, 0.5, 1.0, 1.5}
    assert set(hops(results)) <= allowed
    heard = sorted((r.position, r.end) for r in results if isinstance(r, Average))
    # What no window heard lies in a gap.
    missing = [(g.position, g.end) for g in results if isinstance(g, Gap)]
    end = 0
    for first, last in sorted(heard + missing):
        assert first <= end
        end = max(end, last)
    assert end == 60 * RATE
