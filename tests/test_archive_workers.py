"""Workers of archives that are unfit, are lost, or take too much memory; without Ray itself."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from pretend_ray import LostError, PretendRay

from streamclf.archive import ray_worker
from streamclf.archive.manifest import Item, PlannedRecording
from streamclf.archive.on_ray import MOST_GROWTH_BYTES, RayReport, RayRun, Work, make_absolute
from streamclf.archive.progress import Progress
from streamclf.archive.ray_connection import connect
from streamclf.archive.run_item import ItemReport
from streamclf.archive.workers import WorkerOptions
from streamclf.core.errors import ClusterError, ModelError

Heard = Callable[[Item], ItemReport]


def done(item: Item) -> ItemReport:
    return ItemReport(item.number, "done", item.seconds, item.seconds)


class PretendRunner:
    """A runner that does with each item what a test says."""

    def __init__(self, heard: Heard = done, run: str = "abc") -> None:
        self.run_item, self.run = heard, run

    def stop(self) -> None:
        pass


def hear(n_items: int, *runners: PretendRunner | Exception, n_cores: int = 2):
    """Hear items of a minute; each new worker takes the next runner, and the last one stays."""
    left = list(runners)

    def open_runner():
        runner = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(runner, Exception):
            raise runner
        return runner

    def load(number: int) -> Item:
        return Item(number, "whole", (PlannedRecording(number, f"{number}.wav", 1),), seconds=60.0)

    ray, report = PretendRay(n_cores), RayReport()
    work = Work(range(n_items), [60.0] * n_items, load, open_runner, "abc")
    progress = Progress(60.0 * n_items)
    RayRun(ray, work, WorkerOptions(), progress, report).run(lambda: False)
    assert ray.n_killed >= len(ray.actors)
    return ray, report, progress


def test_all_items_are_heard_by_a_worker_a_core_and_never_more_than_items():
    ray, report, _ = hear(20, PretendRunner(), n_cores=3)
    assert (report.n_items, len(ray.actors)) == (20, 3)
    assert "3 workers on 1 host, " in report.describe_workers()
    assert len(hear(2, PretendRunner(), n_cores=3)[0].actors) == 2


def test_workers_that_cannot_begin_end_the_run_with_their_reason():
    with pytest.raises(ClusterError, match="no worker can go on: wide: no such model"):
        hear(5, ModelError("wide: no such model"))


def test_a_place_whose_workers_cannot_begin_stays_empty(capsys):
    no_model = ModelError("no model here")
    fit = PretendRunner()
    ray, report, _ = hear(20, no_model, fit, no_model, no_model, fit)
    assert (report.n_items, report.unheard) == (20, [])
    assert len(ray.actors) == 4
    assert "warning: a worker cannot go on and is left out: no model here" in (
        capsys.readouterr().err
    )


def test_a_machine_with_another_model_hears_nothing():
    other = PretendRunner(run="def")
    with pytest.raises(ClusterError, match="its model file is another one, or its streamclf"):
        hear(5, other)
    assert hear(5, other, PretendRunner())[1].n_items == 5


def test_a_worker_in_whose_hands_all_fails_is_replaced():
    def fail(item: Item) -> ItemReport:
        if item.number % 2:
            raise OSError("disk is gone")
        return ItemReport(item.number, "failed", item.seconds, reason=f"{item.number}.wav: gone")

    _, report, progress = hear(30, PretendRunner(fail), PretendRunner())
    assert report.n_items == 25
    assert "1.wav: OSError: disk is gone" in report.unheard
    assert "0.wav: gone" in report.unheard
    assert progress.failures == {"OSError": 2, "gone": 3}
    with pytest.raises(ClusterError, match="5 items in a row failed; the last: "):
        hear(100, PretendRunner(fail))


def test_a_worker_that_grows_too_much_is_replaced_when_it_holds_nothing(monkeypatch):
    size = 100_000_000
    monkeypatch.setattr(ray_worker, "resident_bytes", lambda: size)

    def grow(item: Item) -> ItemReport:
        nonlocal size
        if item.number == 7:
            size += MOST_GROWTH_BYTES + 1
        return done(item)

    ray, report, _ = hear(20, PretendRunner(grow), n_cores=1)
    assert (report.n_items, report.n_renewed, len(ray.actors)) == (20, 1, 2)
    assert "1 replaced for 1.1 GB more memory" in report.describe_workers()


def test_an_item_that_ends_three_workers_fails_and_the_others_are_heard():
    def end(item: Item) -> ItemReport:
        if item.number == 4:
            raise LostError
        return done(item)

    _, report, _ = hear_with_losses(20, end)
    assert (report.n_items, report.n_lost) == (19, 3)
    assert report.unheard == ["4.wav: 3 workers ended while they heard it: segmentation fault"]


def hear_with_losses(n_items: int, heard: Heard):
    """Hear items; a `LostError` is raised as if the actor had ended."""
    original = ray_worker.Worker.run

    def run(self, item):
        ended = original(self, item)
        if ended.reason.startswith("LostError"):
            raise LostError("The worker died\nsegmentation fault")
        return ended

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_worker.Worker, "run", run)
        return hear(n_items, PretendRunner(heard))


def test_local_paths_are_made_absolute_and_urls_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert make_absolute("results") == str(tmp_path / "results")
    assert make_absolute("s3://bucket/results") == "s3://bucket/results"


def test_ray_that_starts_slowly_is_started_once_more(monkeypatch):
    said: list[str] = []
    slow = RuntimeError("The current node timed out during startup. This could happen because")
    ready = SimpleNamespace(dashboard_url=None)
    monkeypatch.setattr("streamclf.core.log.say", said.append)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def start(*outcomes):
        ray = Mock(**{"init.side_effect": outcomes, "cluster_resources.return_value": {}})
        monkeypatch.setitem(sys.modules, "ray", ray)
        with connect(WorkerOptions()):
            return ray.init.call_count

    assert start(ready) == 1
    assert said == []
    assert start(slow, ready) == 2
    assert said == ["Ray did not start in 30 s, as on a busy machine: it is started once more"]
    with pytest.raises(ClusterError, match="timed out during startup: do without it: --shard 1/1"):
        start(slow, slow)
    with pytest.raises(ClusterError, match="no port is free"):
        start(RuntimeError("no port is free"))
