"""The log-mel spectrogram as fixed convolutions, the same in torch and ONNX (`train.nets.dft`).

Without padding, frame ``k`` begins at sample ``k * hop_length`` of the waveform. Windows whose
distance is a multiple of ``hop_length`` then have equal frames where they overlap.

Training computes the same spectrum by FFT (`LogMel.power_by_fft`), which is faster.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.nets.dft import FramePower


class LogMel(nn.Module):
    """Log-mel spectrogram of a waveform; nothing in it is learned.

    Attributes:
        n_fft: Samples of a frame.
        hop_length: Samples between frames.
        n_mels: Mel bands.
        floor: Power that counts as next to nothing; full scale is about 1.
        pad: Samples mirrored at either end; with ``n_fft // 2`` the middle of frame ``k`` lies at
            sample ``k * hop_length``.
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        f_min: float = 50.0,
        f_max: float | None = None,
        floor: float = 1e-8,
        pad: int = 0,
    ) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.n_mels, self.floor = n_fft, hop_length, n_mels, floor
        self.pad = pad
        window = hann_window(n_fft)
        self.frame_power = FramePower(window, hop_length)
        filters = torch.from_numpy(
            mel_filters(sample_rate, n_fft, n_mels, f_min, f_max or sample_rate / 2)
        )
        ordered = filters[:, self.frame_power.bins, None]
        # Computed from the sizes whenever the network is built, so not saved with its weights.
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("ordered_filters", ordered, persistent=False)

    def n_frames(self, n_samples: int) -> int:
        """Number of frames that fit into ``n_samples`` samples."""
        return (n_samples + 2 * self.pad - self.n_fft) // self.hop_length + 1

    def power(self, waveform: Tensor) -> Tensor:
        """Power in each mel band: ``(batch, samples)`` in [-1, 1] -> ``(batch, mels, frames)``."""
        return F.conv1d(self.frame_power(self._padded(waveform)), self.ordered_filters)

    def power_by_fft(self, waveform: Tensor) -> Tensor:
        """The same as `power`, several times faster, but not exportable."""
        frames = self._padded(waveform)[:, 0].unfold(1, self.n_fft, self.hop_length)
        # abs().square() takes a root and squares it again, which takes four times as long.
        squares = torch.view_as_real(torch.fft.rfft(frames * self.window)).square_()
        power = squares[..., 0] + squares[..., 1]
        # One product for all frames, transposed afterwards, is a quarter faster.
        return (power @ self.filters.T).transpose(1, 2)

    def _padded(self, waveform: Tensor) -> Tensor:
        waveform = waveform[:, None]
        return F.pad(waveform, (self.pad, self.pad), mode="reflect") if self.pad else waveform

    def compress(self, power: Tensor) -> Tensor:
        """``ln(1 + power / floor)``, any shape: 0 for silence, about 18 for full scale.

        ``ln(power + floor)`` would not survive the export: the ONNX exporter's optimiser takes a
        constant of 1e-8 for zero and drops the addition, after which silence is minus infinity.
        """
        return torch.log1p(power * (1 / self.floor))

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] -> ``(batch, mels, frames)``."""
        return self.compress(self.power(waveform))


class OverWaveform(nn.Module):
    """Layers that expect one or more axes for channels, applied to plain waveforms."""

    def __init__(self, layers: nn.Module, n_axes: int = 1) -> None:
        super().__init__()
        self.layers, self.n_axes = layers, n_axes

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` -> ``(batch, filters, ..., time)``."""
        return self.layers(waveform.view(len(waveform), *[1] * self.n_axes, -1))


def hann_window(n_fft: int) -> npt.NDArray[np.float64]:
    """``(n_fft,)``, periodic, scaled so that a full-scale sine has a power of 1 at its bin."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return np.asarray(window * (2 / window.sum()))


def hz_to_mel(frequencies: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert Hz to mel by HTK's formula."""
    return np.asarray(2595 * np.log10(1 + frequencies / 700))


def mel_to_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert mel to Hz, the inverse of `hz_to_mel`."""
    return np.asarray(700 * (10 ** (mels / 2595) - 1))


def mel_filters(
    sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float
) -> npt.NDArray[np.float32]:
    """``(n_mels, bins)``: triangles of height 1, evenly spaced in mel (HTK's formula).

    The bin of frequency 0 is in none of them.
    """
    edges = mel_to_hz(np.linspace(*hz_to_mel(np.array([f_min, f_max])), n_mels + 2))
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def wavelets(
    sample_rate: int,
    n_filters: int,
    size: int,
    highest_hz: float = 16_000.0,
    n_periods: int = 8,
) -> npt.NDArray[np.float32]:
    """Band-pass kernels ``(n_filters, size)`` of norm 1, low to high: Hann-windowed cosines.

    Args:
        sample_rate: In Hz.
        n_filters: Number of filters, evenly on the ERB scale (Glasberg & Moore 1990).
        size: Samples of a kernel; two periods of the lowest frequency fit into them.
        highest_hz: Frequency of the last filter.
        n_periods: Length of a filter in periods where the kernel has room for more.
    """
    bounds = np.array([2 * sample_rate / size, highest_hz])
    erbs = np.linspace(*(21.4 * np.log10(1 + 0.00437 * bounds)), n_filters)
    centres = (10 ** (erbs / 21.4) - 1) / 0.00437
    time = (np.arange(size) - (size - 1) / 2) / sample_rate
    durations = np.minimum((size + 1) / sample_rate, n_periods / centres)
    turns = np.clip(time / durations[:, None], -0.5, 0.5)
    kernels = (1 + np.cos(2 * np.pi * turns)) * np.cos(2 * np.pi * centres[:, None] * time)
    kernels -= kernels.mean(axis=1, keepdims=True)
    return (kernels / np.linalg.norm(kernels, axis=1, keepdims=True)).astype(np.float32)
