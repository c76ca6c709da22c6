"""Search in 30 days of one source: seconds from the example to the moments, and the recall.

    python benchmarks/search.py [--days 30] [--folder FOLDER] [--runs 5] [--exact] [--usearch]

The features are made up: 256 values of each half second, whose directions vary as unevenly as those
of the bundled model do, with 500 sounds that come back. They are searched for an example of 3
windows and for one of 15. Times are of searches in files that are in memory already, the best and
the median of the runs, on one thread and on all cores. Processor seconds are told as well, as the
machine may have other work: a search takes its processor seconds divided by the threads, where
nothing else runs. A folder named by --folder is made once, and kept.

With --exact every window is compared in full, plainly, by numpy. The ratio is that of the processor
seconds of both, and the recall is the part of the best 10, 100 and 1,000 windows that the usual
search, which compares 10,000 in full, finds as well.

With --usearch an index of `usearch` (which has to be installed) is built of the first 100,000
windows, and searched, for what building one takes and what it finds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from streamclf.core.cpu_count import count_cores
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.features.layout import (
    FeatureHeader,
    file_name,
    record_type,
    source_folder,
    write_header,
)
from streamclf.teach.search.example import Example
from streamclf.teach.search.scan import Part, find_like, make_likeness
from streamclf.teach.search.search import Scope, list_parts, search

LABELS = tuple("abcdefghijkl")
N_INDEXED = 100_000
SCALE = np.float32(0.03)
SIZE, RATE, DIGEST = 256, 16_000, "0123456789abcdef"
N_A_DAY = 2 * 86_400
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)


def main() -> None:
    """Make the features, search, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--usearch", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        if not (folder / source_folder("yard")).is_dir():
            fill(folder, options.days)
        kept = FeatureStore(folder)
        parts = list_parts(kept, DIGEST, Scope())
        n_windows = sum(len(part.records) for part in parts)
        print(f"{n_windows:,} windows of {len(parts)} days, {SIZE} values each")
        for n_wanted in (3, 15):
            example = take_example(parts, n_wanted)
            took_s = measure(kept, example, options.runs)
            if options.exact:
                compare(parts, example, took_s)
        if options.usearch:
            index(parts, take_example(parts, 3))


