"""What tests of shared work hear with: audio that differs by the sample, and the engine."""

from __future__ import annotations

import numpy as np
import toys

from streamclf.core.records import Average, Result
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.stem import one_pass
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource

WINDOW, STRIDE = toys.PICKY_WINDOW, toys.PICKY_STEM.stride


def bursts(n_samples: int, seed: int = 1) -> np.ndarray:
    """Noise whose level jumps, with silence in it."""
    random = np.random.default_rng(seed)
    levels = random.choice([0, 0.001, 0.03, 0.5], n_samples // 150 + 1)
    waveform = random.uniform(-1, 1, n_samples) * np.repeat(levels, 150)[:n_samples]
    return waveform.astype(np.float32)


class Live(ArraySource):
    """An array that counts as live."""

    live = True


def hear(
    classifier: Classifier, source: ArraySource, **how: object
) -> tuple[list[int], np.ndarray, list[Result]]:
    """Positions and scores of all windows, and everything else."""
    how = {"average_s": 0, **how}
    results = list(Engine(classifier, Settings(**how)).run(source))
    averages = [r for r in results if isinstance(r, Average)]
    values = np.array([a.scores.values for a in averages])
    return [a.position for a in averages], values, results


def stand_in(patch):
    """Let the CPU stand in for a GPU, and its memory for the GPU's."""
    patch.setattr(one_pass, "DEVICES", {"cpu": "cpu"})
    patch.setattr("streamclf.model.classifier.DEVICES", {"cpu": "cpu"})
    patch.setattr("streamclf.model.classifier.GPUS", ("cpu",))
