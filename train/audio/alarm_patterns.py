"""Smoke alarms and carbon monoxide alarms in noise, by their standard patterns.

T3 (ISO 8201, NFPA 72): three pulses of 0.5 s, 0.5 s apart, then 1.5 s of silence. T4 (NFPA 720):
four pulses of 0.1 s, 0.1 s apart, then 5 s of silence. Alarms sound near 3.1 kHz; newer ones have a
square wave of 520 Hz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from train.audio.noise import at_level, make_noise
from train.datasets.made_sounds import SAMPLE_RATE, pulses, silence, tone

PIECE_S = 25.0
BEFORE_S = 5.0
"""Noise alone before an alarm; it sounds until the end of the piece."""

LEVEL_DB = (-40.0, -20.0)
"""Of the noise, in dB of full scale, from and to."""

Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class AlarmPiece:
    """An alarm in noise.

    Attributes:
        kind: One of `PATTERNS`.
        snr_db: The alarm's pulses over the noise's mean.
        waveform: ``(samples,)`` in [-1, 1].
        onset_s: Where the alarm begins.
    """

    kind: str
    snr_db: float
    waveform: npt.NDArray[np.float32]
    onset_s: float


def t3(random: Random) -> npt.NDArray[np.float64]:
    """A smoke alarm near 3.1 kHz."""
    return _temporal_three(random, random.uniform(2800, 3500), "sine")


def t3_low(random: Random) -> npt.NDArray[np.float64]:
    """A smoke alarm with a square wave of 520 Hz."""
    return _temporal_three(random, random.uniform(500, 540), "square")


def t4(random: Random) -> npt.NDArray[np.float64]:
    """A carbon monoxide alarm."""
    hz = random.uniform(2800, 3500)
    four = pulses(lambda: tone(random, 0.1, hz, shape="sine"), 0.1, 4)
    return np.concatenate([four, silence(4.9)])


PATTERNS: dict[str, Callable[[Random], npt.NDArray[np.float64]]] = {
    "T3": t3,
    "T3, 520 Hz": t3_low,
    "T4": t4,
}
"""One round of each pattern, at `train.datasets.made_sounds.SAMPLE_RATE`."""


def make_alarms(
    random: Random, kind: str, snr_db: float, n_pieces: int, sample_rate: int
) -> Iterator[AlarmPiece]:
    """Make alarms of a kind, each with another pitch in another noise."""
    n_samples, begin = round(PIECE_S * sample_rate), round(BEFORE_S * sample_rate)
    for _ in range(n_pieces):
        level_db = random.uniform(*LEVEL_DB)
        waveform = at_level(make_noise(random, n_samples, sample_rate), level_db)
        one = PATTERNS[kind](random)
        pulse = np.sqrt(np.mean(one[np.abs(one) > 1e-9] ** 2))
        alarm = np.tile(one, round(PIECE_S * SAMPLE_RATE) // len(one) + 1)
        alarm = soxr.resample(alarm, SAMPLE_RATE, sample_rate)[: n_samples - begin]
        waveform[begin:] += alarm / pulse * 10 ** ((level_db + snr_db) / 20)
        peak = max(1.0, float(np.abs(waveform).max()))
        yield AlarmPiece(kind, snr_db, (waveform / peak).astype(np.float32), BEFORE_S)


def _temporal_three(random: Random, hz: float, shape: str) -> npt.NDArray[np.float64]:
    three = pulses(lambda: tone(random, 0.5, hz, shape=shape), 0.5, 3)
    return np.concatenate([three, silence(1.0)])
