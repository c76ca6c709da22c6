"""A day of three sources in one `streamclf serve`, with faults, kills and a full disk.

    python benchmarks/day.py [--hours 24] [--kills 12] [--folder DIR]

Three simulated microphones play the example recording again and again, as fast as this machine can:
one overflows and drifts, one is unplugged and stalls, one jitters and is silent for a while. Their
store and their lines lie on a disk of 64 MB (a tmpfs, if this process may mount one). The process
is killed (SIGKILL) at random moments and started again, and the disk is filled to its last byte for
some seconds. In the end the sums of the store must balance, and each line must have its row.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "afternoon.flac"
FAULTS = {
    "yard": "overflow=600,0.5&drift=40",
    "hall": "unplug=1200,30&unplug=5400,600&stall=2000,3&jitter=6",
    "gate": "silence=3000,900&overflow=1700,2&drift=-20",
}
DISK_BYTES = 64_000_000
STREAMCLF = [sys.executable, "-m", "streamclf"]


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk on a folder; yields whether that was possible."""
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, seconds: float) -> None:
    """Leave no room on a disk for some time."""
    path = folder / "filler"
    try:
        with path.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
    except OSError:
        pass
    time.sleep(seconds)
    path.unlink()


def elapsed_h(store: Path) -> dict[str, float]:
    """Hours that have passed for each source: heard or missing."""
    if not store.exists():
        return {}
    with closing(sqlite3.connect(store, timeout=30)) as connection:
        return dict(
            connection.execute(
                "SELECT name, sum(1.0 * elapsed_samples / sample_rate) / 3600 FROM runs "
                "JOIN sources ON source_id = sources.id GROUP BY name"
            )
        )


def compare_lines(folder: Path) -> None:
    """Compare the ends of events in the lines with those in the store."""
    with closing(sqlite3.connect(folder / "day.db")) as connection:
        rows = Counter(
            connection.execute(
                "SELECT name, label || '-' || onset || '@' || token, offset FROM events "
                "JOIN runs ON run_id = runs.id JOIN sources ON runs.source_id = sources.id "
                "WHERE events.state = 'ended'"
            )
        )
        states = dict(connection.execute("SELECT state, count(*) FROM events GROUP BY state"))
        rates = dict(connection.execute("SELECT token, sample_rate FROM runs"))
    lines: Counter[tuple[str, str, int]] = Counter()
    for text in (folder / "day.jsonl").read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # the last line before a kill
            continue
        if line["type"] == "event":
            rate = rates.get(line["id"].partition("@")[2], 1)
            lines[line["source"], line["id"], round(line["offset"] * rate)] += 1
    print(f"events in the store: {states}; lines: {lines.total()}")
    print(f"rows without a line: {(rows - lines).total()}, lines without a row: "
          f"{(lines - rows).total()}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--every", type=float, default=60.0, help="mean seconds between two kills")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    folder = arguments.folder or Path(tempfile.mkdtemp())
    with small_disk(folder) as mounted:
        print(f"in {folder}, {'on a disk of 64 MB' if mounted else 'not on a disk of its own'}")
        spend_day(folder, arguments, mounted)
        compare_lines(folder)
        check = subprocess.run([*STREAMCLF, "store", "check", str(folder / "day.db")], check=False)
        print(f"streamclf store check: exit code {check.returncode}")


def spend_day(folder: Path, arguments: argparse.Namespace, mounted: bool) -> None:
    config = folder / "day.toml"
    tables = [
        f'[[sources]]\nname = "{name}"\nurl = "sim:{EXAMPLE}?{faults}"\nloop = true\nspeed = 0\n'
        for name, faults in FAULTS.items()
    ]
    head = f'hop = 1.0\nstore = "{folder}/day.db"\noutput = ["{folder}/day.jsonl"]\nappend = true\n'
    config.write_text("\n".join([head, *tables]))
    began, chance, n_killed, n_filled = time.monotonic(), random.Random(0), 0, 0
    log = folder / "log"
    while True:
        with log.open("a") as output:
            process = subprocess.Popen(
                [*STREAMCLF, "serve", "--config", str(config)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        last = n_killed == arguments.kills
        until = time.monotonic() + chance.expovariate(1 / arguments.every)
        while process.poll() is None and (last or time.monotonic() < until):
            time.sleep(1)
            if mounted and n_filled < 3 and chance.random() < 0.02:
                fill(folder, 12)
                n_filled += 1
                time.sleep(4)  # what waited in memory is written now; a kill would lose it
            hours = elapsed_h(folder / "day.db")
            if len(hours) == len(FAULTS) and min(hours.values()) >= arguments.hours:
                last = True
                break
        if last or process.poll() is not None:
            break
        process.kill()
        process.wait()
        n_killed += 1
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    print(
        f"{n_killed} kills, {n_filled} times a full disk, {time.monotonic() - began:.0f} s; exit "
        f"code at the end {process.returncode}"
    )
    for name, hours in elapsed_h(folder / "day.db").items():
        print(f"  {name}: {hours:.2f} h")
    print("  said:")
    for text in log.read_text().splitlines():
        if re.search(r"day\.(db|jsonl)|error", text):
            print(f"    {text}")


if __name__ == "__main__":
    main()
