"""Sound levels against the figures of IEC 61672-1, and that blocks and gaps change none of them."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.core.records import Block, Gap
from streamclf.pipeline.a_weighting import MAX_SECOND, a_weight_db, a_weighting
from streamclf.pipeline.levels import (
    SILENCE_DB,
    LevelMeter,
    LevelPiece,
    Levels,
    LevelSummary,
    level_db,
)

A_WEIGHTS_DB = {
    10: -70.4, 20: -50.5, 31.5: -39.4, 40: -34.6, 63: -26.2, 80: -22.5, 125: -16.1, 250: -8.6,
    500: -3.2, 1000: 0.0, 2000: 1.2, 2500: 1.3, 4000: 1.0, 6300: -0.1, 8000: -1.1, 10_000: -2.5,
    12_500: -4.3, 16_000: -6.6, 20_000: -9.3,
}  # fmt: skip
"""IEC 61672-1, table 3: nominal frequencies in Hz, for which 31.5 means 10^1.5."""
BURSTS_DB = {1000: 0.0, 500: -0.1, 200: -1.0, 100: -2.6, 50: -4.8, 20: -8.3, 10: -11.1, 5: -14.1}
"""IEC 61672-1, table 4: highest F-weighted level of a 4 kHz burst of so many ms, re the tone's."""
RATES = [8000, 16_000, 44_100, 48_000, 96_000]


def exact_frequency(nominal_hz: float) -> float:
    """The exact frequency of a nominal one, in tenths of a decade."""
    return 10 ** (round(10 * np.log10(nominal_hz)) / 10)


def sine(frequency_hz: float, rate: int, seconds: float = 4.0, level: float = 0.0) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return np.float32(10 ** (level / 20) * np.sin(2 * np.pi * frequency_hz * times))


def noise(n_samples: int, slope: float = 0.0, rate: int = 48_000, lowest_hz: float = 20.0):
    """Noise of RMS 0.1, and its spectrum's power at each frequency."""
    random = np.random.default_rng(n_samples)
    frequencies = np.fft.rfftfreq(n_samples, 1 / rate)
    power = np.where(frequencies >= lowest_hz, np.maximum(frequencies, 1.0) ** -slope, 0.0)
    spectrum = np.sqrt(power) * np.exp(2j * np.pi * random.uniform(size=power.size))
    waveform = np.fft.irfft(spectrum, n_samples)
    return (0.1 * waveform / waveform.std()).astype(np.float32), frequencies, power


def blocks(waveform: np.ndarray, rate: int, sizes=(4800,), position: int = 0) -> list[Block]:
    items: list[Block] = []
    begin = 0
    while begin < waveform.size:
        size = sizes[len(items) % len(sizes)]
        items.append(Block(position + begin, waveform[np.newaxis, begin : begin + size], rate))
        begin += size
    return items


def measure(items) -> list[LevelPiece]:
    meter = LevelMeter()
    return [piece for item in items for piece in meter.add(item)] + meter.end()


def levels_of(pieces) -> Levels:
    summary = LevelSummary()
    for piece in pieces:
        summary.add(piece)
    levels = summary.levels()
    assert levels is not None
    return levels


def levels(waveform: np.ndarray, rate: int) -> Levels:
    return levels_of(measure(blocks(waveform, rate)))


def fields(pieces) -> list[tuple]:
    return [
        (p.position, p.n_samples, p.sample_rate, p.a_energy, p.z_energy, p.f_energy_max,
         *p.f_energies)
        for p in pieces
    ]  # fmt: skip


@pytest.mark.parametrize("rate", RATES)
def test_tones_have_the_weights_of_the_standard(rate):
    tested = [each for each in A_WEIGHTS_DB if 20 <= each < rate / 2]
    assert len(tested) > 8
    for nominal in tested:
        measured = levels(sine(exact_frequency(nominal), rate), rate)
        assert measured.laeq == pytest.approx(A_WEIGHTS_DB[nominal], abs=0.1), nominal
        assert measured.zeq == pytest.approx(0.0, abs=0.02), nominal
        # Time weighting F follows the squares of low tones, by 0.3 dB at 20 Hz.
        assert measured.la50 == pytest.approx(measured.laeq, abs=2 / nominal + 0.1), nominal


