"""Start-up time: `streamclf file` on a 5 s clip against a minimal script.

    python benchmarks/startup.py [--runs 15] [--model M]

The baseline imports numpy, soundfile and onnxruntime, opens the same model and runs it once on
the clip's first window. Both are whole processes, run in turn; the medians are compared. The
limit is twice the baseline.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from streamclf.model.model_file import find_model
from streamclf.model.options import DEFAULT_MODEL

BARE = """
import sys, numpy, soundfile, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
waveform, rate = soundfile.read(sys.argv[2], dtype="float32")
session.run(None, {session.get_inputs()[0].name: waveform[numpy.newaxis, :24000]})
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    n_runs, model = options.runs, str(find_model(options.model))
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        noise = np.random.default_rng(1).normal(0, 0.1, 5 * 16_000)
        soundfile.write(clip, noise.astype(np.float32), 16_000)
        bare = [sys.executable, "-c", BARE, model, str(clip)]
        full = [sys.executable, "-m", "streamclf", "file", str(clip), "--model", options.model]
        times: dict[str, list[float]] = {"bare script": [], "streamclf file": []}
        for _ in range(n_runs):
            for name, command in zip(times, (bare, full), strict=True):
                times[name].append(wall_time(command))
    for name, values in times.items():
        print(f"{name:<16} {statistics.median(values) * 1000:6.0f} ms (median of {n_runs})")
    ratio = statistics.median(times["streamclf file"]) / statistics.median(times["bare script"])
    print(f"{'ratio':<16} {ratio:6.2f} (limit 2)")


def wall_time(command: list[str]) -> float:
    """Seconds that a process takes from start to end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
