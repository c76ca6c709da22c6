"""What a thousand nodes and a million items ask of an archive's parts.

    python -m benchmarks.archive_scale [manifest] [store] [driver] [nodes]

``manifest``: size of a plan, and time to make, read and look through it. ``store``: requests of a
plan and of a run, counted at an S3 server on loopback (moto). ``driver``: what an item that does
nothing costs the process that gives items out, and Ray, on this machine. ``nodes``: a simulation of
events with the backlog as it is, and with the costs that are given (by default those measured).
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import os
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.archive import MARK, look, run
from streamclf.archive.backlog import Backlog
from streamclf.archive.local_place import LocalPlace
from streamclf.archive.manifest import Item, Plan, PlannedRecording, make_manifest, read_manifest
from streamclf.archive.on_ray import RayReport, RayRun, Work
from streamclf.archive.progress import Progress
from streamclf.archive.ray_connection import connect
from streamclf.archive.run_item import ItemReport, find_open_items
from streamclf.archive.workers import WorkerOptions
from streamclf.cli import main as cli

MILLION = 1_000_000
CORES = 16
"""Cores of a simulated node."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["manifest", "store", "driver", "nodes"])
    parser.add_argument("--items", type=int, default=100_000, help="items of the manifest")
    parser.add_argument("--no-ops", type=int, default=4000, help="items that do nothing")
    parser.add_argument("--driver-ms", type=float, default=0.6, help="of the driver, an item")
    parser.add_argument("--speed", type=float, default=440.0, help="x real time of a core")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    if "manifest" in options.parts:
        measure_manifest(options.items)
    if "store" in options.parts:
        count_requests()
    if "driver" in options.parts:
        measure_driver(options.no_ops)
    if "nodes" in options.parts:
        simulate(options.driver_ms / 1000, options.speed)


def etag(number: int) -> str:
    """What a store says of a file, of which nothing can be compressed."""
    return f'"{hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()}-11"'


def planned_item(number: int) -> Item:
    """An item of two recordings of an hour."""
    site, day = f"site-{number % 1000:04}", 1 + number // 1000 % 28
    recordings = tuple(
        PlannedRecording(
            2 * number + n, f"{site}/2026/06/{day:02}/{site}_202606{day:02}_{n:02}0000.flac",
            180_000_000 + 7919 * number % 1_000_003, etag(2 * number + n), 48_000, 1, 3600.0,
            172_800_000, 1_780_000_000_000 + 3_600_000 * number, 120, site, f"2026-06-{day:02}",
        )
        for n in range(2)
    )  # fmt: skip
    return Item(number, "whole", recordings, seconds=7200.0)