@pytest.mark.parametrize("rate", [*RATES, 11_025, 22_050, 192_000])
def test_the_filter_follows_the_formula_up_to_half_of_the_sample_rate(rate):
    n_points = 2**19
    response = np.abs(np.fft.rfft(a_weighting(rate).impulse_response, n_points))
    frequencies = np.fft.rfftfreq(n_points, 1 / rate)
    heard = frequencies >= 20
    error = 20 * np.log10(response[heard]) - a_weight_db(frequencies[heard])
    assert np.abs(error).max() < 0.01


def test_the_formula_is_the_table_of_the_standard():
    for nominal, weight in A_WEIGHTS_DB.items():
        assert a_weight_db(exact_frequency(nominal)) == pytest.approx(weight, abs=0.06), nominal


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0], ids=["white", "pink", "brown"])
def test_noise_has_the_level_of_its_weighted_spectrum(rate, slope):
    waveform, frequencies, power = noise(30 * rate, slope, rate)
    weights = np.zeros_like(power)
    weights[1:] = 10 ** (a_weight_db(frequencies[1:]) / 10)
    expected = -17.0 + 10 * np.log10((power * weights).sum() / power.sum())  # RMS 0.1: -17 dBFS
    measured = levels(waveform, rate)
    assert measured.laeq == pytest.approx(expected, abs=0.05)
    assert measured.zeq == pytest.approx(-17.0, abs=0.05)
    assert measured.la90 < measured.la50 < measured.la10 < measured.lamax
    assert measured.la10 - measured.la90 < 5


@pytest.mark.parametrize("milliseconds", BURSTS_DB)
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_bursts_reach_what_time_weighting_f_says(rate, milliseconds):
    tone = sine(4000, rate, 5.0, level=-10)
    steady = levels(tone, rate).laeq
    n_burst = round(milliseconds * rate / 1000)
    # At no special place within a second: the whole burst may lie across two pieces.
    begin = round(1.97 * rate)
    burst = np.zeros_like(tone)
    burst[begin : begin + n_burst] = tone[:n_burst]
    highest = levels(burst, rate).lamax
    assert highest - steady == pytest.approx(BURSTS_DB[milliseconds], abs=0.1)


def test_time_weighting_is_the_recursion_that_defines_it():
    """Sample by sample, over pieces and up to a gap in the middle of a second."""
    rate = 8000
    waveform, _, _ = noise(round(2.6 * rate), 0.0, rate)
    waveform[rate : rate + 900] *= 9
    continued = np.pad(waveform, (rate, 0), mode="reflect", reflect_type="odd")
    filtered = np.convolve(continued, a_weighting(rate).impulse_response)[rate:][: waveform.size]
    decay, energy, course = np.exp(-1 / (0.125 * rate)), 0.0, []
    for square in filtered**2:
        energy = decay * energy + (1 - decay) * square
        course.append(energy)
    course = np.array(course)
    pieces = measure(blocks(waveform, rate))
    assert [piece.n_samples for piece in pieces] == [8000, 8000, 4800]
    marks = np.arange(1000, waveform.size + 1, 1000)
    expected = course[marks - 1] / -np.expm1(-marks / 1000)
    np.testing.assert_allclose(np.concatenate([p.f_energies for p in pieces]), expected, rtol=1e-9)
    for piece in pieces[1:]:
        course_max = course[piece.position : piece.end].max()
        assert course_max * 10**-0.0035 <= piece.f_energy_max <= course_max * (1 + 1e-9)
        assert piece.a_energy == pytest.approx((filtered[piece.position : piece.end] ** 2).mean())


def test_percentiles_are_levels_exceeded_for_a_part_of_the_time():
    """Loud for 20 s of 100, middle for 40, quiet for 40: minutes of a made day."""
    rate = 8000
    parts = [(20, -20), (40, -40), (40, -60)]
    tone = np.concatenate([sine(1000, rate, seconds, level) for seconds, level in parts])
    measured = levels(tone, rate)
    assert measured.la10 == pytest.approx(-20, abs=0.05)
    assert measured.la50 == pytest.approx(-40, abs=0.05)
    assert measured.la90 == pytest.approx(-60, abs=0.05)
    energy = sum(seconds * 10 ** (level / 10) for seconds, level in parts) / 100
    assert measured.laeq == pytest.approx(10 * np.log10(energy), abs=0.01)
    assert measured.lamax == pytest.approx(-20, abs=0.05)


