"""Memory and speed by the length of a recording: 48 kHz stereo, in a process each.

    python benchmarks/lengths.py [--model M] [--minutes 1,10,60]

600 minutes need 6.9 GB of disk meanwhile. The limit: the memory for 60 minutes is within 10 % of
that for 10 minutes, and under 250 MiB with the bundled model.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from streamclf.checks.bench import write_noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--minutes", default="1,10,60")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_once(options.one, options.model)
        return
    print("| minutes | x real time | CPU s/h | peak memory |")
    print("|---|---|---|---|")
    for minutes in map(float, options.minutes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "noise.wav"
            write_noise(path, minutes * 60)
            command = [sys.executable, __file__, "--model", options.model, "--one", str(path)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
        wall, cpu, peak = map(float, answer.stdout.splitlines()[-1].split())
        print(
            f"| {minutes:g} | {minutes * 60 / wall:.0f} | {cpu * 60 / minutes:.2f} | "
            f"{peak:.0f} MiB |",
            flush=True,
        )


def run_once(path: Path, model: str) -> None:
    """Run the command in this process; print wall and CPU seconds and peak memory."""
    from streamclf.cli import main as cli

    began = time.perf_counter()
    null = str(path.with_suffix(".jsonl"))
    code = cli.run(["file", str(path), "--model", model, "--output", null])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    if code:
        sys.exit(code)
    print(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