def take_example(parts: Sequence[Part], n_windows: int) -> Example:
    """Take an example from the middle of the past."""
    records = parts[len(parts) // 2].records
    features = records["values"][5000 : 5000 + n_windows].astype(np.float32) * SCALE
    return Example(features, DIGEST, "made")


def measure(kept: FeatureStore, example: Example, n_runs: int) -> float:
    """Search several times; returns the fewest processor seconds on one thread."""
    fewest_s = []
    for n_threads in sorted({1, count_cores()}):
        walls, processor = [], []
        for _ in range(n_runs):
            began = time.perf_counter(), time.process_time()
            search(kept, example, 10, n_threads=n_threads)
            walls.append(time.perf_counter() - began[0])
            processor.append(time.process_time() - began[1])
        print(
            f"example of {len(example.features)} windows, {n_threads} threads: best "
            f"{min(walls):.2f} s, median {statistics.median(walls):.2f} s, processor "
            f"{min(processor):.2f} s"
        )
        fewest_s.append(min(processor))
    return fewest_s[0]


def fill(folder: Path, n_days: int) -> None:
    """Make the features of some days."""
    random = np.random.default_rng(1)
    spread = (20 / np.sqrt(1 + np.arange(SIZE) / 8)).astype(np.float32)
    sounds = random.standard_normal((500, SIZE)).astype(np.float32) * spread * 1.5
    header = FeatureHeader(
        source="yard", model="made", version="1", digest=DIGEST, size=SIZE, scale=float(SCALE),
        sample_rate=RATE, window=24_000, every_s=0.5, labels=LABELS, n_scores=len(LABELS),
    )  # fmt: skip
    target = folder / source_folder("yard")
    target.mkdir(parents=True)
    for day in range(n_days):
        begun = BEGIN + timedelta(days=day)
        records = np.zeros(N_A_DAY, record_type(SIZE, len(LABELS)))
        numbers = np.arange(N_A_DAY)
        records["time_us"] = round(begun.timestamp()) * 1_000_000 + numbers * 500_000
        records["position"] = (day * N_A_DAY + numbers) * RATE // 2
        records["n_samples"] = 24_000
        for start in range(0, N_A_DAY, 8192):
            block = records[start : start + 8192]
            values = random.standard_normal((len(block), SIZE), np.float32) * spread + 10
            for place in range(0, len(block) - 8, 60):
                values[place : place + 4] += sounds[random.integers(500)]
            block["values"] = np.clip(np.rint(values), -127, 127)
            block["energy"] = np.square(block["values"].astype(np.int32)).sum(axis=1)
        path = target / file_name(f"{begun:%Y-%m-%d}", DIGEST, kind=header.kind)
        path.write_bytes(write_header(header) + records.tobytes())


def compare(parts: Sequence[Part], example: Example, took_s: float) -> None:
    """Compare the search with a plain one of numpy that compares every window in full."""
    likeness = make_likeness(parts)
    wanted = likeness.place(example.features)
    quick = find_like(parts, likeness, wanted)
    began = time.process_time()
    rated = []
    for part in parts:
        for start in range(0, len(part.records), 8192):
            values = part.records["values"][start : start + 8192].astype(np.float32) * SCALE
            turned = (values - likeness.mean) @ likeness.turn
            turned /= np.linalg.norm(turned, axis=1, keepdims=True)
            rated.append((turned @ wanted.T).max(axis=1))
    every = np.concatenate(rated)
    best = np.argsort(-every, kind="stable")[:1000]
    exact_s = time.process_time() - began
    begins = np.cumsum([0, *(len(part.records) for part in parts)])
    found = begins[quick.parts] + quick.places
    recall = ", ".join(
        f"{len(set(best[:n].tolist()) & set(found[:n].tolist())) / n:.3f}" for n in (10, 100, 1000)
    )
    print(
        f"  plain and exact: processor {exact_s:.1f} s, {exact_s / took_s:.0f} times as long; "
        f"recall of its best 10, 100 and 1000: {recall}"
    )


def index(parts: Sequence[Part], example: Example) -> None:
    """Build an index of usearch, and search it."""
    from usearch.index import Index

    likeness = make_likeness(parts)
    wanted = likeness.place(example.features)
    places = likeness.place(parts[0].records["values"][:N_INDEXED].astype(np.float32) * SCALE)
    exact = np.argsort(-(places @ wanted.T).max(axis=1))[:100].tolist()
    made = Index(ndim=SIZE, metric="cos", dtype="i8", expansion_search=512)
    began = time.process_time()
    made.add(np.arange(len(places)), _in_steps(places), threads=1)
    built_s = time.process_time() - began
    began = time.process_time()
    nearest: dict[int, float] = {}
    for matches in made.search(_in_steps(wanted), 100):
        for key, distance in zip(matches.keys.tolist(), matches.distances.tolist(), strict=True):
            nearest[key] = min(distance, nearest.get(key, 9.0))
    searched_s = time.process_time() - began
    found = sorted(nearest, key=nearest.__getitem__)
    recall = ", ".join(f"{len(set(exact[:n]) & set(found[:n])) / n:.2f}" for n in (10, 100))
    print(
        f"usearch: index of {len(places):,} windows built in processor {built_s:.1f} s "
        f"({made.memory_usage / len(places):.0f} bytes a window), searched in {searched_s:.4f} s; "
        f"recall of the best 10 and 100: {recall}"
    )


def _in_steps(places: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(places * 127 * 4), -127, 127).astype(np.int8)


if __name__ == "__main__":
    main()