def test_after_a_step_the_level_falls_by_its_time_constant():
    """34.7 dB/s (IEC 61672-1, 5.8.2), down to what follows."""
    rate = 48_000
    pieces = measure(
        blocks(np.concatenate([sine(1000, rate, 2, 0), sine(1000, rate, 4, -60)]), rate)
    )
    course = [level_db(energy) for piece in pieces for energy in piece.f_energies]
    assert course[15] == pytest.approx(0, abs=0.02)
    fall = np.diff(course[15:24])
    assert fall == pytest.approx(-34.74 / 8, abs=0.05)
    assert course[-1] == pytest.approx(-60, abs=0.05)


def test_silence_has_a_lowest_level_that_json_holds():
    measured = levels(np.zeros(90_000, np.float32), 48_000)
    assert measured.heard_s == 90_000 / 48_000
    for value in (measured.laeq, measured.lamax, measured.la10, measured.la90, measured.zeq):
        assert value == SILENCE_DB
    json.dumps([measured.laeq, measured.la50], allow_nan=False)
    quietest = levels(sine(1000, 48_000) * np.float32(2**-23), 48_000)
    assert quietest.laeq > SILENCE_DB + 10


def test_silence_after_sound_is_silence():
    """The sound fades by its time constant, and its last trace is forgotten."""
    rate = 8000
    pieces = measure(
        blocks(np.concatenate([sine(1000, rate), np.zeros(20 * rate, np.float32)]), rate)
    )
    assert level_db(pieces[-1].f_energy_max) == SILENCE_DB
    assert pieces[-1].f_energies.max() == 0.0


def test_nothing_heard_has_no_levels():
    assert LevelMeter().end() == []
    assert LevelSummary().levels() is None
    assert measure([Gap(0, 100, 8000, "late start")]) == []


def test_an_offset_is_no_sound():
    """Many microphones have one; a beginning must not click because of it."""
    rate = 48_000
    quiet = sine(1000, rate, level=-80)
    offset = levels(quiet + np.float32(0.2), rate)
    plain = levels(quiet, rate)
    assert offset.laeq == pytest.approx(plain.laeq, abs=0.05)
    assert offset.lamax == pytest.approx(plain.lamax, abs=0.05)
    assert offset.zeq == pytest.approx(plain.zeq, abs=0.05)


def test_percentiles_do_not_rise_from_the_silence_before_the_beginning():
    rate = 16_000
    (piece,) = measure(blocks(sine(1000, rate, 1.0, -30), rate))
    assert [level_db(energy) for energy in piece.f_energies] == pytest.approx([-30] * 8, abs=0.02)
    assert piece.f_energy_max >= piece.f_energies.max()


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from([1, 7, 100, 999, 8000, 11_025, 44_100]),
    n_samples=st.integers(1, 30_000),
    sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=4),
    gap_at=st.integers(0, 30_000),
)
def test_sizes_of_blocks_change_nothing(rate, n_samples, sizes, gap_at):
    n_samples = min(n_samples, 300 * rate)  # minutes say as much as hours
    waveform = noise(30_000)[0][:n_samples]
    gap_at = min(gap_at, n_samples)
    gap = Gap(gap_at, 5, rate, "overflow")

    def cut(sizes):
        before, after = waveform[:gap_at], waveform[gap_at:]
        return [*blocks(before, rate, sizes), gap, *blocks(after, rate, sizes, gap.end)]

    pieces = measure(cut(sizes))
    assert fields(pieces) == fields(measure(cut([n_samples])))
    assert sum(piece.n_samples for piece in pieces) == n_samples
    assert all(0 < piece.n_samples <= rate for piece in pieces)
    for piece, following in pairwise(pieces):
        assert following.position == piece.end + (gap.n_samples if piece.end == gap_at else 0)


