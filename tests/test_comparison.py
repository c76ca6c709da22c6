"""What verify compares by: blocks of any size, made sounds, and differences."""

from dataclasses import replace

import numpy as np
import pytest
import toys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamclf.checks.comparison import compare, difference_of
from streamclf.checks.synthetic_sounds import write_sounds
from streamclf.core.records import Average, EventBegan, EventOngoing, Gap, Scores, SoundEvent
from streamclf.sources.recording.recording import Recording
from streamclf.sources.simulated.random_blocks import RandomBlocks


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_random_blocks_hold_the_recordings_samples(scenes, seed):
    source = RandomBlocks(scenes, seed)
    blocks = list(source.blocks(8000))
    with Recording(scenes) as recording:
        whole = np.concatenate([block.waveform for block in recording.blocks(8000)], axis=1)
    np.testing.assert_array_equal(np.concatenate([b.waveform for b in blocks], axis=1), whole)
    assert [b.position for b in blocks] == list(np.cumsum([0, *(b.n_samples for b in blocks)])[:-1])
    sizes = [b.n_samples for b in blocks]
    assert source.sizes == (len(sizes), min(sizes), max(sizes))
    assert len(set(sizes)) > 5
    source.close()


def test_random_blocks_are_the_same_for_a_seed(scenes):
    def cut(seed):
        with RandomBlocks(scenes, seed) as source:
            return [block.n_samples for block in source.blocks(8000)]

    assert cut(5) == cut(5) != cut(6)


def test_made_sounds_come_from_their_seed(tmp_path):
    def made(name, seed):
        write_sounds(tmp_path / name, 12.5, seed)
        return (tmp_path / name).read_bytes()

    assert made("a.wav", 1) == made("b.wav", 1) != made("c.wav", 2)
    with Recording(tmp_path / "a.wav") as recording:
        assert recording.duration_s == pytest.approx(12.5)


def windows(*values, start=0):
    return [
        Average(Scores(start + 10 * k, 10, np.array(v, np.float32)), np.array(v, np.float32))
        for k, v in enumerate(values)
    ]


def test_comparison_sees_every_kind_of_difference():
    card = toys.toy_card()
    same = [
        *windows([0.5, 0.1], [0.2, 0.3]),
        EventBegan("low", 0, 0.4, 20),
        SoundEvent("low", 0, 8000, 0.5),
        Gap(20, 5, 8000, "x"),
    ]
    found = compare(same, same, card)
    assert (found.n_windows, found.n_events, found.difference, found.fault) == (2, 1, 0.0, "")
    for other, words in [
        (same[1:], "a window 0.00-0.00 s where a window"),
        (same[:-1], "nothing where a gap 0.00-0.00 s was expected"),
        ([*same, same[3]], "an event low 0.00-1.00 s where nothing was expected"),
        ([*same[:3], SoundEvent("low", 0, 7999, 0.5), same[4]], "an event low"),
        ([*same[:4], Gap(20, 5, 8000, "y")], "a gap"),
        ([*same[:2], *same[3:]], "an event low 0.00-1.00 s where the begin of low at 0.00 s"),
        (
            [*same[:2], replace(same[2], position=21), *same[3:]],
            "the begin of low at 0.00 s, known",
        ),
    ]:
        found = compare(same, other, card)
        assert words in found.fault
        assert not found.within(1)
    for odd, words in [
        ([same[3]], "an event low 0.00-1.00 s that had not begun"),
        ([same[2], same[2]], "the begin of low at 0.00 s, known at 0.00 s for the second time"),
        ([same[2], same[3], same[2]], "for the second time"),
        ([same[2]], "the event low-0 began and never ended"),
        ([EventOngoing("low", 0, 0.4, 20)], "low from 0.00 s on going on that had not begun"),
    ]:
        assert words in compare(odd, odd, card).fault
    nudged = [*windows([0.5, 0.1], [0.2, 0.3 + 1e-3]), *same[2:]]
    found = compare(same, nudged, card)
    assert found.difference == pytest.approx(1e-3, rel=1e-3)
    assert found.within(2e-3)
    assert not found.within(1e-4)


def test_differences_are_a_part_of_large_values_and_infinite_for_what_is_no_number():
    one = np.array([100.0, 0.5])
    assert difference_of(one, np.array([101.0, 0.5])) == pytest.approx(0.01)
    assert difference_of(one, np.array([np.nan, 0.5])) == np.inf
    assert difference_of(one, np.array([100.0])) == np.inf
