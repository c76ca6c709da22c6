"""Positions of what a device delivered and lost."""

from __future__ import annotations

import numpy as np
import pytest

from streamclf.core.records import Gap
from streamclf.sources.microphone.ring import Captured
from streamclf.sources.microphone.timeline import Timeline


def captured(
    arrived: float, adc_time: float, overflowed: bool = False, dropped: int = 0
) -> Captured:
    return Captured(np.zeros((1, 100), np.float32), dropped, overflowed, adc_time, arrived)


@pytest.mark.parametrize(
    ("adc_time", "arrived", "n_samples"),
    [
        (50.25, 1.25, 150),  # as the ADC clock says
        (50.25, 1.29, 150),  # also where the block itself comes late
        (50.10, 1.10, 1),  # something was lost, if less than a sample
        (49.00, 1.30, 200),  # the ADC clock went backwards: by arrival
        (3_650.0, 1.30, 200),  # it was set forward by an hour: by arrival
        (0.0, 1.30, 200),  # the host API has none: by arrival
    ],
)
def test_timeline_overflow_length(adc_time: float, arrived: float, n_samples: int) -> None:
    timeline = Timeline(1_000, 0.0, latency_s=0.1)
    timeline.place(captured(1.0, 50.0))
    gap, block = timeline.place(captured(arrived, adc_time, overflowed=True))
    assert isinstance(gap, Gap)
    assert (gap.position, gap.n_samples) == (100, n_samples)
    assert block.position == gap.end


def test_timeline_overflow_and_drops_are_not_counted_twice() -> None:
    timeline = Timeline(1_000, 0.0)
    timeline.place(captured(1.0, 50.0))
    overflow, drop, _ = timeline.place(captured(1.5, 50.5, overflowed=True, dropped=300))
    assert isinstance(overflow, Gap)
    assert isinstance(drop, Gap)
    assert (overflow.n_samples, drop.n_samples) == (100, 300)
    assert (overflow.cause, drop.cause) == ("overflow", "overload")


def test_timeline_overflow_before_the_first_sample_is_no_gap() -> None:
    (block,) = Timeline(1_000, 0.0).place(captured(1.0, 50.0, overflowed=True))
    assert block.position == 0


def test_timeline_change_of_rate_is_exact_after_weeks() -> None:
    timeline = Timeline(44_100, 0.0)
    timeline.position = 44_100 * 10**12 + 1
    timeline.change_rate(48_000)
    assert timeline.position == 48_000 * 10**12 + 1


def listen(
    lateness: list[float], adc: bool = False, jump: dict[int, float] | None = None
) -> list[Gap]:
    """Blocks of 0.1 s, each so much later than it should be; with or without an ADC clock."""
    timeline = Timeline(1_000, 0.0, latency_s=0.1)
    ahead = 0.0
    found = []
    for number, late_s in enumerate(lateness):
        ahead += (jump or {}).get(number, 0.0)
        adc_time = 50.0 + 0.1 * number + ahead if adc else 0.0
        records = timeline.place(captured(0.1 * (number + 1) + late_s, adc_time))
        found += [record for record in records if isinstance(record, Gap)]
    return found


def test_timeline_finds_a_loss_without_a_word_and_without_an_adc_clock() -> None:
    jitter = np.random.default_rng(1).uniform(0, 0.01, 200)
    (gap,) = listen([*jitter[:60], *(0.7 + jitter[60:])])
    assert gap.cause == "stalled"
    assert abs(gap.n_samples - 700) <= 15
    assert 6_000 <= gap.position <= 13_000  # some seconds of audio tell it from a late block


@pytest.mark.parametrize("adc", [False, True])
def test_timeline_late_blocks_that_catch_up_are_no_loss(adc: bool) -> None:
    catching_up = [max(4.0 - 0.1 * number, 0.0) for number in range(140)]
    assert listen([0.0] * 60 + catching_up, adc) == []


@pytest.mark.parametrize("ppm", [-400, 400])
def test_timeline_a_clock_that_drifts_loses_nothing(ppm: int) -> None:
    assert listen([1e-6 * ppm * 0.1 * number for number in range(36_000)]) == []


@pytest.mark.parametrize("jump_s", [3_600.0, 0.15, -0.15])
def test_timeline_a_wall_clock_that_is_set_is_no_loss(jump_s: float) -> None:
    """ALSA's plugins take it for the ADC's."""
    assert listen([0.0] * 200, adc=True, jump={100: jump_s}) == []
