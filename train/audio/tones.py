"""Made tones that must not be reported: steady ones, sweeps, steps.

Test signals, hums, whistling fans and feedback sound like this. Noise alone does not show how a
model reacts to them: a model that finds nothing in any noise may take a sweep for a siren.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from train.audio.noise import LOUDNESS

LOWEST_HZ = 60.0
HIGHEST_PART = 0.4
"""Highest frequency as a part of the sample rate."""
SWEEP_S = (2.0, 20.0)
"""Duration of a sweep from one end to the other, from and to."""
STEP_S = (0.15, 2.0)
"""Duration of a step, from and to."""

KINDS = ("steady", "sweep", "steps")


def make_tone(
    random: np.random.Generator, n_samples: int, sample_rate: int, kind: str
) -> npt.NDArray[np.float32]:
    """Make a tone with a random number of harmonics.

    Args:
        random: Source of random numbers.
        n_samples: Length of the tone.
        sample_rate: In Hz.
        kind: ``steady``; ``sweep``, up and down between two frequencies an octave or more apart; or
            ``steps`` from one frequency to another.

    Returns:
        ``(n_samples,)`` with a root mean square of `LOUDNESS`.
    """
    octaves = _frequencies(random, n_samples, sample_rate, kind)
    turns = np.cumsum(LOWEST_HZ * 2**octaves) / sample_rate
    n_harmonics = int(random.choice([1, 1, 3, 8]))
    waves = np.zeros(n_samples)
    for harmonic in range(1, n_harmonics + 1):
        # Harmonics near or above half the sample rate are left out, as they would alias.
        fits = LOWEST_HZ * 2**octaves * harmonic < 0.48 * sample_rate
        waves += fits * np.sin(2 * np.pi * harmonic * turns) / harmonic
    return (LOUDNESS * waves / max(float(np.sqrt(np.mean(waves**2))), 1e-12)).astype(np.float32)


def _frequencies(
    random: np.random.Generator, n_samples: int, sample_rate: int, kind: str
) -> npt.NDArray[np.float64]:
    """The frequency at each sample, ``(n_samples,)``, in octaves above `LOWEST_HZ`."""
    highest = np.log2(HIGHEST_PART * sample_rate / LOWEST_HZ)
    if kind == "steady":
        return np.full(n_samples, random.uniform(0, highest))
    if kind == "sweep":
        low = random.uniform(0, highest - 1)
        high = random.uniform(low + 1, highest)
        place = np.arange(n_samples) / (random.uniform(*SWEEP_S) * sample_rate) + random.random()
        return low + (high - low) * np.abs((place % 2) - 1)
    length = max(1, round(random.uniform(*STEP_S) * sample_rate))
    steps = random.uniform(0, highest, -(-n_samples // length))
    return steps.repeat(length)[:n_samples]
