"""A source that is opened again whenever it fails: one timeline, no lost sample without a gap."""

import numpy as np
import pytest
import toys

from streamclf.core.errors import RecordingError, SourceError, StreamError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.array import ArraySource
from streamclf.sources.base import Source
from streamclf.sources.retried import RetriedSource
from streamclf.sources.simulated.fake_backend import FakeClock

RATE = toys.RATE


class Script(Source):
    """A source that delivers blocks of a second, and then raises."""

    live = True

    def __init__(self, clock, n_seconds, error=None, rate=RATE, keeps_time=True):
        self.name = "script"
        self._clock, self._n_seconds, self._error, self._rate = clock, n_seconds, error, rate
        self._keeps_time = keeps_time
        self.closed = self.stopped = False

    @property
    def keeps_time(self):
        return self._keeps_time

    def blocks(self, sample_rate):
        for second in range(self._n_seconds):
            if self.stopped:
                return
            self._clock.at(self._clock.now() + 1.0, lambda: None)
            pass_time(self._clock, 1.0)
            waveform = np.full((1, self._rate), 0.1, np.float32)
            yield Block(second * self._rate, waveform, self._rate)
        if self._error is not None:
            raise self._error

    def stop(self):
        self.stopped = True

    def close(self):
        self.closed = True


def pass_time(clock, seconds):
    import queue

    with pytest.raises(queue.Empty):
        clock.wait(queue.SimpleQueue(), seconds)


class Opener:
    """Opens one script after another; an exception in the list is raised."""

    def __init__(self, *scripts):
        self._scripts = list(scripts)
        self.opened_at = []
        self.clock = None

    def __call__(self):
        script = self._scripts.pop(0)
        if self.clock is not None:
            self.opened_at.append(self.clock.now())
        if isinstance(script, Exception):
            raise script
        return script


@pytest.fixture
def clock():
    return FakeClock()


def retry(clock, *scripts, **options):
    opener = Opener(*scripts)
    opener.clock = clock
    said = []
    source = RetriedSource("yard", opener, report=said.append, clock=clock, **options)
    return source, opener, said


def places(items):
    """Kind, begin and end of each record, which must leave no holes."""
    end = None
    for item in items:
        if isinstance(item, Notice):
            continue
        assert end is None or item.position == end
        end = item.end
    return [
        (type(item).__name__, item.position, item.end)
        for item in items
        if not isinstance(item, Notice)
    ]


def test_a_source_that_fails_goes_on_with_a_gap_of_exactly_the_time_it_was_away(clock):
    first = Script(clock, 2, StreamError("it broke"))
    source, opener, said = retry(clock, first, OSError(5, "Input/output error"), Script(clock, 3))
    items = [*source.blocks(RATE)]
    # Lost at 2 s, tried again at 2.5 and 3.5 s; its first block is a second that ends at 4.5 s.
    assert opener.opened_at == [0.0, 2.0 + 0.5, 2.0 + 0.5 + 1.0]
    assert places(items) == [
        ("Block", 0, RATE), ("Block", RATE, 2 * RATE),
        ("Gap", 2 * RATE, round(3.5 * RATE)),
        ("Block", round(3.5 * RATE), round(4.5 * RATE)),
        ("Block", round(4.5 * RATE), round(5.5 * RATE)),
        ("Block", round(5.5 * RATE), round(6.5 * RATE)),
    ]  # fmt: skip
    (gap,) = [item for item in items if isinstance(item, Gap)]
    assert gap.cause == "source lost"
    assert items[-1].end == clock.now() * RATE  # heard + gaps = elapsed
    assert said == [
        "warning: it broke; it is tried again and again",
        "warning: cannot be read on: input/output error; it is tried again and again",
        "heard again after 2.5 s of trying",
    ]
    assert first.closed
    assert source.has_ended
    assert not source.is_lost


