"""Memory, threads and handles over a day of listening with every fault, run in minutes.

    python benchmarks/soak.py [--hours 24]

There are two runs over the example recording, repeated. The first is the command itself, `streamclf
listen --speed 0`, on a simulated microphone that overflows, stalls, is unplugged for seconds and
for half an hour, drifts and jitters; its process is watched from outside. The second is a
microphone at real pace in simulated time, with a network that is now and then too slow, so that the
hop widens and narrows, and audio is skipped. In each, delivered audio and gaps must add up to the
sample.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streamclf.core.records import Average
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.engine import Engine
from streamclf.sources.simulated.faults import parse_name
from streamclf.sources.simulated.simulated_microphone import SimulatedMicrophone

EXAMPLE = Path(__file__).parents[1] / "examples" / "afternoon.flac"
SETTLE_S = 10.0
"""Wall time until everything that is needed once has been loaded."""
EVERY_S = 2.0
SLOW_S = (0.0, 0.7, 0.0, 1.2, 0.0, 2.5)
"""Simulated seconds that a window takes, in ten minutes each."""


@dataclass
class ProcessUsage:
    """Resident memory in KiB, threads and open files of a process, over time."""

    process: int
    samples: list[tuple[int, int, int]] = field(default_factory=list)

    def sample(self) -> None:
        """Record the present usage."""
        folder = Path(f"/proc/{self.process}")
        status = dict(
            line.split(":", 1)
            for line in (folder / "status").read_text().splitlines()
            if ":" in line
        )
        n_files = len([*(folder / "fd").iterdir()])
        self.samples.append((int(status["VmRSS"].split()[0]), int(status["Threads"]), n_files))

    def report(self) -> None:
        """Print the usage over time."""
        for name, values in zip(
            ("resident KiB", "threads", "open files"), zip(*self.samples, strict=True), strict=True
        ):
            last = len(values) - 1
            quarters = [f"{values[last * quarter // 4]:>8}" for quarter in range(5)]
            print(
                f"  {name:<13} start, each quarter, end {''.join(quarters)}  most {max(values):>8}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    hours = parser.parse_args().hours
    sys.stdout.reconfigure(line_buffering=True)
    soak_command(hours)
    soak_overload(hours)


def make_faults(hours: float) -> str:
    """Faults all day long, not at round times, so that each falls at another place of a block."""
    parts = ["overflow=97.31,0.23", "drift=35", "jitter=6", "seed=1"]
    for minute in range(7, round(60 * hours), 20):
        at_s = 60 * minute
        parts += [f"stall={at_s + 11.17},1.3", f"stall={at_s + 200.03},4.1"]
        parts += [f"unplug={at_s + 400.07},21", f"silence={at_s + 600},5"]
    for hour in range(3, round(hours), 6):
        parts.append(f"unplug={3600 * hour + 1500.5},1800")
    for hour in range(1, round(hours), 4):
        rate = 44_100 if hour % 8 == 1 else 16_000
        parts.append(f"unplug={3600 * hour + 3000.5},30,{rate}")
    return "&".join(parts)


def soak_command(hours: float) -> None:
    """Run the command, watched from outside."""
    with tempfile.TemporaryDirectory() as folder:
        stats, events = Path(folder) / "stats.json", Path(folder) / "events.jsonl"
        command = [sys.executable, "-m", "streamclf", "listen", "--no-ui", "--speed", "0", "--loop"]
        command += ["--source", f"sim:{EXAMPLE}?{make_faults(hours)}", "--output", str(events)]
        command += ["--stats", str(stats), "--duration", str(3600 * hours), "--threads", "1"]
        began = time.perf_counter()
        with (Path(folder) / "errors").open("wb") as errors:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
            usage = ProcessUsage(process.pid)
            for _ in watch_until_end(process):
                usage.sample()
        took_s = time.perf_counter() - began
        if process.returncode:
            sys.exit((Path(folder) / "errors").read_text(errors="replace"))
        print(f"listen --speed 0, {hours:g} h of pretended time in {took_s:.0f} s, exit code "
              f"{process.returncode}")  # fmt: skip
        usage.report()
        print_balance(json.loads(stats.read_text()))
        n_lines = len((Path(folder) / "errors").read_text(errors="replace").splitlines())
        print(f"  events.jsonl {events.stat().st_size} bytes, {n_lines} lines on standard error")


def watch_until_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Yield now and then, from when the process has settled until it ends."""
    pause_s = SETTLE_S
    while True:
        try:
            process.wait(pause_s)
        except subprocess.TimeoutExpired:
            yield
            pause_s = EVERY_S
        else:
            return


class ManualClock:
    """A clock that is moved by the code that waits or works."""

    time = 0.0

    def now(self) -> float:
        """The time in seconds."""
        return self.time

    def wait(self, items: queue.SimpleQueue, timeout_s: float) -> object:
        """Let time pass, then return an item if there is one."""
        self.time += max(timeout_s, 0.0)
        return items.get_nowait()


class SlowClassifier:
    """A classifier on a machine that is busy with other work, ten minutes of every twenty."""

    def __init__(self, classifier: Classifier, clock: ManualClock) -> None:
        self.card = classifier.card
        self._score = classifier.score
        self._clock = clock

    def score(self, waveforms):
        """Score windows, and let the time pass that they take."""
        self._clock.time += SLOW_S[int(self._clock.time / 600) % len(SLOW_S)] * len(waveforms)
        return self._score(waveforms)


def soak_overload(hours: float) -> None:
    """Run a microphone at real pace, in simulated time, with a listener too slow at times."""
    path, faults = parse_name(f"{EXAMPLE}?overflow=97.31,0.23&drift=-20&jitter=6")
    clock = ManualClock()
    classifier = Classifier(Model(find_model("pocket"), provider="cpu", n_threads=1, live=True))
    engine = Engine(SlowClassifier(classifier, clock), now=clock.now)
    usage = ProcessUsage(os.getpid())
    began = time.perf_counter()
    source = SimulatedMicrophone(path, loop=True, faults=faults, block_s=0.1, clock=clock)
    sample_at = engine.card.sample_rate * 600
    with source:
        for result in engine.run(source):
            if isinstance(result, Average) and result.end >= sample_at:
                usage.sample()
                sample_at += engine.card.sample_rate * 600
                if result.end >= 3600 * hours * engine.card.sample_rate:
                    engine.stop()
    took_s = time.perf_counter() - began
    print(f"overload, {hours:g} h of pretended time in {took_s:.0f} s")
    usage.report()
    print_balance(engine.statistics.as_json())


def print_balance(stats: dict) -> None:
    delivered, missing, elapsed = (
        stats[f"{name}_samples"] for name in ("delivered", "gap", "elapsed")
    )
    assert delivered + missing == elapsed
    causes = ", ".join(
        f"{cause} {counts['n_gaps']} ({counts['n_samples'] / stats['sample_rate']:.1f} s)"
        for cause, counts in stats["gaps_by_cause"].items()
    )
    print(f"  {delivered} delivered + {missing} in {stats['n_gaps']} gaps = {elapsed} samples")
    print(f"  gaps: {causes}")
    print(
        f"  {stats['windows']} windows, {stats['windows_skipped']} skipped, hop changed "
        f"{stats['hop_changes']} times, clock off by {stats['drift_ppm']} ppm"
    )


if __name__ == "__main__":
    main()