def measure_manifest(n_items: int) -> None:
    """Measure a plan's size, and the time to make, read and look through it."""
    plan = Plan(root="s3://field/2026", id="", item_minutes=120.0, recordings=0, unopened=0,
                items=0, seconds=0.0, made="2026-11-26T00:00:00+00:00", version="0")  # fmt: skip
    items = [planned_item(number) for number in range(n_items)]
    recordings = [each for item in items for each in item.recordings]
    began = time.process_time()
    _, files = make_manifest(plan, recordings, items)
    made_s = time.process_time() - began
    del items, recordings
    with tempfile.TemporaryDirectory() as folder:
        place = LocalPlace(Path(folder))
        for name, data in files.items():
            place.put_whole(name, data)
        began = time.process_time()
        manifest = read_manifest(place)
        read_s = time.process_time() - began
        began = time.process_time()
        open_items = find_open_items(place, manifest, "0" * 16)
        seconds = manifest.column("seconds")
        Backlog(open_items, [seconds[number] for number in open_items])
        looked_s = time.process_time() - began
        began = time.process_time()
        for number in range(0, n_items, n_items // 1000):
            manifest.item(number)
        loaded_s = (time.process_time() - began) / 1000
    size = sum(map(len, files.values()))
    print(f"manifest: {n_items:,} items, {2 * n_items:,} recordings: {size / 1e6:.1f} MB, "
          f"{size / n_items:.0f} bytes an item; made in {made_s:.1f} CPU s, read in {read_s:.2f}, "
          f"open items found and sorted in {looked_s:.2f}, an item loaded in "
          f"{1e6 * loaded_s:.0f} us; {_peak_mb():.0f} MB at most")  # fmt: skip


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def counting_store() -> Iterator[Counter[str]]:
    """Run moto's S3 server, and count requests by their kinds."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *args: Any) -> None:
            pass

    counts: Counter[str] = Counter()
    app = DomainDispatcherApplication(create_backend_app)

    def answer(request: dict[str, Any], start: Any) -> Any:
        kind = request["REQUEST_METHOD"]
        counts["LIST" if "list-type" in request["QUERY_STRING"] else kind] += 1
        return app(request, start)

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Quiet)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def count_requests() -> None:
    """Count the requests of a plan, an item of short recordings, and a long recording."""
    import fsspec

    chance = np.random.default_rng(0)
    with counting_store() as counts:
        store = fsspec.filesystem("s3")
        store.mkdir("field")
        store.mkdir("results")
        megabytes: dict[str, float] = {}
        for kind, lengths in {"short": [300] * 12, "long": [7200]}.items():
            with tempfile.TemporaryDirectory() as folder:
                for number, seconds in enumerate(lengths):
                    path = Path(folder) / f"{number}.wav"
                    noise = chance.normal(0, 1000, seconds * 16_000).astype(np.int16)
                    soundfile.write(path, noise, 16_000)
                    megabytes[kind] = megabytes.get(kind, 0) + path.stat().st_size / 1e6
                    store.put_file(str(path), f"field/{kind}/site/{number}.wav")
        print("store: requests by kind")
        for kind, minutes in (("short", 120), ("long", 30)):
            counts.clear()
            out = f"s3://results/{kind}"
            arguments = ["archive", "plan", f"s3://field/{kind}", "--out", out]
            assert cli.run([*arguments, "--item-minutes", str(minutes)]) == 0
            planned = dict(counts)
            counts.clear()
            assert cli.run(["archive", "run", out, "--shard", "1/1", "-q"]) == 0
            print(f"  {kind}: {megabytes[kind]:.0f} MB; plan {planned}; run {dict(counts)}")
            counts.clear()
            assert cli.run(["archive", "run", out, "--shard", "1/1", "-q"]) == 0
            print(f"  {kind}: run again, with nothing to do: {dict(counts)}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "any.wav"
            soundfile.write(path, chance.normal(0, 1000, 16_000).astype(np.int16), 16_000)
            plans = []
            for n_files in (1, 300):
                for number in range(n_files):
                    store.put_file(str(path), f"field/many-{n_files}/site/{number}.wav")
                out = f"s3://results/many-{n_files}"
                plans.append(run([["archive", "plan", f"s3://field/many-{n_files}", "--out", out]]))
        print(f"  each header: {1000 * (plans[1].cpu_s - plans[0].cpu_s) / 299:.1f} CPU ms")


class NoOps:
    """A runner that hears nothing."""

    run = "none"

    def run_item(self, item: Item) -> ItemReport:
        """Say that it is done."""
        return ItemReport(item.number, "done", item.seconds, item.seconds, elapsed_s=0.0)

    def stop(self) -> None:
        """Nothing to stop."""


def measure_driver(n_items: int) -> None:
    """Measure what items that do nothing cost the driver, and the parts of Ray."""
    marked = f"{MARK}={os.getpid()}"
    os.environ[MARK] = str(os.getpid())
    items = [planned_item(number) for number in range(n_items)]
    options = WorkerOptions(workers=2)
    with connect(options) as ray:

        def go(numbers: range) -> None:
            progress = Progress(7200.0 * len(numbers), every_s=1e9)
            work = Work(numbers, [7200.0] * len(numbers), items.__getitem__, NoOps, "none")
            RayRun(ray, work, options, progress, RayReport()).run(lambda: False)

        go(range(200))
        before: dict[tuple[str, str], float] = {}
        look(marked.encode(), before)
        began, own = time.monotonic(), time.process_time()
        go(range(n_items))
        wall_s, own_s = time.monotonic() - began, time.process_time() - own
        after = dict(before)
        look(marked.encode(), after)
        others_s = sum(after.values()) - sum(before.values())
    print(f"driver: {n_items:,} items that do nothing by 2 workers in {wall_s:.1f} s, "
          f"{n_items / wall_s:,.0f} a second; {1000 * own_s / n_items:.3f} CPU ms an item in the "
          f"driver, {1000 * others_s / n_items:.3f} in Ray and the workers, their start "
          "included")  # fmt: skip


@dataclass
class Outcome:
    """What became of a simulated run.

    Attributes:
        end_s: When the last item was done.
        first_idle_s: When the first worker found no more items.
        driver_s: Time that the driver worked.
        n_lost: Nodes lost.
    """

    end_s: float
    first_idle_s: float
    driver_s: float
    n_lost: int


HIRED_PER_S = 389.0
"""Actors that Ray makes a second, from its own release test of 10,000 actors (Ray 1.12)."""
NEW_NODE_S = 300.0
"""Time until a lost node is replaced."""


def simulate(driver_s: float, speed: float) -> None:
    """Simulate runs of a million items on more and more nodes."""
    chance = np.random.default_rng(0)
    seconds = np.full(MILLION, 7200.0)
    mixed = np.where(chance.random(MILLION) < 0.002, 86_400.0, seconds)
    uneven = chance.uniform(600, 7200, MILLION)
    print(f"nodes: {MILLION:,} items, {CORES} cores of {speed:g} x real time each (nodes differ by "
          f"20 %), {1000 * driver_s:g} ms of the driver an item, a node lost each 100 h of "
          "nodes\n")  # fmt: skip
    print("| nodes | items | order | hours of audio | takes | of the ideal | driver busy | tail | "
          "nodes lost |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for n_nodes, name, lengths, longest_first in (
        (10, "2 h each", seconds, True),
        (100, "2 h each", seconds, True),
        (1000, "2 h each", seconds, True),
        (1000, "10 min to 2 h", uneven, True),
        (1000, "10 min to 2 h", uneven, False),
        (1000, "2 h, 1 in 500 of 24 h", mixed, True),
        (1000, "2 h, 1 in 500 of 24 h", mixed, False),
    ):
        simulation = Simulation(n_nodes, lengths, driver_s, speed, longest_first=longest_first)
        outcome = simulation.run()
        ideal_s = lengths.sum() / speed / CORES / n_nodes
        print(f"| {n_nodes:,} | {name} | {'longest first' if longest_first else 'as planned'} | "
              f"{lengths.sum() / 3600:,.0f} | {outcome.end_s / 3600:.2f} h | "
              f"{outcome.end_s / ideal_s:.3f} | {100 * outcome.driver_s / outcome.end_s:.0f} % | "
              f"{outcome.end_s - outcome.first_idle_s:.0f} s | {outcome.n_lost} |")  # fmt: skip


JOINS, ENDS, NOTED, LOSS = range(4)
"""What happens: a worker joins, an item ends, the driver has taken note of it, a node is lost."""


class Simulation:
    """A run of many nodes, event by event.

    Args:
        n_nodes: Number of nodes.
        seconds: ``(items,)``, audio of each.
        driver_s: Time that the driver takes for an item.
        speed: Seconds of audio that a core hears in a second.
        longest_first: Whether long items are given out first.
        lost_each_h: Hours after which a node is lost, on average.
    """

    def __init__(
        self,
        n_nodes: int,
        seconds: np.ndarray,
        driver_s: float,
        speed: float,
        *,
        longest_first: bool = True,
        lost_each_h: float = 100.0,
    ) -> None:
        self._n_nodes, self._seconds, self._driver_s = n_nodes, seconds, driver_s
        self._lost_each_s = 3600 * lost_each_h / n_nodes
        self._chance = np.random.default_rng(1)
        n_workers = n_nodes * CORES
        weights = seconds if longest_first else np.ones(len(seconds))
        self._backlog = Backlog(range(len(seconds)), weights)
        pace = np.exp(self._chance.normal(0, 0.2, n_nodes))
        self._pace = speed * pace / pace.mean()
        self._queues: list[list[int]] = [[] for _ in range(n_workers)]
        self._lives = [0] * n_workers  # what was to happen to a worker that is lost does not
        # When, what, worker, its life, item.
        self._events: list[tuple[float, int, int, int, int]] = []
        for worker in range(n_workers):
            self._plan(worker / HIRED_PER_S, JOINS, worker)
        self._plan_loss(0.0)
        self._driver_free = self._busy = self._end_s = 0.0
        self._first_idle, self._n_lost = float("inf"), 0

    def run(self) -> Outcome:
        """Let everything happen until all items are done."""
        while not self._backlog.done and self._events:
            now, what, worker, life, item = heapq.heappop(self._events)
            if what == LOSS:
                self._lose_node(now)
            elif life != self._lives[worker]:
                continue
            elif what == ENDS:
                self._end(worker, item, now)
            elif what == JOINS:
                self._backlog.join(worker)
                self._supply(worker, now)
            else:
                self._backlog.finish(worker, item)
                self._end_s = now
                self._supply(worker, now)
        first_idle_s = min(self._first_idle, self._end_s)
        return Outcome(self._end_s, first_idle_s, self._busy, self._n_lost)

    def _plan(self, when: float, what: int, worker: int, item: int = 0) -> None:
        heapq.heappush(self._events, (when, what, worker, self._lives[worker], item))

    def _plan_loss(self, now: float) -> None:
        when = now + self._chance.exponential(self._lost_each_s)
        heapq.heappush(self._events, (when, LOSS, 0, 0, 0))

    def _begin(self, worker: int, now: float) -> None:
        item = self._queues[worker][0]
        took = self._seconds[item] / self._pace[worker // CORES]
        self._plan(now + took, ENDS, worker, item)

    def _end(self, worker: int, item: int, now: float) -> None:
        """Let a worker go on with its next item, while the driver takes note of this one."""
        queue = self._queues[worker]
        queue.pop(0)
        if queue:
            self._begin(worker, now)
        self._driver_free = max(self._driver_free, now) + self._driver_s
        self._busy += self._driver_s
        self._plan(self._driver_free, NOTED, worker, item)

    def _supply(self, worker: int, now: float) -> None:
        """Give a worker items, as many as it may hold."""
        queue = self._queues[worker]
        while (item := self._backlog.take(worker)) is not None:
            queue.append(item)
            if len(queue) == 1:
                self._begin(worker, now)
        if not queue and not self._backlog.n_waiting:
            self._first_idle = min(self._first_idle, now)

    def _lose_node(self, now: float) -> None:
        """Lose a node with its workers; another one comes in its place."""
        node = int(self._chance.integers(self._n_nodes))
        self._n_lost += 1
        for worker in range(node * CORES, (node + 1) * CORES):
            if worker in self._backlog._held:
                self._backlog.leave(worker, with_its_node=True)
            self._lives[worker] += 1
            self._queues[worker] = []
            self._plan(now + NEW_NODE_S, JOINS, worker)
        for worker in self._backlog.idle():
            self._supply(worker, now)
        self._plan_loss(now)


if __name__ == "__main__":
    main()
