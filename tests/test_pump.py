import threading

import pytest

from streamclf.sources.prefetch import Pump


def test_pump_keeps_the_order():
    assert list(Pump(lambda: iter(range(1000)))) == list(range(1000))


def test_pump_hands_on_errors_behind_what_came_before():
    def produce():
        yield 1
        yield 2
        raise OSError("the line is dead")

    got = []
    with pytest.raises(OSError, match="the line is dead"):
        got.extend(Pump(produce))
    assert got == [1, 2]


@pytest.mark.parametrize("max_items", [1, 2, 5])
def test_pump_never_runs_further_ahead_than_told(max_items):
    produced: list[int] = []
    taken = 0
    ahead: list[int] = []

    def produce():
        for i in range(200):
            produced.append(i)
            ahead.append(len(produced) - taken)
            yield i

    for item in Pump(produce, max_items=max_items):
        taken = item + 1  # counted late: the reader has had it since it was handed over
    assert len(produced) == 200
    # One item is with the reader, not yet counted as taken.
    assert max(ahead) <= max_items + 1


def test_pump_waits_for_a_reader_that_takes_its_time():
    """The producer is let run until it can no more, by looking at what it did."""
    produced = 0
    blocked = threading.Event()

    class Counting:
        def __iter__(self):
            return self

        def __next__(self):
            nonlocal produced
            produced += 1
            if produced == 4:
                blocked.set()
            return produced

    pump = Pump(lambda: Counting(), max_items=3)
    reader = iter(pump)
    assert next(reader) == 1
    assert blocked.wait(10)  # 2, 3 and 4 are ahead of the reader
    assert not wait_for_change(lambda: produced, 4)
    assert next(reader) == 2
    pump.stop()


def wait_for_change(value, old) -> bool:
    """Give the other threads the floor many times; whether the value changed."""
    gate = threading.Event()
    for _ in range(20):
        gate.wait(0.001)
    return value() != old


def test_pump_stops_a_reader_that_waits():
    never = threading.Event()
    waiting = threading.Event()

    def produce():
        yield 1
        waiting.set()
        never.wait()
        yield 2

    pump = Pump(produce)
    reader = iter(pump)
    assert next(reader) == 1
    assert waiting.wait(10)
    stopper = threading.Thread(target=pump.stop)
    stopper.start()
    assert list(reader) == []
    assert pump.stopped
    stopper.join()
    never.set()


def test_pump_stopped_beforehand_gives_nothing():
    pump = Pump(lambda: iter([1, 2]))
    pump.stop()
    assert list(pump) == []
