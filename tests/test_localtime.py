"""The system's clock is set while one listens: only written local times follow."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from streamclf.localtime import ClockWatch
from streamclf.records import Block, Notice
from streamclf.sinks.base import StreamInfo

RATE = 1000


class Clocks:
    """The monotonic clock runs on; the other one can be set."""

    def __init__(self) -> None:
        self.monotonic = 5.0
        self.ahead = 1.7e9

    def wall(self) -> float:
        return self.monotonic + self.ahead

    def now(self) -> float:
        return self.monotonic


def listen(set_at):
    """Ten seconds, in blocks of one; at some of them the clock is set."""
    clocks = Clocks()
    watch = ClockWatch(clocks.wall, clocks.now)

    def blocks():
        for second in range(10):
            clocks.monotonic += 1
            clocks.ahead += set_at.get(second, 0.0)
            yield Block(second * RATE, np.zeros((1, RATE), np.float32), RATE)

    return watch, list(watch.watch(blocks()))


def test_a_clock_that_is_set_is_said_and_moves_no_audio():
    watch, items = listen({4: 3600.0, 7: -90.0})
    assert [i.position for i in items if isinstance(i, Block)] == [s * RATE for s in range(10)]
    forward, back = [item for item in items if isinstance(item, Notice)]
    assert (forward.position, back.position) == (4 * RATE, 7 * RATE)
    assert forward.message.startswith("the system's clock went forward by 1 h 00 min (it was set, ")
    assert back.message.startswith("the system's clock went back by 1 min 30 s")
    assert [(at, by.total_seconds()) for at, by in watch.jumps] == [
        (4 * RATE, pytest.approx(3600)),
        (7 * RATE, pytest.approx(-90)),
    ]


def test_a_clock_that_is_kept_right_is_not_worth_a_word():
    watch, items = listen(dict.fromkeys(range(1, 10), 0.01))
    assert watch.jumps == []
    assert all(isinstance(item, Block) for item in items)


def test_a_silent_device_is_no_set_clock():
    clocks = Clocks()
    watch = ClockWatch(clocks.wall, clocks.now)

    def blocks():
        clocks.monotonic += 7200
        yield Block(0, np.zeros((1, RATE), np.float32), RATE)

    assert len(list(watch.watch(blocks()))) == 1


def test_local_times_follow_the_clock_from_where_it_was_set():
    started = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    jumps = []
    stream = StreamInfo("mic", RATE, ["dog"], "single-label", started, jumps=jumps)
    assert stream.time(5 * RATE) == "2026-03-01T12:00:05.000+00:00"
    jumps.append((4 * RATE, timedelta(hours=1)))
    assert stream.time(3 * RATE) == "2026-03-01T12:00:03.000+00:00"
    assert stream.time(5 * RATE) == "2026-03-01T13:00:05.000+00:00"
    assert stream.seconds(5 * RATE) == 5.0
