"""Questions to the results of a large archive, with the index of a run that is done and without.

    python -m benchmarks.archive_questions [--hours 100000] [--events 50] [--folder DIR]

Results of recordings of an hour at 40 sites are made, two to an item, with so many events an hour.
`streamclf heard` and `streamclf report` are then asked, each in a process of its own, and the
processors' time is compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.archive import Cost, run
from streamclf.archive.index import write_index
from streamclf.archive.local_place import LocalPlace
from streamclf.archive.manifest import Plan, make_manifest
from streamclf.archive.tables import COLUMNS, LEVELS, Table, make_schema, result_name

RUN = "0123456789abcdef"
RATE = 16_000
HOUR_US = 3_600_000_000
N_SITES = 40
BEGUN = date(2026, 6, 1)
WEEK = ("--since", "2026-06-03", "--until", "2026-06-09")
QUESTIONS = (
    ("heard", "--by", "label"),
    ("heard", "--by", "source", "--by", "label", "--format", "csv"),
    ("heard", "--by", "hour", "--label", "label 7"),
    ("heard", *WEEK, "--by", "label"),
    ("heard", *WEEK, "--label", "label 7", "--format", "csv"),
    ("heard", "--source", "site-04", "--by", "day", "--format", "csv"),
    ("report", *WEEK, "--overwrite", "--output"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1e5)
    parser.add_argument("--events", type=float, default=50.0, help="an hour")
    parser.add_argument("--folder", type=Path, help="for the results; they are kept")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        place = LocalPlace(folder)
        if not place.exists(f"runs/{RUN}.json"):
            began = time.process_time()
            write_results(place, round(options.hours / 2), options.events)
            print(f"{options.hours:,.0f} h made in {time.process_time() - began:.0f} CPU s")
        for name in place.names("index"):
            place.remove(name)
        without = [ask(folder, question) for question in QUESTIONS]
        began = time.process_time()
        write_index(place, RUN)
        size = sum(place.names("index").values())
        print(f"index: {size / 1e6:.0f} MB, written in {time.process_time() - began:.1f} CPU s")
        print(
            "\n| question | without index, CPU s | s | with it, CPU s | s |\n|---|---|---|---|---|"
        )
        for question, before in zip(QUESTIONS, without, strict=True):
            after = ask(folder, question)
            print(f"| `{' '.join(question)}` | {before.cpu_s:.1f} | {before.wall_s:.1f} | "
                  f"{after.cpu_s:.1f} | {after.wall_s:.1f} |")  # fmt: skip


def ask(folder: Path, question: tuple[str, ...]) -> Cost:
    """Ask a question in a process of its own."""
    page = [str(folder / "page.html")] if question[-1] == "--output" else []
    return run([[*question, *page, "--store", str(folder)]])


def write_results(place: LocalPlace, n_items: int, events_per_h: float) -> None:
    """Write results of items of two recordings."""
    plan = Plan(root="/field/2026", id="", item_minutes=120.0, recordings=0, unopened=0, items=0,
                seconds=0.0, made="2026-11-26T00:00:00+00:00", version="0")  # fmt: skip
    for name, data in make_manifest(plan, [], [])[1].items():
        place.put_whole(name, data)
    chance = np.random.default_rng(0)
    for number in range(n_items):
        site, day = f"site-{number % N_SITES:02}", BEGUN + timedelta(number // N_SITES // 12)
        for table, columns in make_columns(number, site, day, events_per_h, chance).items():
            name = result_name(table, RUN, site, day.isoformat(), number)
            write_columns(place.open_file(name, 0), table, columns)
    model = {"name": "made", "version": "1", "sha256": "0" * 64, "display_names": {}}
    place.put_whole(f"runs/{RUN}.json", json.dumps({"run": RUN, "model": model}).encode())


def make_columns(
    number: int, site: str, day: date, events_per_h: float, chance: np.random.Generator
) -> dict[Table, dict[str, Any]]:
    """Make the columns of an item's tables."""
    first_hour = (day - date(1970, 1, 1)).days * 24 + number // N_SITES % 12 * 2

    def at(recording: np.ndarray, seconds: np.ndarray) -> dict[str, Any]:
        local_us = (first_hour + recording) * HOUR_US + (seconds * 1e6).astype(np.int64)
        samples = (seconds * RATE).astype(np.int64)
        return {
            "run": RUN, "site": site, "date": day, "utc_offset_min": 120,
            "source": np.char.mod(f"{site}/{number:06}-%d.flac", recording),
            "recording": 2 * number + recording, "time": local_us - 2 * HOUR_US,
            "local_time": local_us, "onset": seconds, "onset_sample": samples,
            "offset": seconds + 2, "offset_sample": samples + 2 * RATE,
        }  # fmt: skip

    both = np.arange(2)
    of = np.repeat(both, chance.poisson(events_per_h, 2))
    score = chance.uniform(0.5, 1, of.size)
    minutes = np.tile(np.arange(60) * 60.0, 2)
    whole = {"promised": 3600, "heard": 3600, "missing": 0, "failed": 0, "beyond": 0}
    heard = at(both, np.zeros(2))
    return {
        "heard": {
            **heard, "state": "whole", "reason": None, "n_events": np.bincount(of, minlength=2),
            "end_time": heard["time"] + HOUR_US, "bytes": 180_000_000, "source_rate": 48_000,
            "sample_rate": RATE, "windows": 7200,
            **{f"{name}_s": float(n) for name, n in whole.items()},
            **{f"{name}_samples": n * RATE for name, n in whole.items()},
        },
        "gaps": {**at(of[:0], score[:0]), "cause": "damaged", "n_samples": 0},
        "levels": {
            **at(np.repeat(both, 60), minutes), "heard_s": 60.0, "heard_samples": 60 * RATE,
            **dict.fromkeys(LEVELS, chance.normal(-50, 5, 120)),
        },
        "events": {
            **at(of, chance.uniform(0, 3590, of.size)), "short": False, "id": "made",
            "label": np.char.mod("label %d", chance.integers(0, 50, of.size)),
            "score": score, "begin_score": score / 2,
        },
    }  # fmt: skip


def write_columns(path: Path, table: Table, columns: dict[str, Any]) -> None:
    """Write a file of results from its columns, which is quicker than from its rows."""
    schema, n_rows = make_schema(table), len(columns["recording"])
    arrays = [
        pa.array(value).cast(field.type)
        if isinstance(value := columns[field.name], np.ndarray)
        else pa.repeat(pa.scalar(value, field.type), n_rows)
        for field in schema
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    repeated = [each.name for each in COLUMNS[table] if each.is_repeated]
    made = pa.Table.from_arrays(arrays, schema=schema)
    pq.write_table(made, path, compression="zstd", use_dictionary=repeated)


if __name__ == "__main__":
    main()
