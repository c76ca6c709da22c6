"""Questions to a store of a million events: seconds from the command to its answer.

    python benchmarks/heard.py [--events 1000000] [--runs 5] [--store FILE]

The store holds a year of three sources: events of 50 labels, some frequent and most rare, and a
row of levels for each minute. Each question is a whole process, run in turn; the medians are told.
The limit is 0.5 s for `heard` without options. A store named by --store is made once, and kept.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamclf.store.database import connect, transaction

N_DAYS, N_SOURCES, RATE = 365, 3, 16_000
DAY_US, MINUTE_US = 86_400_000_000, 60_000_000
QUESTIONS = {
    "an empty program (python -c pass)": None,
    "--help": ["heard", "--help"],
    "heard: today": ["heard"],
    "heard --since '7 days ago'": ["heard", "--since", "7 days ago"],
    "a week, --by hour --by source": [
        "heard", "--since", "7 days ago", "--by", "hour", "--by", "source",
    ],
    "all, --by label": ["heard", "--by", "label"],
    "all, --by hour": ["heard", "--by", "hour"],
    "all, --by day": ["heard", "--by", "day"],
    "all, --by source": ["heard", "--by", "source"],
    "all, --by hour --by source": ["heard", "--by", "hour", "--by", "source"],
    "all, --label label_07 --by hour": ["heard", "--label", "label_07", "--by", "hour"],
    "a day as CSV": ["heard", "--since", "yesterday", "--until", "yesterday", "--format", "csv"],
    "report --week": ["report", "--week", "--overwrite", "-o", "{folder}/week.html"],
}  # fmt: skip


def fill(path: Path, n_events: int, n_labels: int = 50) -> None:
    """Make the store; its last event is of a minute ago."""
    chance = random.Random(1)
    end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    begin_us = round((end - timedelta(days=N_DAYS)).timestamp()) * 1_000_000
    connection = connect(path, create=True)
    with transaction(connection):
        for source in range(N_SOURCES):
            connection.execute("INSERT INTO sources (name) VALUES (?)", (f"source {source}",))
        connection.execute("INSERT INTO models (name, version, sha256) VALUES ('m', '1', 'x')")
        connection.executemany(
            "INSERT INTO runs (token, source_id, model_id, writer, sample_rate, first_position, "
            "begun_us, utc_offset_min, elapsed_samples, heard_samples, state) "
            "VALUES (?, ?, 1, 'w', ?, 0, ?, 60, ?, ?, 'ended')",
            [
                (f"{source}-{day}", source + 1, RATE, begin_us + day * DAY_US, 86_400 * RATE,
                 86_400 * RATE)
                for source in range(N_SOURCES) for day in range(N_DAYS)
            ],
        )  # fmt: skip
        connection.executemany(
            "INSERT INTO events (run_id, source_id, label, onset_us, offset_us, utc_offset_min, "
            "began_us, score, highest_score, onset, offset, state) "
            "VALUES (?, ?, ?, ?, ?, 60, ?, 0.5, ?, ?, ?, 'ended')",
            _events(chance, begin_us, n_events, n_labels),
        )
        connection.executemany(
            "INSERT INTO levels (run_id, position, minute_us, utc_offset_min, heard_samples, laeq, "
            "lamax, la10, la50, la90, zeq) VALUES (?, ?, ?, 60, ?, -40, -30, -35, -45, -50, -40)",
            (
                (source * N_DAYS + minute // 1440 + 1, minute % 1440 * 60 * RATE,
                 begin_us + minute * MINUTE_US, 60 * RATE)
                for source in range(N_SOURCES) for minute in range(N_DAYS * 1440)
            ),
        )  # fmt: skip
    connection.close()


def _events(
    chance: random.Random, begin_us: int, n_events: int, n_labels: int
) -> Iterator[tuple[object, ...]]:
    for place_us in sorted(chance.randrange(N_DAYS * DAY_US) for _ in range(n_events)):
        source = chance.randrange(N_SOURCES)
        number = min(int(chance.expovariate(6 / n_labels)), n_labels - 1)
        label = f"label_{number:02}"
        onset_us, length_us = begin_us + place_us, chance.randrange(1, 20) * 500_000
        onset = (place_us % DAY_US) * RATE // 1_000_000
        yield (
            source * N_DAYS + place_us // DAY_US + 1, source + 1, label, onset_us,
            onset_us + length_us, onset_us, chance.random(), onset,
            onset + length_us * RATE // 1_000_000,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or Path(folder) / "streamclf.db"
        if not store.exists():
            fill(store, options.events)
        print(f"{options.events:,} events, {store.stat().st_size / 1e6:.0f} MB")
        walls: dict[str, list[float]] = {name: [] for name in QUESTIONS}
        cpus: dict[str, list[float]] = {name: [] for name in QUESTIONS}
        for _ in range(options.runs):
            for name, question in QUESTIONS.items():
                wall, cpu = measure(question, store, folder)
                walls[name].append(wall)
                cpus[name].append(cpu)
    print(f"{'':<36} {'wall, s':>8} {'CPU, s':>8}   (medians of {options.runs})")
    for name in QUESTIONS:
        wall, cpu = statistics.median(walls[name]), statistics.median(cpus[name])
        print(f"{name:<36} {wall:>8.2f} {cpu:>8.2f}")


def measure(question: list[str] | None, store: Path, folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of a process from its start to its end."""
    import resource

    command = [sys.executable, "-c", "pass"]
    if question is not None:
        words = [word.replace("{folder}", folder) for word in question]
        asked = [] if "--help" in words else ["--store", str(store)]
        command = [sys.executable, "-m", "streamclf", *words, *asked]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used


if __name__ == "__main__":
    main()