def test_nothing_is_measured_across_a_gap():
    """What follows a gap is measured as if nothing had been before it."""
    rate = 16_000
    loud, quiet = sine(1000, rate, 1.5, 0), sine(1000, rate, 1.5, -70)
    gap = Gap(loud.size, 3 * rate, rate, "device lost")
    pieces = measure([*blocks(loud, rate), gap, *blocks(quiet, rate, position=gap.end)])
    alone = measure(blocks(quiet, rate, position=gap.end))
    assert [piece.n_samples for piece in pieces] == [16_000, 8000, 16_000, 8000]
    assert fields(pieces[2:]) == fields(alone)
    assert [len(piece.f_energies) for piece in pieces] == [8, 4, 8, 4]
    measured = levels_of(pieces)
    assert measured.heard_s == 3.0
    assert measured.laeq == pytest.approx(10 * np.log10(0.5), abs=0.02)  # half of the time 0 dBFS


def test_the_sample_rate_may_change_in_mid_stream():
    low, high = sine(1000, 16_000, 1.25, -20), sine(1000, 48_000, 1.25, -20)
    pieces = measure([*blocks(low, 16_000), *blocks(high, 48_000, position=3 * low.size)])
    assert [(p.n_samples, p.sample_rate) for p in pieces] == [
        (16_000, 16_000), (4000, 16_000), (48_000, 48_000), (12_000, 48_000),
    ]  # fmt: skip
    assert [p.position for p in pieces] == [0, 16_000, 60_000, 108_000]
    measured = levels_of(pieces)
    assert measured.heard_s == 2.5
    assert measured.laeq == pytest.approx(-20, abs=0.02)


def test_a_moment_of_sound_has_a_level_but_no_percentiles():
    measured = levels(sine(1000, 48_000, 0.1, -20), 48_000)
    assert measured.laeq == pytest.approx(-20, abs=0.1)
    assert (measured.la10, measured.la50, measured.la90) == (None, None, None)
    assert measured.calibrated(100.0).la50 is None


def test_summaries_merge_in_any_order_and_may_be_asked_in_between():
    pieces = measure(blocks(noise(5 * 48_000 + 7000)[0], 48_000))
    whole = levels_of(pieces)
    first, second = LevelSummary(), LevelSummary()
    for piece in pieces[:2]:
        first.add(piece)
    asked = first.levels()
    for piece in reversed(pieces[2:]):
        second.add(piece)
    assert asked == first.levels()
    second.merge(first)
    first.add(pieces[2])
    merged = second.levels()
    for name in ("heard_s", "laeq", "lamax", "la10", "la50", "la90", "zeq"):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), abs=1e-9), name


def test_leq_follows_the_gain_and_the_energy():
    """Twice the amplitude is 6.02 dB more everywhere; the parts' energies add up to the whole's."""
    waveform = noise(4 * 48_000)[0]
    plain, louder = levels(waveform, 48_000), levels(waveform * np.float32(2), 48_000)
    for name in ("laeq", "lamax", "la10", "la50", "la90", "zeq"):
        assert getattr(louder, name) - getattr(plain, name) == pytest.approx(6.0206, abs=1e-3), name
    pieces = measure(blocks(waveform, 48_000))
    mean = np.mean([10 ** (level_db(piece.a_energy) / 10) for piece in pieces])
    assert plain.laeq == pytest.approx(10 * np.log10(mean), abs=1e-9)


def test_a_calibration_is_added_to_every_level():
    summary = LevelSummary()
    for piece in measure(blocks(noise(96_000)[0], 48_000)):
        summary.add(piece)
    plain, calibrated = summary.levels(), summary.levels(117.3)
    assert plain is not None
    assert calibrated is not None
    for name in ("laeq", "lamax", "la10", "la50", "la90", "zeq"):
        assert getattr(calibrated, name) == pytest.approx(getattr(plain, name) + 117.3), name
    assert calibrated.heard_s == plain.heard_s


def test_the_rate_of_a_damaged_header_takes_no_memory():
    """The memory is that of a rate of 1 MHz, and the audio is accounted for all the same."""
    rate = 2**31 - 1
    pieces = measure(blocks(noise(30_000)[0], rate))
    assert sum(piece.n_samples for piece in pieces) == 30_000
    assert a_weighting(rate).impulse_response.size < MAX_SECOND
