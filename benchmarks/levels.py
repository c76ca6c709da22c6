"""CPU of sound levels: the engine with the bundled model alone, and with a level meter beside it.

    python benchmarks/levels.py [--seconds 120] [--rounds 7] [--hop 0.5]

At each rate the same mono WAV is heard in turn without and with the meter, in one thread. The
meter alone is measured, too, on the blocks of that recording. Medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from streamclf.core.records import Block, Gap
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.levels import LevelMeter, LevelSummary
from streamclf.sources.recording.recording import Recording

RATES = (16_000, 44_100, 48_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hop", type=float, default=0.5)
    parser.add_argument("--model", default="pocket")
    options = parser.parse_args()
    model = Model(find_model(options.model), provider="cpu", n_threads=1)
    engine = Engine(Classifier(model), Settings(options.hop))
    print("| rate | engine, CPU s/h | with levels | ratio | the meter alone | of the engine |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for rate in RATES:
            path = write_noise(Path(folder) / f"{rate}.wav", rate, options.seconds)
            alone, with_levels, meter = measure(engine, path, rate, options)
            print(
                f"| {rate / 1000:g} kHz | {alone:.2f} | {with_levels:.2f} | "
                f"**{with_levels / alone:.2f}** | {meter:.2f} | {meter / alone:.2f} |",
                flush=True,
            )


def measure(
    engine: Engine, path: Path, rate: int, options: argparse.Namespace
) -> tuple[float, ...]:
    """CPU seconds an hour of audio: the engine, the engine with levels, the meter."""
    with Recording(path) as recording:
        blocks = [item for item in recording.blocks(rate) if isinstance(item, Block)]

    def hear(measured: Callable[[Block | Gap], None] | None) -> None:
        with Recording(path) as recording:
            for _ in engine.run(recording, on_source_audio=measured):
                pass

    def meter() -> None:
        take = make_meter()
        for block in blocks:
            take(block)

    ways = (lambda: hear(None), lambda: hear(make_meter()), meter)
    taken: list[list[float]] = [[] for _ in ways]
    for round_ in range(options.rounds + 1):
        for way, seconds in zip(ways, taken, strict=True):
            began = time.process_time()
            way()
            if round_:  # the first opens and allocates everything
                seconds.append(time.process_time() - began)
    return tuple(statistics.median(each) * 3600 / options.seconds for each in taken)


def make_meter() -> Callable[[Block | Gap], None]:
    """What a store does: the pieces of each minute are summed up, and asked once a second."""
    meter, summary = LevelMeter(), LevelSummary()

    def take(item: Block | Gap) -> None:
        nonlocal summary
        for piece in meter.add(item):
            summary.add(piece)
            summary.levels()
            if summary.heard_s >= 60:
                summary = LevelSummary()

    return take


def write_noise(path: Path, rate: int, seconds: float) -> Path:
    noise = np.random.default_rng(1).normal(0, 0.05, round(seconds * rate))
    soundfile.write(path, noise, rate, subtype="PCM_16")
    return path


if __name__ == "__main__":
    main()
