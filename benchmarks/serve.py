"""Several sources in one process on one core: share of the core, memory, and audio lost.

    python benchmarks/serve.py [--seconds 60] [--sources 1 2 4 8] [--core 0]

`streamclf serve` hears so many simulated microphones at real pace, at a hop of 0.5 s with the
bundled model, on a single core. Its processor time is read from /proc after a start of ten seconds,
so that opening the model does not count. Memory is resident memory at the end. What was heard and
lost is read from the store.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "afternoon.flac"
SETTLE_S = 10.0


@dataclass(frozen=True)
class Usage:
    """What a process has used so far."""

    cpu_s: float
    resident_kib: int

    @classmethod
    def of(cls, process: int) -> Usage:
        """Read the usage of a running process."""
        folder = Path(f"/proc/{process}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        lines = (folder / "status").read_text().splitlines()
        resident = next(line for line in lines if line.startswith("VmRSS"))
        return cls(ticks / os.sysconf("SC_CLK_TCK"), int(resident.split()[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--sources", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    print("| sources | share of a core | resident | per source more | audio heard | lost | hop |")
    print("|---|---|---|---|---|---|---|")
    before: tuple[int, int] | None = None
    for n_sources in options.sources:
        share, resident_kib, heard_s, lost_s, n_changes = measure(
            n_sources, options.seconds, options.core
        )
        more = "-"
        if before is not None:
            more = f"{(resident_kib - before[1]) / (n_sources - before[0]) / 1024:.1f} MB"
        before = n_sources, resident_kib
        hop = f"changed {n_changes} times" if n_changes else "kept"
        print(
            f"| {n_sources} | {share:.1%} | {resident_kib / 1024:.0f} MB | {more} | "
            f"{heard_s:.0f} s | {lost_s / (heard_s + lost_s):.2%} | {hop} |",
            flush=True,
        )


def measure(n_sources: int, seconds: float, core: int) -> tuple[float, int, float, float, int]:
    """Serve sources; returns share of a core, KiB, seconds heard and lost, changes of the hop."""
    with tempfile.TemporaryDirectory() as folder:
        settings, store = Path(folder) / "box.toml", Path(folder) / "box.db"
        tables = [
            f'[[sources]]\nname = "ear {number}"\nurl = "sim:{EXAMPLE}"\nloop = true\n'
            for number in range(n_sources)
        ]
        settings.write_text(f'store = "{store}"\nhop = 0.5\n' + "".join(tables))
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "streamclf", "serve", "--config", str(settings)]
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
            time.sleep(SETTLE_S)
            first, began = Usage.of(process.pid), time.monotonic()
            time.sleep(seconds)
            last, ended = Usage.of(process.pid), time.monotonic()
            process.send_signal(signal.SIGTERM)
            if process.wait(30) != 130:
                sys.exit(log.read_text(errors="replace"))
        connection = sqlite3.connect(store)
        ((heard_s, lost_s, n_runs),) = connection.execute(
            "SELECT sum(heard_samples * 1.0 / sample_rate), sum(gap_samples * 1.0 / sample_rate), "
            "count(*) FROM runs"
        )
        connection.close()
        if n_runs != n_sources:
            sys.exit(f"{n_runs} runs of {n_sources} sources:\n{log.read_text(errors='replace')}")
        n_changes = log.read_text(errors="replace").count(" s instead of ")
        share = (last.cpu_s - first.cpu_s) / (ended - began)
        return share, last.resident_kib, heard_s, lost_s, n_changes


if __name__ == "__main__":
    main()
