"""A run of an archive's items on Ray: on the cores of this machine, or on those of a cluster.

Each worker is an actor. It is given an item as soon as it has done with one, see
`streamclf.archive.backlog`. Ray restarts no actor and repeats no call: here it is known which item
a worker heard when it was lost, and an item may be heard twice, for its results have one name.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from streamclf.archive.backlog import MOST_DEATHS, MOST_LOSSES, Backlog
from streamclf.archive.manifest import Item, Manifest
from streamclf.archive.progress import Progress
from streamclf.archive.ray_connection import connect
from streamclf.archive.ray_worker import Begun, Ended, ItemRunner, Worker
from streamclf.archive.run_item import Hearing, Runner, find_open_items, kind_of
from streamclf.archive.shard import ShardReport, find_unjoined
from streamclf.archive.workers import WorkerOptions
from streamclf.core import log
from streamclf.core.errors import ClusterError
from streamclf.core.redaction import mask_text, one_line
from streamclf.core.text_format import format_bytes, format_count
from streamclf.model.model_file import find_model, is_bundled_name

TICK_S = 0.25
"""Longest wait for a worker before interrupts and the progress line are looked at, in seconds."""
LOOK_S = 10.0
"""Time between two looks for room for more workers, in seconds."""
WAITING_S = 30.0
"""Time without any worker after which a line says so, in seconds."""
ENDING_S = 10.0
"""Longest wait for workers to put what they are putting, before they are killed, in seconds."""
MOST_FAULTS = 3
"""Times that workers in one place may be unfit, one after the other, before it is left empty."""
MOST_IN_A_ROW = 5
"""Items that may fail one after the other, before their worker is taken for unfit."""
MOST_GROWTH_BYTES = 1 << 30
"""Memory that a worker may take beyond what it took when it began; then another takes its place."""


@dataclass
class RayReport(ShardReport):
    """What became of a run.

    Attributes:
        n_lost: Number of workers that were lost, and replaced.
        n_renewed: Number of workers that took too much memory, and were replaced.
        n_workers: The most workers that there were at a time.
        peak_bytes: The most memory that a worker took, by the name of its host.
    """

    n_lost: int = 0
    n_renewed: int = 0
    n_workers: int = 0
    peak_bytes: Counter[str] = field(default_factory=Counter)

    def measure(self, host: str, n_bytes: int) -> None:
        """Note how much memory a worker has taken."""
        self.peak_bytes[host] = max(self.peak_bytes[host], n_bytes)

    def describe_workers(self) -> str:
        """Describe the workers in one line: ``16 workers on 4 hosts, ...``."""
        hosts = format_count(len(self.peak_bytes), "host")
        parts = [f"{format_count(self.n_workers, 'worker')} on {hosts}"]
        if self.peak_bytes:
            parts.append(f"{format_bytes(max(self.peak_bytes.values()))} of memory each at most")
        if self.n_lost:
            parts.append(f"{self.n_lost} lost and replaced")
        if self.n_renewed:
            parts.append(f"{self.n_renewed} replaced for {_GROWN} more memory")
        return ", ".join(parts)


_GROWN = format_bytes(MOST_GROWTH_BYTES)


@dataclass(frozen=True)
class Work:
    """Items, and what hears them.

    Attributes:
        items: Numbers of the items.
        seconds: Length of each, in seconds.
        load: Gives the item of a number.
        open_runner: Opens the model in a worker; it can be pickled.
        run: Hash of model and settings, which each worker must come to.
    """

    items: Sequence[int]
    seconds: Sequence[float]
    load: Callable[[int], Item]
    open_runner: Callable[[], ItemRunner]
    run: str


@dataclass(frozen=True)
class OpenRunner:
    """Opens a runner in a worker, on whatever machine.

    Attributes:
        results: URL or absolute path of the folder with the plan.
        hearing: Model and settings.
        archive: Where the archive lies, if not where the plan says.
    """

    results: str
    hearing: Hearing
    archive: str | None = None

    def __call__(self) -> Runner:
        """Open it."""
        return Runner(self.results, self.hearing, archive=self.archive, describes=False)

    @classmethod
    def anywhere(
        cls, results: str, hearing: Hearing, archive: str | None, *, on_gpu: bool
    ) -> OpenRunner:
        """Make one that does not depend on the folder that this process stands in.

        On a GPU the model runs there or not at all. Elsewhere it runs on one thread, unless a
        number was asked for, because there is a worker for each core.
        """
        model = hearing.model
        if not is_bundled_name(model.name):
            model = replace(model, name=str(find_model(model.name).absolute()))
        if on_gpu and model.provider == "auto":
            model = replace(model, provider="cuda")
        elif not on_gpu and not model.n_threads:
            model = replace(model, n_threads=1)
        return cls(
            make_absolute(results),
            replace(hearing, model=model),
            None if archive is None else make_absolute(archive),
        )


def make_absolute(place: str) -> str:
    """Make a local path absolute; a URL stays as it is."""
    return place if "://" in place else str(Path(place).expanduser().absolute())


def run_on_ray(
    runner: Runner,
    manifest: Manifest,
    open_runner: OpenRunner,
    options: WorkerOptions,
    interrupted: Callable[[], bool],
) -> RayReport:
    """Hear the open items of an archive on Ray, and join recordings whose pieces are all there.

    Args:
        runner: Tells which items are open, and joins what no worker has joined.
        manifest: The manifest.
        open_runner: Opens the same in each worker.
        options: Where, and by how many workers.
        interrupted: Called often; True ends the run.

    Raises:
        UsageError: Ray is not installed, or this machine has not the GPUs that are asked for.
        ClusterError: No cluster can be joined, or no worker can hear anything.
        PlaceError: Results cannot be listed or written.
    """
    seconds = manifest.column("seconds")
    items = find_open_items(runner.results, manifest, runner.run)
    left = [seconds[number] for number in items]
    report = RayReport(n_skipped=len(seconds) - len(items))
    if not items:
        return report
    total_s = sum(seconds)
    progress = Progress(total_s, total_s - sum(left))
    try:
        with connect(options) as ray:
            work = Work(items, left, manifest.item, open_runner, runner.run)
            RayRun(ray, work, options, progress, report).run(interrupted)
        if not interrupted():
            # Pieces that were put at the same moment: neither worker may have seen all of them.
            for number in find_unjoined(runner.results, manifest, runner.run):
                report.add(runner.run_item(manifest.item(number)))
        progress.tell(now=True)
    finally:
        progress.close()
    return report


@dataclass
class _Hand:
    """A worker as the run knows it.

    Attributes:
        actor: The actor.
        n_faults: Workers in its place that were unfit, one after the other, before it.
        begun: What it said when it had begun; None before.
        full: Whether it takes too much memory, and ends when it has done with what it holds.
        n_failed: Items that failed one after the other.
    """

    actor: Any
    n_faults: int = 0
    begun: Begun | None = None
    full: bool = False
    n_failed: int = 0


class RayRun:
    """Items, workers, and what they say, in the order in which it comes.

    Args:
        ray: The module, connected.
        work: The items.
        options: How many workers.
        progress: Told of each item.
        report: Counts what becomes of them.
    """

    def __init__(
        self, ray: Any, work: Work, options: WorkerOptions, progress: Progress, report: RayReport
    ) -> None:
        self._ray, self._work, self._options = ray, work, options
        self._progress, self._report = progress, report
        self._backlog = Backlog(work.items, work.seconds)
        self._seconds = dict(zip(work.items, work.seconds, strict=True))
        self._hands: dict[int, _Hand] = {}
        self._loaded: dict[int, Item] = {}
        self._n_hired = self._n_left_empty = 0
        self._looked = self._waited = time.monotonic()
        self._came: SimpleQueue[tuple[int, int | None, Any]] = SimpleQueue()
        stop = ray.method(concurrency_group="stop")(Worker.stop)
        actor_class = type("Worker", (Worker,), {"stop": stop, "__module__": __name__})
        self._class = ray.remote(concurrency_groups={"stop": 1})(actor_class)

    def run(self, interrupted: Callable[[], bool]) -> None:
        """Hear all items, or as many as there are before an interrupt.

        Raises:
            ClusterError: No worker is left that can hear anything.
        """
        self._fill_places()
        try:
            while not self._backlog.done and not interrupted():
                with suppress(Empty):
                    self._take_in(*self._came.get(timeout=TICK_S))
                self._progress.tell()
                self._look_around()
            if not self._backlog.done:
                self._stop()
        finally:
            for hand in self._hands.values():
                self._ray.kill(hand.actor)

    def _stop(self) -> None:
        """Let workers end soon, so that none is killed while it puts a result."""
        for hand in self._hands.values():
            hand.actor.stop.remote()
        until = time.monotonic() + ENDING_S
        while any(map(self._backlog.held, self._hands)) and time.monotonic() < until:
            with suppress(Empty):
                number, item, future = self._came.get(timeout=TICK_S)
                if number in self._hands and item is not None:
                    self._backlog.finish(number, item)
                    if future.exception() is None and future.result().report is not None:
                        self._note(number, item, future.result())

    def _look_around(self) -> None:
        """Make more workers if there is more room, and say so if there is no room at all."""
        moment = time.monotonic()
        if self._backlog.n_workers:
            self._waited = moment
        elif moment - self._waited > WAITING_S:
            self._waited = moment
            gpus = f" and {self._options.gpus_each:g} GPU" if self._options.gpus else ""
            log.say(
                f"waiting for room: {format_count(len(self._hands), 'worker')} of 1 CPU{gpus} "
                "each; `ray status` shows what takes it"
            )
        if moment - self._looked > LOOK_S:
            self._looked = moment
            self._fill_places()

    def _fill_places(self) -> None:
        """Make as many workers as there are places, and no more than there are items."""
        for _ in range(self._count_places() - len(self._hands)):
            self._hire()

    def _count_places(self) -> int:
        wanted = self._options.workers or self._options.gpus
        if wanted is None:  # a cluster may grow and shrink
            wanted = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return min(wanted, len(self._seconds)) - self._n_left_empty

    def _hire(self, n_faults: int = 0) -> None:
        """Ask for a worker; Ray makes it as soon as there is room."""
        number = self._n_hired
        self._n_hired += 1
        actor = self._class.options(
            num_cpus=1, num_gpus=self._options.gpus_each, max_restarts=0, max_task_retries=0
        ).remote(self._work.open_runner)
        self._hands[number] = _Hand(actor, n_faults)
        self._follow(number, None, actor.begin.remote())

    def _follow(self, number: int, item: int | None, answer: Any) -> None:
        """Let an answer come to this run's thread when it is there."""
        answer.future().add_done_callback(lambda future: self._came.put((number, item, future)))

    def _take_in(self, number: int, item: int | None, future: Any) -> None:
        """Act on an answer: a worker has begun, has done with an item, or is lost."""
        hand = self._hands.get(number)
        if hand is None:  # what a lost worker held has been taken back
            return
        try:
            answer = future.result()
        except self._ray.exceptions.RayActorError as error:
            self._lose(number, str(error))
            return
        except Exception as error:  # noqa: BLE001, RUF100 - from the worker, or on the way
            reason = _describe(error)
            if item is None:
                self._dismiss(number, reason)
                return
            answer = Ended(None, reason, 0, 0)
        if item is None:
            if answer.run != self._work.run:
                self._dismiss(number, _describe_other(answer.host))
                return
            hand.begun = answer
            self._report.measure(answer.host, answer.resident_bytes)
            self._backlog.join(number)
            self._report.n_workers = max(self._report.n_workers, self._backlog.n_workers)
        else:
            self._backlog.finish(number, item)
            self._note(number, item, answer)
        if hand.n_failed >= MOST_IN_A_ROW:
            last = self._report.unheard[-1]
            self._dismiss(number, f"{hand.n_failed} items in a row failed; the last: {last}")
        else:
            self._supply(number)

    def _note(self, number: int, item: int, ended: Ended) -> None:
        """Count an item that a worker has done with."""
        hand, report = self._hands[number], ended.report
        assert hand.begun is not None
        self._report.measure(hand.begun.host, ended.peak_bytes)
        hand.full |= ended.resident_bytes > hand.begun.resident_bytes + MOST_GROWTH_BYTES
        if report is not None and report.outcome == "stopped":
            return
        if report is None:
            hand.n_failed += 1
            self._fail(item, ended.reason)
            return
        self._report.add(report)
        self._loaded.pop(item)
        if report.outcome == "failed":
            hand.n_failed += 1
        else:
            hand.n_failed = hand.n_faults = 0
        self._progress.add(self._seconds[item], report.kinds)

    def _fail(self, item: int, reason: str) -> None:
        """Count an item of which nothing was reported."""
        self._report.unheard.append(f"{_name(self._loaded.pop(item))}: {reason}")
        self._progress.add(self._seconds[item], [kind_of(reason)])

    def _supply(self, number: int) -> None:
        """Give a worker as many items as it takes; replace it if it takes too much memory."""
        hand = self._hands[number]
        if hand.full:
            if not self._backlog.held(number):
                self._report.n_renewed += 1
                self._backlog.leave(number)
                self._replace(number, hand.n_faults)
            return
        while (item := self._backlog.take(number)) is not None:
            self._loaded[item] = self._work.load(item)
            self._follow(number, item, hand.actor.run.remote(self._loaded[item]))

    def _lose(self, number: int, why: str) -> None:
        """Take back what a lost worker held, and make another in its place."""
        hand = self._hands[number]
        if hand.begun is None:
            self._dismiss(number, _last_line(why))
            return
        self._report.n_lost += 1
        with_its_node = "node has died" in why
        failed = self._backlog.leave(number, with_its_node=with_its_node)
        if failed is not None:
            n_times = MOST_LOSSES if with_its_node else MOST_DEATHS
            self._fail(failed, f"{n_times} workers ended while they heard it: {_last_line(why)}")
        self._replace(number, hand.n_faults)
        for idle in self._backlog.idle():
            self._supply(idle)

    def _dismiss(self, number: int, reason: str) -> None:
        """Make another worker in place of one that is unfit, or leave the place empty.

        Raises:
            ClusterError: No worker is left.
        """
        hand = self._hands[number]
        if hand.begun is not None:
            self._backlog.leave(number)
        if hand.n_faults + 1 < MOST_FAULTS:
            self._replace(number, hand.n_faults + 1)
        else:
            self._n_left_empty += 1
            self._ray.kill(self._hands.pop(number).actor)
            if not self._hands:
                raise ClusterError(f"no worker can go on: {reason}")
            log.say(f"warning: a worker cannot go on and is left out: {reason}")
        for idle in self._backlog.idle():
            self._supply(idle)

    def _replace(self, number: int, n_faults: int) -> None:
        """Make a worker in place of another, if there is room."""
        self._ray.kill(self._hands.pop(number).actor)  # it may be out of reach, and not dead
        if len(self._hands) < self._count_places():
            self._hire(n_faults)


def _describe_other(host: str) -> str:
    return (
        f"{host}: its model file is another one, or its streamclf: its results would be of another "
        "run"
    )


def _name(item: Item) -> str:
    """Name an item by its recordings: ``north/a.wav and 3 more``."""
    first, *others = item.recordings
    return f"{first.path} and {len(others)} more" if others else first.path


def _describe(error: Exception) -> str:
    """Describe what a worker has raised, in one line."""
    cause = getattr(error, "cause", None) or error
    return _last_line(str(cause)) or type(cause).__name__


def _last_line(text: str) -> str:
    return one_line(mask_text(text.strip().rpartition("\n")[2].strip()))
