"""Which worker gets which item, and how far a run says it is."""

import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.archive import progress as progress_module
from streamclf.archive.backlog import MOST_DEATHS, MOST_HELD, MOST_LOSSES, Backlog
from streamclf.archive.progress import LOG_S, Progress
from streamclf.archive.workers import WorkerOptions
from streamclf.core.errors import UsageError


def drain(backlog: Backlog, worker: int) -> list[int]:
    """Hear all that a worker is given, one after the other."""
    heard = []
    while (item := backlog.take(worker)) is not None:
        heard.append(item)
        backlog.finish(worker, item)
    return heard


def test_the_longest_items_go_first_and_pieces_in_their_order():
    backlog = Backlog([3, 4, 5, 6, 7], [60, 7200, 600, 7200, 600])
    backlog.join(0)
    assert drain(backlog, 0) == [4, 6, 5, 7, 3]
    assert backlog.done


def test_a_worker_holds_two_items_and_none_of_the_last_while_others_have_none():
    backlog = Backlog(range(8), [1.0] * 8)
    for worker in range(3):
        backlog.join(worker)
    assert [backlog.take(0) for _ in range(3)] == [0, 1, None]
    assert [backlog.take(1) for _ in range(3)] == [2, 3, None]
    assert backlog.take(2) == 4
    assert backlog.take(2) == 5  # three wait, as many as there are workers
    assert backlog.n_waiting == 2
    backlog.finish(0, 0)
    assert backlog.take(0) is None  # it still hears one, and only two wait
    backlog.finish(0, 1)
    assert backlog.take(0) == 6


@given(
    n_items=st.integers(0, 30),
    events=st.lists(st.tuples(st.integers(0, 3), st.sampled_from("tfln")), max_size=120),
)
def test_no_item_is_lost_or_given_twice_at_once(n_items, events):
    backlog = Backlog(range(n_items), np.ones(n_items))
    given_to: dict[int, int] = {}
    heard, failed = set(), set()
    for worker, event in events:
        if worker not in backlog._held:
            backlog.join(worker)
        elif event == "t":
            item = backlog.take(worker)
            if item is not None:
                assert item not in given_to
                assert item not in heard | failed
                given_to[item] = worker
            assert len(backlog.held(worker)) <= MOST_HELD
        elif event == "f" and backlog.held(worker):
            item = backlog.held(worker)[0]
            backlog.finish(worker, item)
            heard.add(item)
            del given_to[item]
        elif event in "ln":
            given_to = {item: each for item, each in given_to.items() if each != worker}
            lost = backlog.leave(worker, with_its_node=event == "n")
            if lost is not None:
                failed.add(lost)
        assert backlog.done == (len(heard | failed) == n_items)
    backlog.join(99)
    rest = set(drain(backlog, 99))
    assert rest | heard | failed | set(given_to) == set(range(n_items))
    assert not rest & (heard | failed | set(given_to))


@pytest.mark.parametrize(("with_its_node", "limit"), [(False, MOST_DEATHS), (True, MOST_LOSSES)])
def test_an_item_that_ends_its_workers_fails_and_the_one_behind_it_does_not(with_its_node, limit):
    backlog = Backlog([0, 1, 2, 3], [5.0, 4.0, 3.0, 2.0])
    for worker in range(limit):
        backlog.join(worker)
        assert backlog.take(worker) == 0
        assert backlog.take(worker) == 1
        failed = backlog.leave(worker, with_its_node=with_its_node)
        assert failed == (0 if worker == limit - 1 else None)
    backlog.join(limit)
    assert drain(backlog, limit) == [1, 2, 3]


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_tells_hours_speed_time_left_and_failures():
    clock = Clock()
    progress = Progress(100 * 3600, 20 * 3600, clock=clock)
    assert progress.describe() == "20.0 of 100 h done (20 %)"
    clock.now += 60
    progress.add(20 * 3600)
    progress.add(10 * 3600, ["no such file"] * 2 + ["truncated", "silent", "too short", "empty"])
    assert progress.describe() == (
        "50.0 of 100 h done (50 %), 1,800 x real time, 1 min 40 s left, 6 failed "
        "(2 no such file; 1 truncated; 1 silent; 2 for 2 other reasons)"
    )
    progress.add(50 * 3600, ["https://user:secret@host/a: gone\nfor good"])
    assert "left" not in progress.describe()
    assert "secret" not in str(progress.failures)
    assert "\n" not in str(progress.failures.most_common())


def test_progress_in_a_log_comes_once_a_minute(capsys):
    clock = Clock()
    progress = Progress(7200, clock=clock)
    for _ in range(20):
        clock.now += LOG_S / 5
        progress.add(60)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("streamclf: 0.08 of 2.0 h done (4 %), 5 x real time")


def test_progress_on_a_terminal_is_one_line_below_the_log(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    clock = Clock()
    progress = Progress(7200, clock=clock)
    clock.now += 2
    progress.add(3600)
    progress_module.log.say("warning: something")
    progress.close()
    line = "1.0 of 2.0 h done (50 %), 1,800 x real time, 2.0 s left"
    clear = "\r\x1b[K"
    assert terminal.getvalue() == (
        f"{clear}{line}{clear}streamclf: warning: something\n{clear}{line}{clear}"
    )
    progress_module.log.say("afterwards")
    assert terminal.getvalue().endswith("streamclf: afterwards\n")


def test_workers_share_gpus():
    assert WorkerOptions().gpus_each == 0
    assert WorkerOptions(gpus=2).gpus_each == 1
    assert WorkerOptions(gpus=1, workers=3).gpus_each == 0.3333
    with pytest.raises(UsageError, match="--workers 1: is fewer than --gpus 2"):
        WorkerOptions(workers=1, gpus=2)
