"""A trained run in streamclf against the same network in torch, on one device.

    python benchmarks/on_torch.py RUN [--provider cuda] [--hop 0.1] [--seconds 120]

The run is exported for the comparison. The recording is 48 kHz stereo WAV of noise. streamclf
decodes, mixes, resamples, scores, averages and finds events. torch gets windows that are already
cut, in batches of 128 and one at a time (as tutorials do), and copies their logits back. "Decoding
alone" is everything before the network in streamclf: where streamclf takes hardly longer, the
device is not the bottleneck. On CUDA streamclf runs twice: as it is, and with whole windows.

Rounds are run in turn; medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from export.export_run import export
from streamclf.checks.bench import write_noise
from streamclf.core.errors import StreamclfError
from streamclf.core.records import Block
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.model.providers import unavailable_reason
from streamclf.model.stem.shared_frames import DEVICES
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.mixdown import mix_down
from streamclf.pipeline.resample import resample
from streamclf.runs.batch import has_spare_core
from streamclf.sources.recording.recording import Recording
from train.run_folder.load_network import load_network
from train.run_folder.run import CONFIG, RunFolder

BATCH = 128
MOST_ALONE = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--provider", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--hop", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if reason := unavailable_reason(options.provider):
        print(f"on_torch: --provider {options.provider}: {reason}", file=sys.stderr)
        return 2
    try:
        compare(options)
    except StreamclfError as error:
        print(f"on_torch: {error}", file=sys.stderr)
        return 2
    return 0


def compare(options: argparse.Namespace) -> None:
    """Measure, and print a table."""
    run = RunFolder.open(options.run)
    system, network = load_network(run, run.read_json(CONFIG))
    network = network.eval().to(options.provider)
    hop = round(options.hop * system.sample_rate)
    with tempfile.TemporaryDirectory() as folder:
        recording, file = Path(folder) / "noise.wav", Path(folder) / "model.onnx"
        write_noise(recording, options.seconds)
        export(options.run, file)
        classifier = Classifier(Model(file, provider=options.provider))
        classifier.split()
        if notice := classifier.take_notice():
            print(notice, file=sys.stderr)
        engines = {"streamclf": Engine(classifier, Settings(options.hop))}
        if options.provider in DEVICES:
            whole = Classifier(Model(file, provider=options.provider), one_graph=False)
            engines["streamclf, whole windows"] = Engine(whole, Settings(options.hop))
        for engine in engines.values():
            engine.read_ahead = has_spare_core(options.provider, 0)
        audio = decode(recording, system.sample_rate)
        starts = range(0, len(audio) - system.window_samples + 1, hop)
        windows = np.stack([audio[k : k + system.window_samples] for k in starts])
        alone = windows[:MOST_ALONE]
        whole, alone_s = options.seconds, len(alone) * options.hop
        work: dict[str, tuple[float, Callable[[], object]]] = {
            **{
                name: (whole, partial(listen, engine, recording))
                for name, engine in engines.items()
            },
            "decoding alone": (whole, lambda: decode(recording, system.sample_rate)),
            f"torch, batches of {BATCH}": (whole, lambda: score(network, windows, BATCH)),
            "torch, a window at a time": (alone_s, lambda: score(network, alone, 1)),
        }
        taken: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(options.rounds + 1):  # the first warms up
            for name, (_, function) in work.items():
                began = time.perf_counter()
                function()
                taken[name].append(time.perf_counter() - began)
    speeds = {
        name: seconds / statistics.median(taken[name][1:]) for name, (seconds, _) in work.items()
    }
    print(
        f"{options.run.name} on {options.provider}, a window every {engines['streamclf'].hop_s:g} s"
    )
    print("| | x real time | streamclf is |")
    print("|---|---|---|")
    for name, speed in speeds.items():
        print(f"| {name} | {speed:.0f} | {speeds['streamclf'] / speed:.2f} times as fast |")


def listen(engine: Engine, path: Path) -> None:
    """The pipeline of `streamclf file`."""
    with Recording(path) as recording:
        for _ in engine.run(recording):
            pass


def decode(path: Path, sample_rate: int) -> np.ndarray:
    """Everything before the network: ``(samples,)``."""
    with Recording(path) as recording:
        items = resample(mix_down(recording.blocks(sample_rate)), sample_rate)
        parts = [item.waveform[0] for item in items if isinstance(item, Block)]
        return np.concatenate(parts)


def score(network: nn.Module, windows: np.ndarray, size: int) -> None:
    """Compute logits of windows, and copy them back to the host."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(windows), size):
            network(torch.from_numpy(windows[start : start + size]).to(device)).cpu()


if __name__ == "__main__":
    sys.exit(main())
