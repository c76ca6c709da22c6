"""Made noise, as it lies under recordings: hiss, rumble, hum, swells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LOWEST_HZ = 30.0
LOUDNESS = 0.1
"""Root mean square of a made noise."""


def make_noise(
    random: np.random.Generator, n_samples: int, sample_rate: int
) -> npt.NDArray[np.float32]:
    """Make stationary or slowly swelling noise of a random colour.

    Its spectrum falls by 0 to 9 dB an octave above a random corner. In a third of the cases it is
    cut to a band, in a fifth it has mains hum with harmonics, in a third it swells.

    Args:
        random: Source of random numbers.
        n_samples: Length of the noise.
        sample_rate: In Hz.

    Returns:
        ``(n_samples,)`` with a root mean square of `LOUDNESS`.
    """
    frequencies = np.fft.rfftfreq(n_samples, 1 / sample_rate)
    corner = LOWEST_HZ * 2 ** random.uniform(0, 6)
    octaves = np.log2(np.maximum(frequencies, LOWEST_HZ) / corner)
    gain = 10 ** (-random.uniform(0, 9) * np.maximum(octaves, 0) / 20)
    if random.random() < 1 / 3:
        low, high = np.sort(LOWEST_HZ * 2 ** random.uniform(0, 8, 2))
        gain *= 1 / (1 + (low / np.maximum(frequencies, 1)) ** 4) / (1 + (frequencies / high) ** 4)
    gain[frequencies < LOWEST_HZ / 2] = 0
    noise = np.fft.irfft(np.fft.rfft(random.standard_normal(n_samples)) * gain, n_samples)
    noise = _level(noise)
    time = np.arange(n_samples) / sample_rate
    if random.random() < 1 / 5:
        noise += _hum(random, time) * random.uniform(0.3, 2)
    if random.random() < 1 / 3:
        swell = np.sin(2 * np.pi * (random.uniform(0.1, 1) * time + random.random()))
        noise *= 10 ** (random.uniform(2, 8) * swell / 20)
    return (LOUDNESS * _level(noise)).astype(np.float32)


def at_level(noise: npt.NDArray[np.float32], level_db: float) -> npt.NDArray[np.float64]:
    """Scale a made noise to a level in dB of full scale (of a square wave), within [-1, 1]."""
    return np.clip(noise / LOUDNESS * 10 ** (level_db / 20), -1, 1)


def _hum(random: np.random.Generator, time: np.ndarray) -> np.ndarray:
    mains = random.choice([50.0, 60.0])
    harmonics = np.arange(1, random.integers(2, 12))
    phases = random.uniform(0, 2 * np.pi, len(harmonics))
    waves = np.sin(2 * np.pi * mains * harmonics[:, None] * time + phases[:, None])
    return _level((waves * random.uniform(0, 1, len(harmonics))[:, None]).sum(axis=0))


def _level(noise: np.ndarray) -> np.ndarray:
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12)
