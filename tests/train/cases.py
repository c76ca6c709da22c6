"""Every network of ``train/`` in each of its forms, and clips that any of them can learn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import train
from train.datasets.prepared import REGRESSION, Clip, ClipSet
from train.nets.contract import find_system

FILES = sorted(Path(train.__file__).parent.glob("*.py"))
SYSTEMS = [
    find_system(path.stem)
    for path in FILES
    if re.search(r"^SYSTEM = ", path.read_text(encoding="utf-8"), re.MULTILINE)
]
CASES = {
    f"{system.name} {variant}": (system, recipe)
    for system in SYSTEMS
    for variant, recipe in system.variants().items()
}
SECONDS = (0.3, 6.0, 1.1, 4.2)


def make_clips(system) -> ClipSet:
    """Four clips of two classes, each of a length of its own: tones in noise."""
    random = np.random.default_rng(1)
    shape = () if system.n_channels == 1 else (system.n_channels,)
    clips, parts, offset = [], [], 0
    for index, seconds in enumerate(SECONDS):
        target = index % 2
        time = np.arange(round(seconds * system.sample_rate)) / system.sample_rate
        tone = 6000 * np.sin(2 * np.pi * 500 * (1 + target) * time)
        part = random.normal(0, 600, (len(time), *shape)) + tone.reshape(-1, *[1] * len(shape))
        value = target * 0.9 if system.task == REGRESSION else target
        clips.append(Clip(f"{index}.wav", 1 + index // 2, value, str(index), offset, len(time)))
        parts.append(part.astype(np.int16))
        offset += len(time)
    labels = ("value",) if system.task == REGRESSION else ("low", "high")
    return ClipSet(
        "tones", system.sample_rate, labels, tuple(clips), np.concatenate(parts),
        "CC0 1.0", "nobody", "x", channels=system.n_channels, task=system.task,
    )  # fmt: skip
