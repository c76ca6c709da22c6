"""What local time is written beside live audio: the system's clock, not the device's, says it."""

from __future__ import annotations

import time
from datetime import datetime

import numpy as np
import pytest

from streamclf.core.local_clock import MAX_STEPS, LocalClock
from streamclf.core.records import Block, Gap, Notice, StreamStarted

RATE = 1000
BEGAN = 1_700_000_000.0


class Clocks:
    """The monotonic clock runs on; the other one can be set."""

    def __init__(self) -> None:
        self.monotonic = 5.0
        self.ahead = BEGAN - 5.0

    def wall(self) -> float:
        return self.monotonic + self.ahead

    def now(self) -> float:
        return self.monotonic

    def make(self) -> LocalClock:
        return LocalClock(self.wall, self.now)


def audio(position: int, seconds: float) -> Block:
    return Block(position, np.zeros((1, round(seconds * RATE)), np.float32), RATE)


def listen(items, clocks=None, **kwargs):
    """Items with the seconds that pass before each; the clock, and what it passed on."""
    clocks = clocks or Clocks()
    clock = clocks.make()

    def arriving():
        for passed_s, item in items:
            clocks.monotonic += passed_s
            yield item

    return clock, list(clock.watch(arriving(), **kwargs))


def told(clock: LocalClock, second: float) -> float:
    """What the clock says of a place in the stream, in seconds since it began to listen."""
    moment = clock.moment(round(second * RATE))
    assert moment is not None
    return moment.timestamp() - BEGAN


def set_clock(set_at):
    """Ten seconds, in blocks of one; at some of them the clock is set."""
    clocks = Clocks()
    clock = clocks.make()

    def blocks():
        for second in range(10):
            clocks.monotonic += 1
            clocks.ahead += set_at.get(second, 0.0)
            yield audio(second * RATE, 1)

    return clock, list(clock.watch(blocks()))


def test_a_clock_that_is_set_is_said_and_moves_no_audio():
    clock, items = set_clock({4: 3600.0, 7: -90.0})
    assert [i.position for i in items if isinstance(i, Block)] == [s * RATE for s in range(10)]
    forward, back = [item for item in items if isinstance(item, Notice)]
    assert (forward.position, back.position) == (4 * RATE, 7 * RATE)
    assert forward.message.startswith("the system's clock went forward by 1 h 00 min (it was set, ")
    assert back.message.startswith("the system's clock went back by 1 min 30 s")
    assert told(clock, 3.9) == pytest.approx(3.9)
    assert told(clock, 4.0) == pytest.approx(3604.0)
    assert told(clock, 6.9) == pytest.approx(3606.9)
    assert told(clock, 9.0) == pytest.approx(3519.0)


def test_a_clock_that_is_kept_right_is_not_worth_a_word():
    clock, items = set_clock(dict.fromkeys(range(1, 10), 0.01))
    assert all(isinstance(item, Block) for item in items)
    assert told(clock, 9) == pytest.approx(9, abs=0.1)


def test_a_silent_device_is_no_set_clock():
    _, items = listen([(7200, audio(0, 1))])
    assert len(items) == 1


@pytest.mark.parametrize("ppm", [-150, -20, 35, 100, 400])
def test_local_time_stays_right_for_a_fortnight_of_a_device_that_is_not(ppm):
    """Blocks of 30 s, up to 0.1 s late. Counted from the first sample, -150 ppm are 3 minutes."""
    clocks = Clocks()
    clock = clocks.make()
    late = np.random.default_rng(1).uniform(0, 0.1, 14 * 2880)
    true_s = 30 / (1 + 1e-6 * ppm)
    wrong = []
    block = audio(0, 30)

    def arriving():
        for number, late_s in enumerate(late):
            clocks.monotonic = 5.0 + (number + 1) * true_s + late_s
            yield Block(number * 30 * RATE, block.waveform, RATE)

    for number, _ in enumerate(clock.watch(arriving())):
        end_s = (number + 1) * 30
        wrong.append(told(clock, end_s - 0.001) - (number + 1) * true_s)
    assert min(wrong) >= -0.06
    assert max(wrong) <= 0.16
    # What sounded yesterday is still told as it was then.
    yesterday = 13 * 2880
    assert told(clock, yesterday * 30) == pytest.approx(yesterday * true_s, abs=0.16)
    assert len(clock._steps) <= MAX_STEPS


def test_what_a_server_had_kept_sounded_before_it_was_asked():
    """Icecast sends some seconds at once when one connects: no time is ahead of the clock."""
    burst = [(0.01, audio(n * 100, 0.1)) for n in range(80)]
    live = [(0.1, audio(8000 + n * 100, 0.1)) for n in range(50)]
    clock, _ = listen([*burst, *live])
    assert told(clock, 13) == pytest.approx(0.8 + 5)  # now
    assert told(clock, 8) == pytest.approx(0.8)
    assert told(clock, 0) == pytest.approx(0.8 - 8)


