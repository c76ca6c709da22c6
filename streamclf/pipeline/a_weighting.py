"""A-weighting of IEC 61672-1 as a filter for any sample rate.

The standard gives the magnitude of the weighting as a formula. A bilinear transform of the analogue
filter bends it near half of the sample rate: at 48 kHz it is 0.5 dB too low at 8 kHz and 6.4 dB at
16 kHz. So the filter here is made of the formula itself. It has a finite impulse response of
minimum phase: its magnitude is the formula's up to half of the sample rate, and it delays nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

POLES_HZ = (20.598997, 20.598997, 107.65265, 737.86223, 12194.217, 12194.217)
"""Poles of the weighting (IEC 61672-1, annex E); its four zeros are at 0 Hz."""
IMPULSE_RESPONSE_S = 0.128
"""Length of the filter: after it, the slowest pole (7.7 ms) has decayed by 16 time constants. What
is cut off changes the weighting by less than 0.001 dB at 20 Hz."""
PARTS = 4
"""Number of stretches that a second is filtered in. They are transformed side by side, and fit into
a processor's cache: half of the time that one transform of the whole second takes."""
MAX_TAPS = 2**17
"""Longest filter, long enough for 1 MHz. At a higher rate, such as that of a damaged header, low
frequencies are weighted less exactly."""
MAX_SECOND = 2**20
"""Most samples that count as a second, for the same reason."""
_LOW_POLES_HZ = POLES_HZ[:4]


def a_weight_db(frequency_hz: npt.ArrayLike) -> Array:
    """A-weighting in dB by the formula of IEC 61672-1, which is 0 dB at 1 kHz.

    Args:
        frequency_hz: Above 0 Hz.
    """
    return np.asarray(20 * np.log10(_gain(np.asarray(frequency_hz, dtype=np.float64))))


class AWeighting:
    """A-weighting at one sample rate, a second at a time. It remembers nothing of the audio.

    Args:
        sample_rate: In Hz.

    Attributes:
        impulse_response: ``(n,)`` float64.
        n_history: Number of samples before a stretch that its filtering needs.
    """

    def __init__(self, sample_rate: int) -> None:
        self.impulse_response = _design(sample_rate)
        self.n_history = self.impulse_response.size - 1
        self._n_step = -(-min(sample_rate, MAX_SECOND) // PARTS)
        self._n_transform = _fast_length(self.n_history + self._n_step)
        self._response = np.fft.rfft(self.impulse_response, self._n_transform)

    def apply(self, waveform: npt.NDArray[Any]) -> Array:
        """Filter up to a second.

        Args:
            waveform: ``(n_history + samples,)``.

        Returns:
            ``(samples,)`` float64. Each sample depends on those before it alone.
        """
        n_samples = waveform.size - self.n_history
        n_parts = -(-n_samples // self._n_step)
        padded = np.zeros((n_parts - 1) * self._n_step + self._n_transform)
        padded[: waveform.size] = waveform
        parts = np.lib.stride_tricks.sliding_window_view(padded, self._n_transform)
        spectra = np.fft.rfft(parts[:: self._n_step])
        spectra *= self._response
        filtered = np.fft.irfft(spectra, self._n_transform)
        valid = filtered[:, self.n_history : self.n_history + self._n_step]
        return valid.reshape(-1)[:n_samples]


@lru_cache(maxsize=4)
def a_weighting(sample_rate: int) -> AWeighting:
    """The filter for a sample rate, made once for all streams that have it."""
    return AWeighting(sample_rate)


def _gain(frequency_hz: Array) -> Array:
    """Magnitude of the weighting, 1 at 1 kHz."""
    return _formula(frequency_hz) / _formula(np.array(1000.0))


def _formula(frequency_hz: Array) -> Array:
    gain = frequency_hz**4
    for pole in POLES_HZ:
        gain = gain / np.hypot(frequency_hz, pole)
    return gain


def _design(sample_rate: int) -> Array:
    """Make the impulse response.

    The zeros and the low poles have an exact digital counterpart, whose response is long. What is
    left of the formula is a smooth curve without zeros. Its response of minimum phase is short, and
    follows from its logarithm by way of the cepstrum (Oppenheim and Schafer, Discrete-Time Signal
    Processing, ch. 13).
    """
    n_taps = min(max(16, round(IMPULSE_RESPONSE_S * sample_rate)), MAX_TAPS)
    n_points = max(4 * 2 ** (n_taps - 1).bit_length(), 2**15)
    frequency = np.arange(n_points // 2 + 1) * (sample_rate / n_points)
    unit = np.exp(-2j * np.pi * frequency / sample_rate)
    low: npt.NDArray[np.complex128] = (1 - unit) ** 4
    for pole in _LOW_POLES_HZ:
        low = low / (1 - np.exp(-2 * np.pi * pole / sample_rate) * unit)
    rest = np.empty_like(frequency)
    rest[1:] = _gain(frequency[1:]) / np.abs(low[1:])
    rest[0] = rest[1]  # both are 0 there, and the curve is level
    cepstrum = np.fft.irfft(np.log(rest), n_points)
    cepstrum[1 : n_points // 2] *= 2
    cepstrum[n_points // 2 + 1 :] = 0
    response = low * np.exp(np.fft.rfft(cepstrum))
    return np.fft.irfft(response, n_points)[:n_taps]


def _fast_length(least: int) -> int:
    """The smallest length from ``least`` on that is a power of two, or 3, 5, 9 or 15 of them."""
    return min(odd << (-(-least // odd) - 1).bit_length() for odd in (1, 3, 5, 9, 15))
