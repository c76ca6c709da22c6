"""The ring: what the callback writes is what the reader gets, and every drop is counted."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from live_runs import PATIENCE_S

from streamclf.sources.clock import SystemClock
from streamclf.sources.microphone.ring import Ring
from streamclf.sources.simulated.fake_backend import FakeClock

RATE, BLOCK = 100, 10


def make_ring(n_slots: int = 4, channels: int = 1) -> Ring:
    return Ring(RATE, channels, BLOCK, FakeClock(), capacity_s=n_slots * BLOCK / RATE)


def ramp(start: int, n_samples: int = BLOCK) -> np.ndarray:
    return np.arange(start, start + n_samples, dtype=np.float32)[:, np.newaxis]


def test_ring_delivers_a_copy_as_channels_by_samples() -> None:
    ring = make_ring(channels=2)
    indata = np.stack([np.arange(10), -np.arange(10)], axis=1).astype(np.float32)
    ring.write(indata, False, 1.0)
    indata[:] = 99  # the audio system's buffer is used again

    captured = ring.read(1)

    assert captured is not None
    assert captured.waveform.shape == (2, 10)
    assert captured.waveform.dtype == np.float32
    assert captured.waveform[1, 9] == -9
    ring.write(ramp(0) * np.ones((1, 2), np.float32), False, 1.0)
    assert captured.waveform[0, 9] == 9


def test_ring_read_keeps_its_copy_when_every_slot_is_written_again() -> None:
    ring = make_ring(n_slots=2)
    ring.write(ramp(0), False, 0)
    captured = ring.read(1)
    for start in range(1, 3):
        ring.write(ramp(100 * start), False, 0)
    assert captured is not None
    np.testing.assert_array_equal(captured.waveform[0], np.arange(10))


def test_ring_counts_what_it_drops_where_it_was_dropped() -> None:
    ring = make_ring(n_slots=2)
    for start in (0, 10, 20, 30):
        ring.write(ramp(start, 7 if start == 30 else 10), start == 20, 0)
    first = ring.read(1)
    ring.write(ramp(37), False, 0)
    rest = [ring.read(1), ring.read(1)]

    assert first is not None
    assert [captured.n_dropped for captured in [first, *rest] if captured] == [0, 0, 17]
    # The overflow flag of a dropped block is not forgotten with it.
    assert [captured.overflowed for captured in [first, *rest] if captured] == [False, False, True]


def test_ring_is_bounded() -> None:
    ring = Ring(16_000, 1, 1_600, FakeClock())
    for _ in range(200):
        ring.write(np.zeros((1_600, 1), np.float32), False, 0)
    n_kept = 0
    while ring.read(0) is not None:
        n_kept += 1
    assert n_kept == 100  # 10 s


def test_ring_splits_what_is_longer_than_a_slot() -> None:
    ring = make_ring()
    ring.write(ramp(0, 25), True, 5.0)
    parts = [captured for _ in range(3) if (captured := ring.read(1))]
    np.testing.assert_array_equal(np.concatenate([p.waveform[0] for p in parts]), np.arange(25))
    assert [p.overflowed for p in parts] == [True, False, False]
    assert [p.adc_time for p in parts] == [5.0, 5.1, 5.2]


def test_ring_read_gives_up_after_the_timeout() -> None:
    clock = FakeClock()
    ring = Ring(RATE, 1, BLOCK, clock)
    assert ring.read(2.5) is None
    assert clock.now() == 2.5


def test_ring_stamps_the_arrival() -> None:
    clock = FakeClock()
    ring = Ring(RATE, 1, BLOCK, clock)
    clock.at(1.5, lambda: ring.write(ramp(0), False, 0))
    captured = ring.read(2)
    assert captured is not None
    assert captured.arrived == 1.5


def test_ring_wake_ends_a_wait_in_another_thread() -> None:
    ring = Ring(RATE, 1, BLOCK, SystemClock())
    results: list[object] = []
    reader = threading.Thread(target=lambda: results.append(ring.read(60)))
    reader.start()
    ring.wake()
    reader.join(PATIENCE_S)
    assert results == [None]


def test_ring_finish_lets_what_was_written_through_first() -> None:
    ring = make_ring()
    ring.write(ramp(0), False, 0)
    ring.finish()
    assert ring.read(1) is not None
    assert ring.read(1) is None
    assert ring.finished


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10)), max_size=60))
def test_ring_accounts_for_every_sample(steps: list[tuple[bool, int]]) -> None:
    ring = make_ring(n_slots=3)
    written = position = 0
    for writes, n_samples in [*steps, *[(False, 0)] * 3, (True, 10), (False, 0)]:
        if writes:
            ring.write(ramp(written, n_samples), False, 0)
            written += n_samples
        elif (captured := ring.read(0)) is not None:
            position += captured.n_dropped
            assert captured.waveform[0, 0] == position
            position += captured.n_samples
    assert position == written
