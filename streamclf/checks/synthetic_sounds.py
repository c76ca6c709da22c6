"""Synthetic sounds of many kinds, to check a model without a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE, CHANNELS = 44_100, 2
"""Rate in Hz and channels of the sounds, chosen so that they pass through mixing and, with most
models, through resampling."""
SOUND_S = 2.5
"""Length of each sound, in seconds."""

_Values = npt.NDArray[np.float64]
_Random = np.random.Generator


def write_sounds(path: Path, seconds: float, seed: int) -> None:
    """Write sounds, one after the other, as stereo WAV with 16 bits.

    Args:
        path: The file.
        seconds: Approximate length of the file.
        seed: The same seed gives the same sounds.
    """
    random = np.random.default_rng(seed)
    with soundfile.SoundFile(path, "w", RATE, CHANNELS, subtype="PCM_16") as file:
        for number in range(max(1, round(seconds / SOUND_S))):
            kind = _KINDS[number % len(_KINDS)]
            level = 10 ** random.uniform(-2.5, -0.3)
            sound = level * kind(random, round(SOUND_S * RATE))
            # Each channel has a level of its own, and faint noise of its own.
            sides = sound[:, np.newaxis] * random.uniform(0.3, 1.0, CHANNELS)
            file.write(sides + 10**-4 * random.uniform(-1, 1, sides.shape))


def _times(n_samples: int) -> _Values:
    return np.arange(n_samples) / RATE


def _silence(random: _Random, n_samples: int) -> _Values:
    return np.zeros(n_samples)


def _sweep(random: _Random, n_samples: int) -> _Values:
    low, high = sorted(random.uniform(100, 8000, 2))
    phase: _Values = 2 * np.pi * np.cumsum(np.geomspace(low, high, n_samples)) / RATE
    return np.asarray(np.sin(phase))


def _bursts(random: _Random, n_samples: int) -> _Values:
    levels = random.choice([0.0, 0.05, 0.3, 1.0], n_samples // 2000 + 1)
    return np.asarray(random.uniform(-1, 1, n_samples) * np.repeat(levels, 2000)[:n_samples])


def _clicks(random: _Random, n_samples: int) -> _Values:
    clicks = np.zeros(n_samples)
    places = random.integers(0, n_samples, 12)
    clicks[places] = 1.0
    decay = np.exp(-_times(2000) * 300) * random.uniform(-1, 1, 2000)
    return np.convolve(clicks, decay)[:n_samples]


def _voice(random: _Random, n_samples: int) -> _Values:
    times = _times(n_samples)
    pitch = random.uniform(90, 300) * (1 + 0.05 * np.sin(2 * np.pi * 5 * times))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    overtones = sum(np.sin(k * phase) / k for k in range(1, 12))
    return np.asarray(overtones * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * times)) / 3)


_KINDS: list[Callable[[_Random, int], _Values]] = [_bursts, _sweep, _silence, _voice, _clicks]
