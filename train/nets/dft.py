"""The DFT of every frame of a waveform, as a few convolutions with small kernels.

This is Cooley and Tukey's method in two steps, with ``n_fft = n_phases * n_taps`` and sample
``n = n_phases * tap + phase``. The first step is a DFT of ``n_taps`` points in each phase, with the
window and a stride over the frames. The second is, for each of its frequencies, a DFT of
``n_phases`` points across the phases, with the twiddle factors. Every step is a convolution without
padding: it is the same in torch and in ONNX, every execution provider has it, and the waveform may
have any length. At 640 points it takes an eighth of the multiply-adds and of the constants of one
convolution with all cosines and sines.

Sources: J. W. Cooley and J. W. Tukey, "An algorithm for the machine calculation of complex Fourier
series", 1965. The input is real, so half of the spectrum suffices.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FramePower(nn.Module):
    """Power spectrum of a waveform's frames, at all frequencies but 0 Hz.

    Args:
        window: ``(n_fft,)``, with the scale in it; ``n_fft`` is even.
        hop_length: Samples between frames.

    Attributes:
        bins: ``(n_fft // 2,)``, the frequency of each row of the output, 1 to ``n_fft // 2``, in
            the order that the second step leaves.
    """

    def __init__(self, window: npt.NDArray[np.float64], hop_length: int) -> None:
        super().__init__()
        n_phases = choose_phases(len(window), hop_length)
        n_taps = len(window) // n_phases
        self.n_phases, self.hop_phases, self.n_groups = (
            n_phases,
            hop_length // n_phases,
            n_taps // 2,
        )
        first, across = first_kernels(window, n_phases), np.arange(n_taps * n_phases)
        real, imaginary, self.bins = second_kernels(len(window), n_phases)
        # Reorders channels from phase-major to frequency-major.
        order = across.reshape(n_phases, n_taps).T.ravel()
        for name, kernels in (
            ("deal", np.eye(n_phases)),
            ("first", first.reshape(-1, n_taps)),
            ("real", real.reshape(-1, 2 * n_phases, 1)),
            ("imaginary", imaginary.reshape(-1, 2 * n_phases, 1)),
        ):
            shaped = kernels if kernels.ndim == 3 else kernels[:, None]
            tensor = torch.from_numpy(np.ascontiguousarray(shaped, dtype=np.float32))
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("order", torch.from_numpy(order), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, 1, samples)`` -> ``(batch, n_fft // 2, frames)``, in the order of `bins`."""
        phases = F.conv1d(waveform, self.deal, stride=self.n_phases)
        spectra = F.conv1d(phases, self.first, stride=self.hop_phases, groups=self.n_phases)
        spectra = spectra.index_select(1, self.order)
        real = F.conv1d(spectra, self.real, groups=self.n_groups)
        imaginary = F.conv1d(spectra, self.imaginary, groups=self.n_groups)
        return real * real + imaginary * imaginary


def choose_phases(n_fft: int, hop_length: int) -> int:
    """Choose the number of phases that takes the fewest multiply-adds a frame.

    It divides the hop, so that every frame begins in phase 0, and leaves an even number of taps.

    Raises:
        ValueError: ``n_fft`` is odd.
    """
    if n_fft % 2:
        raise ValueError(f"n_fft is {n_fft}, must be even")
    common = math.gcd(n_fft // 2, hop_length)

    def cost(n_phases: int) -> int:
        return hop_length * n_phases + n_fft * (n_fft // n_phases) + n_fft * 2 * n_phases

    return min((n for n in range(1, common + 1) if common % n == 0), key=cost)


def first_kernels(window: npt.NDArray[np.float64], n_phases: int) -> npt.NDArray[np.float64]:
    """Kernels of the first step, ``(phases, components, taps)``: a DFT of each phase's taps.

    The components are the real parts of frequencies 0 and ``taps / 2``, whose imaginary parts are
    0, then the real and the imaginary part of each frequency between.
    """
    taps = window.reshape(-1, n_phases)
    n_taps = len(taps)
    phase = 2 * np.pi * np.outer(np.arange(n_taps // 2 + 1), np.arange(n_taps)) / n_taps
    cosines, sines = np.cos(phase), -np.sin(phase)
    between = np.stack([cosines[1:-1], sines[1:-1]], axis=1).reshape(-1, n_taps)
    components = np.concatenate([cosines[[0, -1]], between])
    return components * taps.T[:, None]


def second_kernels(
    n_fft: int, n_phases: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Kernels of the second step: the DFT across the phases, with twiddle factors.

    Returns:
        Kernels ``(groups, phases, 2 * phases)`` for the real and for the imaginary parts, and the
        frequency of each, ``(groups * phases,)``. The first group takes the components 0 and
        ``taps / 2``, every other group the real and imaginary part of one frequency of the taps.
    """
    n_taps = n_fft // n_phases
    n_groups = n_taps // 2
    real = np.zeros((n_groups, n_phases, 2 * n_phases))
    imaginary = np.zeros_like(real)
    bins = np.zeros((n_groups, n_phases), dtype=np.int64)
    # Frequency 0 is left out; the two halves together then have as many rows as there are phases.
    lowest = np.arange(n_taps, n_fft // 2 + 1, n_taps)
    middle = np.arange(n_taps // 2, n_fft // 2 + 1, n_taps)
    bins[0] = np.concatenate([lowest, middle])
    cosines, sines = _waves(bins[0], n_fft, n_phases)
    n_lowest = len(lowest)
    for rows, half in ((slice(n_lowest), 0), (slice(n_lowest, None), 1)):
        columns = slice(half * n_phases, (half + 1) * n_phases)
        real[0, rows, columns] = cosines[rows]
        imaginary[0, rows, columns] = -sines[rows]
    for group in range(1, n_groups):
        frequencies = group + n_taps * np.arange(n_phases)
        cosines, sines = _waves(frequencies, n_fft, n_phases)
        real[group] = np.concatenate([cosines, sines], axis=1)
        imaginary[group] = np.concatenate([-sines, cosines], axis=1)
        # Above the Nyquist frequency the spectrum is a mirror image of the same power.
        bins[group] = np.minimum(frequencies, n_fft - frequencies)
    return real, imaginary, bins.ravel()


def _waves(
    frequencies: npt.NDArray[np.int64], n_fft: int, n_phases: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    phase = 2 * np.pi * np.outer(frequencies, np.arange(n_phases)) / n_fft
    return np.cos(phase), np.sin(phase)
