"""Search in 30 days of one source: seconds from the example to the moments, and the recall.

    python benchmarks/search.py [--days 30] [--folder FOLDER] [--runs 5] [--exact]

The features are made up: 256 values of each half second, whose directions vary as unevenly as those
of the bundled model do, with 500 sounds that come back. Times are of searches in files that are in
memory already, the best and the median of the runs, on one thread and on all cores; processor
seconds are told as well, as the machine may have other work. With --exact every window is compared
in full, and the recall is the part of the best ten and hundred windows that the usual search, which
compares 10,000 in full, finds as well. A folder named by --folder is made once, and kept.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
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
from streamclf.teach.search.scan import find_like, make_likeness
from streamclf.teach.search.search import Scope, list_parts, search

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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        if not (folder / source_folder("yard")).is_dir():
            fill(folder, options.days)
        kept = FeatureStore(folder)
        parts = list_parts(kept, DIGEST, Scope())
        records = parts[len(parts) // 2].records
        at = int(np.flatnonzero(np.abs(np.diff(records["energy"].astype(float))) > 0)[5000])
        features = records["values"][at : at + 3].astype(np.float32) * 0.03
        example = Example(features, DIGEST, "made")
        n_windows = sum(len(part.records) for part in parts)
        print(f"{n_windows:,} windows of {len(parts)} days, {SIZE} values each")
        for n_threads in sorted({1, count_cores()}):
            walls, processor = [], []
            for _ in range(options.runs):
                began = time.perf_counter(), time.process_time()
                moments = search(kept, example, 10, n_threads=n_threads)
                walls.append(time.perf_counter() - began[0])
                processor.append(time.process_time() - began[1])
            print(
                f"{n_threads} threads: best {min(walls):.2f} s, median "
                f"{statistics.median(walls):.2f} s, processor {min(processor):.2f} s; the first is "
                f"{moments[0].likeness:.2f} alike"
            )
        if options.exact:
            compare(parts, example, n_windows)


def fill(folder: Path, n_days: int) -> None:
    """Make the features of some days."""
    random = np.random.default_rng(1)
    spread = (20 / np.sqrt(1 + np.arange(SIZE) / 8)).astype(np.float32)
    sounds = random.standard_normal((500, SIZE)).astype(np.float32) * spread * 1.5
    header = FeatureHeader(
        source="yard", model="made", version="1", digest=DIGEST, size=SIZE, scale=0.03,
        sample_rate=RATE, window=24_000, every_s=0.5,
    )  # fmt: skip
    target = folder / source_folder("yard")
    target.mkdir(parents=True)
    for day in range(n_days):
        begun = BEGIN + timedelta(days=day)
        records = np.zeros(N_A_DAY, record_type(SIZE))
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
        path = target / file_name(f"{begun:%Y-%m-%d}", DIGEST)
        path.write_bytes(write_header(header) + records.tobytes())


def compare(parts: list, example: Example, n_windows: int) -> None:
    """Compare the search with one that compares every window in full."""
    likeness = make_likeness(parts)
    wanted = likeness.place(example.features)
    quick = find_like(parts, likeness, wanted)
    began = time.process_time()
    exact = find_like(parts, likeness, wanted, n_best=n_windows)
    took_s = time.process_time() - began
    for n_best in (10, 100, 1000):
        first = [
            set(zip(f.parts[:n_best].tolist(), f.places[:n_best].tolist(), strict=True))
            for f in (quick, exact)
        ]
        print(f"recall of the best {n_best}: {len(first[0] & first[1]) / n_best:.3f}")
    print(f"the exact search takes {took_s:.1f} s of a processor")


if __name__ == "__main__":
    main()
