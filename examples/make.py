"""Makes the example recording out of sines and noise, so that anyone may have it.

    python examples/make.py [FILE]

A siren, a church bell and an alarm clock over faint noise, 44.1 kHz stereo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

RATE = 44_100
HERE = Path(__file__).parent


def main() -> None:
    """Write the recording."""
    random = np.random.default_rng(7)
    scene = random.normal(0, 0.0006, (2, 30 * RATE))
    for onset, sound, pan in [
        (3.0, siren(6.0), 0.4),
        (12.0, bell(6.0), 0.6),
        (22.0, alarm(4.5), 0.5),
    ]:
        start = round(onset * RATE)
        scene[0, start : start + sound.size] += sound * (1 - pan)
        scene[1, start : start + sound.size] += sound * pan
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "afternoon.flac"
    soundfile.write(path, np.clip(scene, -1, 1).T, RATE, subtype="PCM_16")
    print(path)


def seconds(length: float) -> np.ndarray:
    """Times of the samples, ``(samples,)``."""
    return np.arange(round(length * RATE)) / RATE


def siren(length: float) -> np.ndarray:
    """A wail between 600 and 1400 Hz, with the horn's harmonics."""
    times = seconds(length)
    pitch = 1000 + 400 * np.sin(2 * np.pi * times / 3.0 - np.pi / 2)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = sum(np.sin(k * phase) / k**1.2 for k in range(1, 7))
    swell = np.clip(np.minimum(times, length - times) / 0.3, 0, 1)
    return 0.25 * swell * echoed(wave)


def bell(length: float) -> np.ndarray:
    """Strokes of a bell: partials of their own pitch and decay, as a minor-third bell has."""
    partials = [
        (0.5, 1.0, 4.0),
        (1.0, 1.0, 2.5),
        (1.19, 0.8, 1.8),
        (1.5, 0.5, 1.4),
        (2.0, 0.9, 1.1),
    ]
    partials += [(2.51, 0.4, 0.7), (2.66, 0.3, 0.6), (3.01, 0.3, 0.5), (4.17, 0.2, 0.3)]
    wave = np.zeros(round(length * RATE))
    for stroke in np.arange(0, length - 0.5, 1.5):
        start = round(stroke * RATE)
        times = seconds(length)[: wave.size - start]
        for ratio, level, decay in partials:
            wave[start:] += level * np.exp(-times / decay) * np.sin(2 * np.pi * 440 * ratio * times)
    return 0.12 * echoed(wave)


def alarm(length: float) -> np.ndarray:
    """The beeps of a digital alarm clock: four of them, then a rest."""
    times = seconds(length)
    beep = np.sign(np.sin(2 * np.pi * 2048 * times)) + 0.3 * np.sin(2 * np.pi * 4096 * times)
    on = ((times % 0.125) < 0.07) & ((times % 1.0) < 0.5)
    return 0.15 * beep * on


def echoed(wave: np.ndarray) -> np.ndarray:
    """A little of the street: two faint echoes."""
    out = wave.copy()
    for delay, level in [(0.031, 0.3), (0.083, 0.2)]:
        shift = round(delay * RATE)
        out[shift:] += level * wave[:-shift]
    return out


if __name__ == "__main__":
    main()