def test_a_source_that_is_not_there_at_first_begins_with_the_gap_until_it_is(clock):
    missing = [RecordingError("no such file")] * 9
    source, opener, said = retry(clock, *missing, Script(clock, 1))
    signs = []
    source.on_waiting = lambda: signs.append(clock.now())
    items = [*source.blocks(RATE)]
    end = round(clock.now() * RATE)  # heard + gaps = elapsed since the first attempt
    assert places(items) == [("Gap", 0, end - RATE), ("Block", end - RATE, end)]
    assert items[0].cause == "source lost"
    pauses = np.diff(opener.opened_at)
    np.testing.assert_allclose(pauses, [0.5, 1, 2, 4, 8, 16, 30, 30, 30])
    assert np.diff(signs).max() <= 30  # a watchdog of two minutes is told in time
    assert said == [
        "warning: no such file; it is tried again and again",
        "heard after 2 min 02 s of trying",
    ]


def test_a_steady_source_is_tried_again_soon(clock):
    fails = SourceError("gone")
    scripts = [Script(clock, n, fails) for n in (1, 1, 1, 12, 1)]
    source, opener, _ = retry(clock, *scripts, Script(clock, 1))
    assert len([*source.blocks(RATE)]) > 5
    lasted = np.array([1, 1, 1, 12, 1])
    np.testing.assert_allclose(np.diff(opener.opened_at) - lasted, [0.5, 1, 2, 0.5, 1])


def test_any_error_is_survived_and_a_mistake_is_called_one(clock):
    source, _, said = retry(clock, Script(clock, 1, ZeroDivisionError("oops")), Script(clock, 1))
    assert len(places([*source.blocks(RATE)])) == 3
    assert "a mistake in streamclf itself: ZeroDivisionError: oops" in said[0]


def test_without_retries_the_first_error_is_the_end(clock):
    source, _, said = retry(clock, Script(clock, 1, StreamError("gone")), retries=False)
    items = []
    with pytest.raises(StreamError, match=r"^gone$"):
        items.extend(source.blocks(RATE))
    assert source.has_ended
    assert said == []
    source, _, _ = retry(clock, OSError(2, "No such file"), retries=False)
    with pytest.raises(SourceError, match="yard: cannot be read on: no such file"):
        next(source.blocks(RATE))


def test_a_stop_while_it_is_lost_ends_with_the_gap_up_to_then(clock):
    source, _, _ = retry(clock, Script(clock, 2, StreamError("gone")), *[OSError(2, "x")] * 9)
    clock.at(20.0, source.stop)
    items = [*source.blocks(RATE)]
    assert places(items)[-1] == ("Gap", 2 * RATE, 20 * RATE)
    assert source.state == "lost"


def test_a_source_that_never_came_is_a_gap_from_its_begin_to_its_end(clock):
    source, _, _ = retry(clock, *[OSError(2, "x")] * 9)
    clock.at(20.0, source.stop)
    assert places([*source.blocks(RATE)]) == [("Gap", 0, 20 * RATE)]


def test_a_source_that_does_not_keep_time_gets_no_gap(clock):
    source, _, _ = retry(
        clock, Script(clock, 1, StreamError("gone"), keeps_time=False),
        Script(clock, 1, keeps_time=False),
    )  # fmt: skip
    assert places([*source.blocks(RATE)]) == [("Block", 0, RATE), ("Block", RATE, 2 * RATE)]


def test_another_rate_after_a_failure_keeps_the_timeline(clock):
    source, _, _ = retry(
        clock, Script(clock, 2, StreamError("gone")), Script(clock, 1, rate=11_025)
    )
    *_, gap, block = source.blocks(RATE)
    assert (gap.sample_rate, gap.position) == (11_025, 2 * 11_025)
    assert block.end == round(3.5 * 11_025)


def test_a_cut_goes_on_at_the_same_sample_with_the_same_source(clock):
    source, opener, _ = retry(clock, Script(clock, 6))
    items = []
    for item in source.blocks(RATE):
        items.append(item)
        if len(items) == 2:
            source.cut()
    assert not source.has_ended
    items += source.blocks(RATE)
    assert places(items) == [("Block", k * RATE, (k + 1) * RATE) for k in range(6)]
    assert len(opener.opened_at) == 1
    assert source.has_ended


def test_closing_closes_the_source_and_ends_it():
    inner = ArraySource(toys.silence(5), RATE, block_samples=RATE)
    source = RetriedSource("x", lambda: inner)
    items = source.blocks(RATE)
    next(items)
    source.close()
    assert [*items] == []
