"""Speed by batch size and number of threads, for a recording.

    python benchmarks/batches.py [--model M] [--seconds 120] [--hop 0.5] [--threads 1,2]
                                 [--batches 1,4,16,32,64,128]

Each pair is timed in turn with the first (a batch of one window, the first number of threads), and
compared with it; figures are medians of five rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from streamclf.checks.bench import write_noise
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.engine import Engine
from streamclf.sources.recording.recording import Recording

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--hop", type=float, default=0.5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batches", default="1,4,16,32,64,128")
    options = parser.parse_args()
    threads = [int(n) for n in options.threads.split(",")]
    batches = [int(n) for n in options.batches.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.wav"
        write_noise(path, options.seconds)
        print("| threads | windows at once | x real time | of the first | CPU s/h |")
        print("|---|---|---|---|---|")
        slowest = pipeline(path, options.model, threads[0], batches[0], options.hop)
        for n_threads in threads:
            for batch in batches:
                run = pipeline(path, options.model, n_threads, batch, options.hop)
                wall, cpu, ratio = compare(slowest, run)
                print(
                    f"| {n_threads} | {batch} | {options.seconds / wall:.0f} | {ratio:.2f} | "
                    f"{cpu * 3600 / options.seconds:.2f} |",
                    flush=True,
                )


def pipeline(
    path: Path, model: str, n_threads: int, batch: int, hop: float
) -> Callable[[], tuple[float, float]]:
    """The pipeline of `streamclf file`, warmed up.

    Returns:
        A function that runs it and returns wall and CPU seconds.
    """
    classifier = Classifier(Model(find_model(model), provider="cpu", n_threads=n_threads))
    classifier.split()
    engine = Engine(classifier, Settings(hop, batch_size=batch))

    def run() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        with Recording(path) as recording:
            for _ in engine.run(recording):
                pass
        return time.perf_counter() - wall, time.process_time() - cpu

    run()
    return run


def compare(
    baseline: Callable[[], tuple[float, float]], run: Callable[[], tuple[float, float]]
) -> tuple[float, float, float]:
    """Median wall and CPU seconds of a run, and its speed relative to the baseline."""
    pairs = [(baseline(), run()) for _ in range(ROUNDS)]
    walls = [[own[k][0] for own in pairs] for k in (0, 1)]
    base, wall = map(statistics.median, walls)
    return wall, statistics.median(own[1][1] for own in pairs), base / wall


if __name__ == "__main__":
    main()
