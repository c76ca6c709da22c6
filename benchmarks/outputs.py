"""Failing outputs while `listen` runs: delay of the audio, lost lines, time to the end.

    python benchmarks/outputs.py [--seconds 6]
    mount -t tmpfs -o size=64k tmpfs SMALL; python benchmarks/outputs.py --disk SMALL

The example recording is played at ten times its pace, and SIGTERM is sent after some seconds. For
each fault the table has the seconds of audio processed per second that passed, the lines lost, and
the time to the end. With --disk a small disk is filled and given room again, and the file is
compared with standard output.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "afternoon.flac"
SPEED = 10


def measure(
    name: str, arguments: list[str], seconds: float, stdout: int, stdin: bytes | None = None
) -> None:
    source = ["-", "--raw", "s16le:16000:1"] if stdin else [f"sim:{EXAMPLE}", "--loop"]
    pace = [] if stdin else ["--speed", str(SPEED)]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamclf", "listen", "--source", *source, *pace, *arguments],
        stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE,
    )  # fmt: skip
    if stdin:
        process.stdin.write(stdin)
        process.stdin.flush()
    process.stderr.readline()  # it listens
    began = time.monotonic()
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    sent = time.monotonic()
    process.wait()
    ended = time.monotonic()
    errors = process.stderr.read().decode()
    minutes, rest = re.search(r"heard (?:(\d+) min )?([\d.]+) s", errors).groups()
    audio_s = 60 * int(minutes or 0) + float(rest)
    pace_kept = "-" if stdin else f"{audio_s / (sent - began):.2f}"
    lost = re.findall(r"lost (\d+) lines? in all", errors)
    print(f"{name:<44} {pace_kept:>12} {sum(map(int, lost)):>10} {ended - sent:>10.2f}", flush=True)


def fill_up(disk: Path) -> None:
    """Let a disk run full while events are written to it, then make room."""
    results, ballast = disk / "events.jsonl", disk / "ballast"
    status = os.statvfs(disk)
    ballast.write_bytes(bytes(status.f_bavail * status.f_frsize - 16_384))
    process = subprocess.Popen(
        [sys.executable, "-m", "streamclf", "listen", "--source", f"sim:{EXAMPLE}", "--loop",
         "--speed", "200", "-o", str(results)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stderr:
        print(line, end="", flush=True)
        if "cannot be written" in line:
            assert results.read_text().endswith("\n")
            time.sleep(4)
            ballast.unlink()
        elif "is written again" in line:
            process.send_signal(signal.SIGTERM)
    wanted, written = process.stdout.read().splitlines(), results.read_text().splitlines()
    print(f"{len(written)} of {len(wanted)} lines, equal: {written == wanted}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--disk", type=Path, help="an empty folder on a disk of some 64 kB")
    options = parser.parse_args()
    seconds = options.seconds
    if options.disk:
        fill_up(options.disk)
        return
    print(f"{'':<44} {'x real time':>12} {'lines lost':>10} {'to end, s':>10}")
    quiet = subprocess.DEVNULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full, pipe = folder / "full.jsonl", folder / "pipe.jsonl"
        full.symlink_to("/dev/full")
        os.mkfifo(pipe)
        fine = [option for i in range(5) for option in ("-o", str(folder / f"{i}.csv"))]
        measure("nothing fails", ["--updates"], seconds, quiet)
        measure("five files, all well", fine, seconds, quiet)
        measure("a full disk (/dev/full)", ["-o", str(full)], seconds, quiet)
        measure("a named pipe without a reader", ["-o", str(pipe)], seconds, quiet)
        wide = ["--updates", "-k", "52"]
        measure("nobody reads standard output", wide, seconds, subprocess.PIPE)
        measure("standard input falls silent", [], seconds, quiet, bytes(64_000))


if __name__ == "__main__":
    main()
