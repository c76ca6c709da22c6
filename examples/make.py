"""Makes the example recording out of sines and noise, so that anyone may have it.

    python examples/make.py [FILE]

A siren, a car horn, a smoke alarm and a tune on an electric piano, 22.05 kHz stereo.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE = 22_050
HERE = Path(__file__).parent


def main() -> None:
    """Write the recording."""
    scene = np.zeros((2, 40 * RATE))
    sounds = [(3.0, siren(6.5), 0.4), (13.0, horn(5.0), 0.7), (21.5, smoke_alarm(7.5), 0.3)]
    for onset, sound, pan in [*sounds, (31.5, tune(6.0), 0.5)]:
        start = round(onset * RATE)
        scene[0, start : start + sound.size] += sound * (1 - pan)
        scene[1, start : start + sound.size] += sound * pan
    scene += np.random.default_rng(7).normal(0, 0.0003, scene.shape)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "afternoon.flac"
    soundfile.write(path, np.clip(scene, -1, 1).T, RATE, subtype="PCM_16")
    print(path)


def seconds(length: float) -> np.ndarray:
    """Times of the samples, ``(samples,)``."""
    return np.arange(round(length * RATE)) / RATE


def siren(length: float) -> np.ndarray:
    """A wail between 700 and 1500 Hz, with the horn's harmonics."""
    times = seconds(length)
    pitch = 700 * (1500 / 700) ** ((1 - np.cos(2 * np.pi * times / 3.0)) / 2)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = sum(np.sin(k * phase) / k**2 for k in range(1, 7))
    swell = np.clip(np.minimum(times, length - times) / 0.3, 0, 1)
    return 0.25 * swell * echoed(wave)


def horn(length: float) -> np.ndarray:
    """A car's two-tone horn, pressed again and again."""
    times = seconds(length)
    tones = [(k, hz) for hz in (420, 500) for k in range(1, 24)]
    wave = sum(np.sin(2 * np.pi * k * hz * times) / k**0.5 for k, hz in tones)
    pressed = np.clip(np.minimum(times % 1.2, 0.9 - times % 1.2) / 0.02, 0, 1)
    return 0.1 * echoed(wave * pressed)


def smoke_alarm(length: float) -> np.ndarray:
    """The pattern of smoke alarms (ISO 8201): three pulses of half a second, then a rest."""
    times = seconds(length)
    place = times % 4.0
    on = (place < 2.5) & (place % 1.0 < 0.5)
    return 0.15 * np.sin(2 * np.pi * 3100 * times) * on


def tune(length: float) -> np.ndarray:
    """Two notes a second, whose tones die away, the higher ones sooner."""
    times, wave = seconds(length), np.zeros(round(length * RATE))
    for number, hz in enumerate([262, 330, 392, 523, 392, 330] * math.ceil(length / 3)):
        since = times - number / 2
        tones = (np.sin(2 * np.pi * k * hz * since) / k**1.5 for k in range(1, 7))
        wave += np.where(since >= 0, sum(tones) * np.exp(-2.5 * np.maximum(since, 0)), 0)
    return 0.12 * wave


def echoed(wave: np.ndarray) -> np.ndarray:
    """A little of the street: two faint echoes."""
    out = wave.copy()
    for delay, level in [(0.031, 0.3), (0.083, 0.2)]:
        shift = round(delay * RATE)
        out[shift:] += level * wave[:-shift]
    return out


if __name__ == "__main__":
    main()
