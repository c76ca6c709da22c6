"""A simulated microphone with every fault: what is delivered lies where it sounded, the rest is
a gap with its cause, and together they are the time that passed, to the sample."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.simulated.faults import parse_name
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone

RATE = 2000
LENGTH_S = 15.0
N_SAMPLES = round(LENGTH_S * RATE)


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """Each sample tells its own place."""
    import soundfile

    path = tmp_path_factory.mktemp("sounds") / "ramp.wav"
    samples = (np.arange(N_SAMPLES) + 1).astype(np.int16)
    soundfile.write(path, samples, RATE)
    return path


def record(ramp, query, **options):
    path, faults = parse_name(f"{ramp}?{query}")
    with SimulatedMicrophone(path, speed=0, faults=faults, **options) as microphone:
        return list(microphone.blocks(RATE))


def tiles(items):
    """The end, if all audio and gaps lie end to end at one rate."""
    position = 0
    for item in items:
        if not isinstance(item, Notice):
            assert item.position == position
            assert item.end > position
            position = item.end
    return position


def gaps(items):
    return [item for item in items if isinstance(item, Gap)]


def places(items):
    """Of all delivered samples: where they are said to be, and where they are from."""
    blocks = [item for item in items if isinstance(item, Block)]
    said = np.concatenate([block.position + np.arange(block.n_samples) for block in blocks])
    heard = np.concatenate([block.waveform[0] for block in blocks])
    return said, np.round(heard * 32_768).astype(int) - 1


def spells(longest_s):
    at = st.integers(1, 150).map(lambda tenths: tenths / 10)
    length = st.integers(1, round(longest_s * 10)).map(lambda tenths: tenths / 10)
    return st.lists(st.tuples(at, length), max_size=2)


@st.composite
def queries(draw):
    parts = []
    if draw(st.booleans()):
        every = draw(st.integers(5, 60)) / 10
        parts.append(f"overflow={every},{draw(st.integers(1, 9)) / 20}")
    for name, longest_s in [("stall", 4.0), ("unplug", 6.0), ("silence", 3.0)]:
        parts += [f"{name}={at},{length}" for at, length in draw(spells(longest_s))]
    parts.append(f"jitter={draw(st.sampled_from([0, 0, 3, 20]))}")
    parts.append(f"drift={draw(st.sampled_from([0, 0, -100, 200]))}")
    parts.append(f"seed={draw(st.integers(0, 99))}")
    return "&".join(parts)


@settings(max_examples=100, deadline=None)
@given(query=queries())
def test_audio_and_gaps_are_the_time_that_passed_for_any_mix_of_faults(ramp, query):
    items = record(ramp, query)
    end = tiles(items)
    blocks = [item for item in items if isinstance(item, Block)]
    n_delivered = sum(block.n_samples for block in blocks)
    n_missing = sum(gap.n_samples for gap in gaps(items))
    assert n_delivered + n_missing == end
    assert {gap.cause for gap in gaps(items)} <= {"overflow", "stalled", "device lost"}
    # What jitter and drift put into doubt, at each gap, is all that the length may be off by.
    slack = (len(gaps(items)) + 1) * (1 + ("jitter=0" not in query) * 0.02 * RATE) + 10
    if (gaps(items) and gaps(items)[0].position > 0) or not gaps(items):
        assert abs(end - N_SAMPLES) <= slack
    if blocks and "silence" not in query and blocks[0].waveform[0, 0] * 32_768 == 1:
        said, heard = places(items)
        assert np.abs(said - heard).max() <= slack


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("overflow=4,0.25", [(8000, 500), (16_000, 500), (24_000, 500)]),
        ("stall=5,1.5", [(9900, 3100)]),
        ("unplug=12.02,90", [(24_000, 6000)]),
    ],
)
def test_each_fault_is_a_gap_to_the_sample(ramp, query, expected):
    items = record(ramp, query)
    assert tiles(items) == N_SAMPLES
    cause = {"o": "overflow", "u": "device lost", "s": "stalled"}[query[0]]
    found = [(gap.position, gap.n_samples) for gap in gaps(items)]
    assert {gap.cause for gap in gaps(items)} == {cause}
    assert found == expected
    said, heard = places(items)
    np.testing.assert_array_equal(said, heard)


def test_an_unplugged_device_is_found_again_by_the_next_try(ramp):
    """Half a second after it was lost, then one, two, and four seconds later."""
    items = record(ramp, "unplug=5.02,3")
    (gap,) = gaps(items)
    assert (gap.position, gap.cause) == (10_000, "device lost")
    assert gap.end == round((5.02 + 0.5 + 1 + 2) * RATE)
    assert tiles(items) == N_SAMPLES
    said, heard = places(items)
    np.testing.assert_array_equal(said, heard)


@pytest.mark.parametrize("at", [13.1, 14.3, 14.9])
@pytest.mark.parametrize("length", [0.7, 1.9, 3.3])
def test_a_stall_across_the_end_ends(ramp, at, length):
    items = record(ramp, f"stall={at},{length}&drift=200")
    assert abs(tiles(items) - N_SAMPLES) <= 10


def test_a_long_stall_is_a_lost_device(ramp):
    items = record(ramp, "stall=5,4")
    (gap,) = gaps(items)
    assert (gap.position, gap.cause) == (9900, "device lost")
    assert tiles(items) == N_SAMPLES
    messages = [item.message for item in items if isinstance(item, Notice)]
    assert messages[0] == f"microphone sim:{ramp} lost: no audio for 2 s, trying again"
    assert messages[1].startswith(f"microphone sim:{ramp} back after ")


def test_silence_is_audio(ramp):
    items = record(ramp, "silence=2,1")
    assert not gaps(items)
    said, heard = places(items)
    silent = heard == -1
    assert said[silent].tolist() == list(range(4000, 6000))
    np.testing.assert_array_equal(said[~silent], heard[~silent])


def test_another_rate_after_reconnection_counts_on(ramp):
    items = record(ramp, "unplug=5,2,4000")
    rates = [
        rate for rate, _ in itertools.groupby(i.sample_rate for i in items if isinstance(i, Block))
    ]
    assert rates == [RATE, 4000]
    (gap,) = gaps(items)
    after = next(item for item in items if isinstance(item, Block) and item.sample_rate == 4000)
    assert after.position == 2 * gap.end
    said = " ".join(item.message for item in items if isinstance(item, Notice))
    assert "at 4000 Hz instead of 2000 Hz" in said
    last = [item for item in items if isinstance(item, Block)][-1]
    assert math.isclose(last.end / 4000, LENGTH_S, abs_tol=0.01)


def test_a_device_of_another_rate_is_resampled(ramp):
    items = record(ramp, "rate=3000")
    blocks = [item for item in items if isinstance(item, Block)]
    assert {block.sample_rate for block in blocks} == {3000}
    assert abs(tiles(items) / 3000 - LENGTH_S) < 0.01
    assert "refuses 2000 Hz" in next(i.message for i in items if isinstance(i, Notice))


@pytest.mark.parametrize("ppm", [-150, 0, 90])
@pytest.mark.parametrize("query", ["jitter=0", "jitter=15&overflow=30,0.2&unplug=200,4"])
def test_the_drift_of_the_device_is_measured(ramp, ppm, query):
    path, faults = parse_name(f"{ramp}?{query}&drift={ppm}")
    with SimulatedMicrophone(path, speed=0, loop=True, faults=faults) as microphone:
        for item in microphone.blocks(RATE):
            if item.position < 50 * RATE:
                assert microphone.drift_ppm is None
            if item.position > 900 * RATE:
                break
        assert microphone.drift_ppm == pytest.approx(ppm, abs=1 if query == "jitter=0" else 30)


def test_faults_with_a_seed_are_the_same_again(ramp):
    def run(seed):
        items = record(ramp, f"jitter=400&stall=3,1.2&unplug=6,2&seed={seed}")
        return [(gap.position, gap.n_samples) for gap in gaps(items)]

    assert run(1) == run(1) != run(2)


def test_a_slow_reader_finds_what_the_ring_kept(ramp):
    """At real pace time goes on while nobody reads: the ring fills, then drops, and says so."""

    class Hand:
        time = 0.0

        def now(self):
            return self.time

        def wait(self, items, timeout_s):
            self.time += timeout_s
            return items.get_nowait()

    hand = Hand()
    items = []
    with SimulatedMicrophone(ramp, clock=hand) as microphone:
        for item in microphone.blocks(RATE):
            items.append(item)
            if item.position == 2 * RATE:
                hand.time += 12
    (gap,) = gaps(items)
    assert gap.cause == "overload"
    assert tiles(items) == N_SAMPLES
    said, heard = places(items)
    np.testing.assert_array_equal(said, heard)
