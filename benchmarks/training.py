"""Share of a training step that is forward, backward and optimiser, not cutting and mixing.

    python benchmarks/training.py [NETWORK ...] [--steps 6] [--batch N]

Every network cuts its batches from synthetic clips as in training, as large as its recipe says and
mixed where it mixes. The two parts of the same steps are timed separately; figures are medians. The
aim is 90 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from train.base.devices import make_fabric
from train.datasets import Clip, ClipSet
from train.nets.contract import System, find_system

NETWORKS = ("pocket", "envnet", "envnet --bc", "envnetv2", "wavemsnet", "wavemxnet", "melcnn",
            "digits", "digits --net best", "cough")  # fmt: skip
CLIP_S = {"digits": 1.0}
"""Length of most clips that a network is made for; 4 s unless named."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="e.g. pocket 'envnet --bc'")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, help="clips a step (as the recipe says)")
    parser.add_argument("--accelerator", default="auto")
    options = parser.parse_args()
    fabric = make_fabric(options.accelerator, "auto")
    print(f"{fabric.device}, load {os.getloadavg()[0]:.1f}")
    print(f"{'network':<18} {'clips':>6} {'cut and mix':>12} {'train':>12} {'share':>7}")
    for name in options.networks or NETWORKS:
        n_batch, batch_s, train_s = time_parts(name, fabric, options.steps, options.batch)
        share = train_s / (train_s + batch_s)
        row = f"{name:<18} {n_batch:>6} {batch_s * 1000:9.1f} ms {train_s * 1000:9.1f} ms"
        print(f"{row} {share:7.1%}", flush=True)


def time_parts(name: str, fabric, n_steps: int, n_batch: int | None) -> tuple[int, float, float]:
    """Clips of a batch, and median seconds of making one and of learning from it."""
    from train.run_folder.run_options import make_parser

    network_name, *switches = name.split()
    system = find_system(network_name)()
    options = make_parser(type(system)).parse_args(["--data", ".", *switches])
    system.configure(options, make_clips(system, 2))
    n_batch = n_batch or system.recipe.batch_size
    clips = system.adapt(make_clips(system, 2 * n_batch), options)
    network = system.build(len(clips.labels)).to(fabric.device)
    training_data = system.training_data(network, clips, fabric.device)
    trainable = system.trainable(network)
    module, optimiser = fabric.setup(trainable, system.recipe.optimiser_for(trainable))
    module.train()
    random = np.random.default_rng(1)
    times: dict[str, list[float]] = {"batch": [], "train": []}
    for _ in range(n_steps + 2):
        began = time.perf_counter()
        inputs, labels = system.batch(
            training_data, random.permutation(2 * n_batch)[:n_batch], random
        )
        wait(fabric)
        cut = time.perf_counter()
        loss = system.loss(module(inputs), labels)
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimiser.step()
        wait(fabric)
        times["batch"].append(cut - began)
        times["train"].append(time.perf_counter() - cut)
    batch_s, train_s = (statistics.median(times[part][2:]) for part in ("batch", "train"))
    return n_batch, batch_s, train_s


def make_clips(system: System, n_clips: int) -> ClipSet:
    """Noise, with a fold and a class (for a regression a value) for each clip."""
    n_samples = round(CLIP_S.get(system.name, 4.0) * system.sample_rate)
    random = np.random.default_rng(1)
    shape = (n_clips * n_samples, *((system.n_channels,) if system.n_channels > 1 else ()))
    samples = random.integers(-9000, 9000, shape, dtype=np.int16)
    is_regression = system.task == "regression"
    targets = [k / n_clips if is_regression else k % 10 for k in range(n_clips)]
    return ClipSet(
        name="noise",
        sample_rate=system.sample_rate,
        labels=("value",) if is_regression else tuple(f"class {k}" for k in range(10)),
        clips=tuple(
            Clip(f"{k}.wav", k % 2 + 1, target, str(k), k * n_samples, n_samples)
            for k, target in enumerate(targets)
        ),
        samples=samples,
        licence="none",
        citation="none",
        origin="noise",
        channels=system.n_channels,
        task=system.task,
    )


def wait(fabric) -> None:
    """Wait for the work that is queued on a GPU."""
    if fabric.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
