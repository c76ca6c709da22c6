"""A run on a cluster that loses nodes, and of items that end their workers or fail: a script.

    python tests/lost_nodes.py RESULTS MODEL DEADLY WRONG PATIENCE_S

DEADLY and WRONG are numbers of items. It prints a JSON object: what was not heard, how many workers
were lost, and the line about them. It is a process of its own because threads of Ray live on in one
that has been connected, and end it when they miss a cluster that is gone.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path

from poisoned import OpenPoisoned

from streamclf.archive.local_place import LocalPlace
from streamclf.archive.manifest import read_manifest
from streamclf.archive.on_ray import run_on_ray
from streamclf.archive.run_item import Hearing, Runner
from streamclf.archive.workers import WorkerOptions
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions

MEMORY = {"object_store_memory": 80_000_000}


class Nodes:
    """A cluster of a node that stays and of nodes that do not."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1, "include_dashboard": False, "include_log_monitor": False,
                "no_monitor": True, **MEMORY,
            },
        )  # fmt: skip
        self.address = self._cluster.address
        self._added = [self._cluster.add_node(num_cpus=1, **MEMORY) for _ in range(2)]

    def kill_at_random(self, results: Path, ended: threading.Event) -> None:
        """Kill the nodes that were added, one after another, while a run puts its results."""
        chance = random.Random(0)
        n_done = 0
        for node in self._added:
            n_done += chance.randint(1, 3)
            while len(list(results.glob("*s/**/*.parquet"))) < n_done and not ended.is_set():
                time.sleep(0.05)
            time.sleep(chance.uniform(0, 0.5))
            self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End the cluster."""
        self._cluster.shutdown()


def main(results: str, model: str, deadly: str, wrong: str, patience_s: str) -> None:
    """Run, and print what came of it."""
    hearing = Hearing(ModelOptions(model), Settings(), ThresholdOptions())
    poisoned = OpenPoisoned(
        results, hearing, None, frozenset([int(deadly)]), frozenset([int(wrong)]), pause_s=0.3
    )
    until = time.monotonic() + float(patience_s)
    nodes, ended = Nodes(), threading.Event()
    killer = threading.Thread(target=nodes.kill_at_random, args=(Path(results), ended))
    killer.start()
    try:
        report = run_on_ray(
            Runner(results, hearing), read_manifest(LocalPlace(Path(results))), poisoned,
            WorkerOptions(ray=nodes.address), lambda: time.monotonic() > until,
        )  # fmt: skip
    finally:
        ended.set()
        killer.join()
        nodes.close()
    told = {"unheard": sorted(report.unheard), "n_lost": report.n_lost}
    print(json.dumps(told | {"workers": report.describe_workers()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
