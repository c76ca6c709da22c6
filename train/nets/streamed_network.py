"""mn04_as made for streams: the layers of `train.nets.efficientat` without padding along time.

The published network hears ten seconds at once: it pads each layer, its frames are 0.32 s apart,
and squeeze-and-excitation takes means over all of the time. So overlapping windows share nothing
there, and a window of 1.5 s is mostly padding. Here every layer keeps its weights, and

- nothing is padded along time, frames are 12.5 ms apart (not 10 ms), and time is halved three times
  (not five): one frame of the output every 0.1 s, of which windows share all that they have in
  common;
- the deeper depthwise kernels have one tap along time, the sum of those that they had: in a steady
  sound both give the same;
- squeeze-and-excitation takes the mean over frequency alone, frame by frame;
- it hears 16 kHz: the bands above 8 kHz are silent for the layers, as in a recording at 16 kHz that
  was brought to 32 kHz.

With the published weights this recognises little until the statistics of BatchNorm are measured
anew, and needs to be trained to say what the published network says (`train.distil`).

Sources: as of `train.nets.efficientat`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.nets.dft import FramePower
from train.nets.efficientat import (
    FLOOR,
    HIGHEST_HZ,
    PRE_EMPHASIS,
    EfficientAT,
    Normed,
    Residual,
    SqueezeExcite,
)
from train.nets.efficientat import N_FFT as TEACHER_N_FFT
from train.nets.efficientat import N_MELS as TEACHER_N_MELS
from train.nets.efficientat import SAMPLE_RATE as TEACHER_RATE

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = 24_000
N_FFT = TEACHER_N_FFT * SAMPLE_RATE // TEACHER_RATE
"""Its bins are as far apart as the published network's."""

WIN_LENGTH = 400
HOP_LENGTH = 200

TIME_TAPS = (3, 3, 3, 5, 5, 3, *[1] * 9)
"""Taps along time of each block's depthwise convolution."""

HALVES_TIME = (False, True, False, True, *[False] * 11)
"""Blocks that halve the time; the first layer does, too."""

FRAMES_PER_STEP = 8
"""Frames of the front end for one of the output, 0.1 s."""


class StreamedMel(nn.Module):
    """Log-mel power in the published network's bands below 8 kHz, of audio at 16 kHz.

    Attributes:
        floor: Power that counts as next to nothing, as of the published network.
        n_mels: Bands.
        hop_length: Samples between frames.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.compliance.kaldi import get_mel_banks

        banks, _ = get_mel_banks(
            TEACHER_N_MELS, TEACHER_N_FFT, float(TEACHER_RATE), 0.0, HIGHEST_HZ, 100.0, -500.0, 1.0
        )
        banks = F.pad(banks.double(), (0, 1))[:, : N_FFT // 2 + 1]
        banks[:, -1] = 0
        # The pre-emphasis of audio at 32 kHz, as a gain of each bin; half as many samples have a
        # quarter of the power.
        turns = 2j * math.pi * torch.arange(N_FFT // 2 + 1) / TEACHER_N_FFT
        gains = 4 * (1 - PRE_EMPHASIS * torch.exp(-turns)).abs().square()
        banks = (banks * gains)[banks.sum(dim=1) > 0].float()
        self.floor, self.n_mels, self.hop_length = FLOOR, len(banks), HOP_LENGTH
        window = torch.hann_window(WIN_LENGTH, periodic=False)
        margin = (N_FFT - WIN_LENGTH) // 2
        padded = np.pad(window.double().numpy(), margin)
        self.frame_power = FramePower(padded, HOP_LENGTH)
        # Computed from the sizes whenever the network is built, so not saved with its weights.
        self.register_buffer("window", torch.from_numpy(padded).float(), persistent=False)
        self.register_buffer("banks", banks, persistent=False)
        ordered = banks[:, self.frame_power.bins, None]
        self.register_buffer("ordered_banks", ordered, persistent=False)

    def n_frames(self, n_samples: int) -> int:
        """Number of frames that fit into ``n_samples`` samples."""
        return (n_samples - N_FFT) // HOP_LENGTH + 1

    def power(self, waveform: Tensor) -> Tensor:
        """Power in each band: ``(batch, samples)`` in [-1, 1] -> ``(batch, mels, frames)``."""
        return F.conv1d(self.frame_power(waveform[:, None]), self.ordered_banks)

    def power_by_fft(self, waveform: Tensor) -> Tensor:
        """The same as `power`, several times faster, but not exportable."""
        frames = waveform.unfold(1, N_FFT, HOP_LENGTH)
        squares = torch.view_as_real(torch.fft.rfft(frames * self.window)).square_()
        power = squares[..., 0] + squares[..., 1]
        return (power @ self.banks.T).transpose(1, 2)

    def compress(self, power: Tensor) -> Tensor:
        """``ln(1 + power / floor)``, any shape: 0 for silence."""
        return torch.log1p(power * (1 / self.floor))

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] -> ``(batch, mels, frames)``."""
        return self.compress(self.power(waveform))