def test_what_a_server_had_kept_when_it_came_back_moves_nothing_before():
    before = [(1, audio(n * RATE, 1)) for n in range(20)]
    gap = [(30, Gap(20 * RATE, 29 * RATE, RATE, "connection lost"))]
    after = [(0.01, audio((49 + n) * RATE, 1)) for n in range(6)]
    clock, _ = listen([*before, *gap, *after])
    assert told(clock, 19.5) == pytest.approx(19.5)
    assert told(clock, 55) == pytest.approx(50.06)  # the newest sample has only just arrived
    assert told(clock, 49) == pytest.approx(44.06)


def test_blocks_that_are_held_up_do_not_move_the_time():
    clock, _ = listen(
        [
            *((1, audio(n * RATE, 1)) for n in range(60)),
            (9, audio(60 * RATE, 1)),
            *((0.05, audio(n * RATE, 1)) for n in range(61, 69)),
            *((1, audio(n * RATE, 1)) for n in range(69, 80)),
        ]
    )
    assert told(clock, 65) == pytest.approx(65, abs=0.06)
    assert told(clock, 80) == pytest.approx(80, abs=0.06)


def test_catching_up_does_not_move_what_sounded_yesterday():
    """A day of a slow device, half an hour in which one reads a second late, and all at once."""
    true_s = 30 * 1.0001
    before = [(true_s, audio(n * 30 * RATE, 30)) for n in range(2880)]
    late = [(1 + (n == 0), audio((86_400 + n) * RATE, 1)) for n in range(1800)]
    caught_up = [(0 if n == 0 else 1, audio((88_200 + n) * RATE, 1)) for n in range(30)]
    clock, _ = listen([*before, *late, *caught_up])
    assert told(clock, 43_200) == pytest.approx(43_200 * 1.0001, abs=0.1)
    assert told(clock, 88_000) == pytest.approx(86_400 * 1.0001 + 1600, abs=0.1)
    assert told(clock, 88_230) == pytest.approx(86_400 * 1.0001 + 1830, abs=0.1)


def test_a_stream_that_breaks_off_for_weeks_is_remembered_in_little():
    """After each gap a server sends at once what it had kept."""
    items, position = [], 0
    for _ in range(MAX_STEPS + 100):
        gap = Gap(position, 2 * RATE, RATE, "connection lost")
        items += [(2, gap), (1, audio(gap.end, 1)), (0.1, audio(gap.end + RATE, 1))]
        position = gap.end + 2 * RATE
    clock, _ = listen(items)
    assert len(clock._steps) == MAX_STEPS
    assert told(clock, position / RATE) == pytest.approx(3.1 * (MAX_STEPS + 100))


def test_time_counts_on_where_audio_does_not_arrive_as_it_sounds():
    """A recording at ten times its pace, as a microphone."""
    clock, _ = listen([(0.1, audio(n * RATE, 1)) for n in range(30)], keeps_time=lambda: False)
    assert told(clock, 25) - told(clock, 5) == pytest.approx(20)


def test_a_stream_that_begins_with_what_is_missing_knows_since_when():
    """A camera that is down for a minute after the start: the gap is told when it comes."""
    items = [(61, Gap(0, 60 * RATE, RATE, "source lost")), (0, audio(60 * RATE, 1))]
    clock, _ = listen(items[:1])
    assert told(clock, 0) == pytest.approx(1, abs=0.01)
    clock, _ = listen([*items, *((1, audio(n * RATE, 1)) for n in range(61, 80))])
    assert told(clock, 0) == pytest.approx(0, abs=1.01)
    assert told(clock, 70) == pytest.approx(70, abs=0.01)


def test_a_clock_knows_no_time_before_any_audio():
    assert LocalClock().moment(0) is None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be changed here")
def test_a_box_that_listens_through_the_night_keeps_to_the_time_of_the_house(monkeypatch):
    """Clocks in Berlin went back from 3 to 2 on 2026-10-25 at 01:00 UTC."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        clocks = Clocks()
        clocks.ahead = datetime.fromisoformat("2026-10-25T02:30:00+02:00").timestamp() - 5.0
        clock, _ = listen([(1800, audio(0, 1800)), (1800, audio(1800 * RATE, 1800))], clocks)
        stream = StreamStarted("mic", RATE, ["dog"], "single-label", clock=clock)
        assert stream.time(1799 * RATE) == "2026-10-25T02:59:59.000+02:00"
        assert stream.time(1801 * RATE) == "2026-10-25T02:00:01.000+01:00"
        assert stream.seconds(1801 * RATE) == 1801.0
    finally:
        monkeypatch.undo()
        time.tzset()