class FrameExcite(nn.Module):
    """Weights for the channels of each frame, from their means over frequency in it."""

    def __init__(self, layers: SqueezeExcite) -> None:
        super().__init__()
        (own,) = layers.conc_se_layers
        self.squeeze, self.excite = _as_convolution(own.fc1), _as_convolution(own.fc2)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, channels, mels, frames)`` -> the same shape."""
        scale = self.excite(F.relu(self.squeeze(maps.mean(dim=2))))
        return maps * torch.sigmoid(scale)[:, :, None]


class StreamedResidual(nn.Module):
    """An inverted residual without padding along time."""

    def __init__(self, published: Residual, n_taps: int, *, halves_time: bool) -> None:
        super().__init__()
        self.adds, self.n_lost = published.adds, (n_taps - 1) // 2
        self.block = nn.Sequential(
            *(_streamed(layer, n_taps, halves_time=halves_time) for layer in published.block)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, channels, mels, frames)``; fewer frames come out."""
        changed = self.block(maps)
        if not self.adds:
            return changed
        # An end counted from the back holds for windows and longer stretches alike.
        return (maps[..., self.n_lost : -self.n_lost] if self.n_lost else maps) + changed


class StreamedBody(nn.Module):
    """The layers: spectra to features, frames 0.1 s apart.

    Attributes:
        layers: In the order of the published network's.
        n_window_frames: Frames of the output in a window.
    """

    def __init__(self, published: EfficientAT) -> None:
        """Make the layers from the published ones, which are changed by it."""
        super().__init__()
        first, *blocks, last = published.features
        first[0].padding = (1, 0)
        self.layers = nn.Sequential(
            first,
            *(
                StreamedResidual(block, n_taps, halves_time=halves)
                for block, n_taps, halves in zip(blocks, TIME_TAPS, HALVES_TIME, strict=True)
            ),
            last,
        )
        # With channels last a training step takes a quarter less time on a CPU.
        self.to(memory_format=torch.channels_last)
        self.n_window_frames = self.n_frames((WINDOW_SAMPLES - N_FFT) // HOP_LENGTH + 1)

    @staticmethod
    def n_frames(n_spectra: int) -> int:
        """Frames of the output of so many spectra."""
        n = (n_spectra - 3) // 2 + 1
        for n_taps, halves in zip(TIME_TAPS, HALVES_TIME, strict=True):
            n = (n - n_taps) // (2 if halves else 1) + 1
        return n

    def forward(self, spectra: Tensor) -> Tensor:
        """``(batch, mels, spectra)`` -> ``(batch, 384, frames)``."""
        silent = F.pad(spectra, (0, 0, 0, TEACHER_N_MELS - spectra.shape[1]))
        return self.layers(((silent + (math.log(FLOOR) + 4.5)) / 5.0)[:, None]).mean(dim=2)


class StreamedNet(nn.Module):
    """The whole network: front end, layers, and the published head over each window.

    Attributes:
        front_end: Log-mel power.
        body: The layers; windows share them.
        head: Features of a window to labels.
    """

    def __init__(self, published: EfficientAT | None = None) -> None:
        """With the weights of a network that is used up by it, or with random ones."""
        super().__init__()
        published = published or EfficientAT()
        self.front_end = StreamedMel()
        self.body, self.head = StreamedBody(published), published.classifier

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] at 16 kHz -> ``(batch, 527)`` logits."""
        return self.head(self.body(self.front_end(waveform)).mean(dim=2))


def _streamed(layer: nn.Module, n_taps: int, *, halves_time: bool) -> nn.Module:
    if isinstance(layer, SqueezeExcite):
        return FrameExcite(layer)
    if isinstance(layer, Normed) and layer[0].groups > 1:
        layer[0] = _fewer_taps(layer[0], n_taps, halves_time=halves_time)
    return layer


def _fewer_taps(published: nn.Conv2d, n_taps: int, *, halves_time: bool) -> nn.Conv2d:
    """A depthwise convolution with fewer taps along time; the outer ones go into the next."""
    n_before = published.kernel_size[1]
    n_outer = (n_before - n_taps) // 2
    convolution = nn.Conv2d(
        published.in_channels, published.out_channels, (published.kernel_size[0], n_taps),
        (published.stride[0], 2 if halves_time else 1), (published.padding[0], 0),
        groups=published.groups, bias=False,
    )  # fmt: skip
    with torch.no_grad():
        weight = published.weight[..., n_outer : n_before - n_outer].clone()
        weight[..., 0] += published.weight[..., :n_outer].sum(dim=3)
        weight[..., -1] += published.weight[..., n_before - n_outer :].sum(dim=3)
        convolution.weight.copy_(weight)
    return convolution


def _as_convolution(layer: nn.Linear) -> nn.Conv1d:
    convolution = nn.Conv1d(layer.in_features, layer.out_features, 1)
    with torch.no_grad():
        convolution.weight.copy_(layer.weight[:, :, None])
        convolution.bias.copy_(layer.bias)
    return convolution
