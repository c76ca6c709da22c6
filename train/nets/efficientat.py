"""EfficientAT's mn04_as as a teacher: a small tagger of AudioSet's 527 everyday sounds.

F. Schmid, K. Koutini, G. Widmer: Efficient Large-Scale Audio Tagging via Transformer-to-CNN
Knowledge Distillation, ICASSP 2023, https://github.com/fschmid56/EfficientAT (MIT). The weights are
the file that the authors publish, ``mn04_as_mAP_432.pt`` (release v0.0.1). The network takes audio
at 32 kHz and works well on 5 s and more; a shorter recording is repeated (`repeat`).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.base.errors import DatasetError

SAMPLE_RATE = 32_000
N_FEATURES = 384
N_LABELS = 527
BEST_S = 10.0
"""Seconds that it was trained on at a time; below 5 s it recognises much less."""

N_MELS = 128
N_FFT = 1024
WIN_LENGTH = 800
HOP_LENGTH = 320
HIGHEST_HZ = 15_000.0
PRE_EMPHASIS = 0.97
FLOOR = 1e-5
WIDTH = 0.4
"""The fraction of MobileNetV3-large's channels that this network has."""
EPS = 1e-3
"""Epsilon of each BatchNorm."""


@dataclass(frozen=True)
class Bottleneck:
    """An inverted residual of MobileNetV3-large, at full width.

    Attributes:
        kernel: Side of the depthwise convolution's kernel.
        expanded: Channels of the depthwise convolution.
        out: Channels of the output.
        squeezes: Whether squeeze-and-excitation follows the depthwise convolution.
        hard: Whether its activations are Hardswish, else ReLU.
        stride: Stride of the depthwise convolution.
    """

    kernel: int
    expanded: int
    out: int
    squeezes: bool
    hard: bool
    stride: int


# Howard et al., Searching for MobileNetV3, ICCV 2019, table 1.
BODY = (
    Bottleneck(3, 16, 16, False, False, 1),
    Bottleneck(3, 64, 24, False, False, 2),
    Bottleneck(3, 72, 24, False, False, 1),
    Bottleneck(5, 72, 40, True, False, 2),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(3, 240, 80, False, True, 2),
    Bottleneck(3, 200, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 480, 112, True, True, 1),
    Bottleneck(3, 672, 112, True, True, 1),
    Bottleneck(5, 672, 160, True, True, 2),
    Bottleneck(5, 960, 160, True, True, 1),
    Bottleneck(5, 960, 160, True, True, 1),
)
STEM_CHANNELS = 16
HIDDEN = 1280
"""Units of the hidden layer of the head, at full width."""


def round_channels(n_channels: float) -> int:
    """Round to a multiple of 8, but never to less than 0.9 of the wanted number."""
    rounded = max(8, int(n_channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * n_channels else rounded


def _scaled(n_channels: int) -> int:
    return round_channels(WIDTH * n_channels)


class FrontEnd(nn.Module):
    """Log-mel power of a waveform in Kaldi's bands, 100 frames a second."""

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.compliance.kaldi import get_mel_banks

        banks, _ = get_mel_banks(
            N_MELS, N_FFT, float(SAMPLE_RATE), 0.0, HIGHEST_HZ, 100.0, -500.0, 1.0
        )
        self.register_buffer("banks", F.pad(banks, (0, 1)), persistent=False)
        window = torch.hann_window(WIN_LENGTH, periodic=False)
        self.register_buffer("window", window, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)`` in [-1, 1] at 32 kHz -> ``(batch, 128, frames)``."""
        emphasised = waveform[:, 1:] - PRE_EMPHASIS * waveform[:, :-1]
        spectrum = torch.stft(
            emphasised, N_FFT, HOP_LENGTH, WIN_LENGTH, self.window, center=True,
            pad_mode="reflect", return_complex=True,
        )  # fmt: skip
        power = spectrum.real.square() + spectrum.imag.square()
        return (torch.log(self.banks @ power + FLOOR) + 4.5) / 5.0


class Normed(nn.Sequential):
    """A convolution that keeps the size (except for its stride), BatchNorm, activation."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, activation: nn.Module,
        stride: int = 1, groups: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
            nn.BatchNorm2d(n_out, eps=EPS),
            activation,
        )


class SqueezeExcite(nn.Module):
    """Weights for the channels from their means over the whole map (Hu et al., CVPR 2018)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        n_squeezed = round_channels(n_channels / 4)
        layers = nn.Module()
        layers.fc1 = nn.Linear(n_channels, n_squeezed)
        layers.fc2 = nn.Linear(n_squeezed, n_channels)
        self.conc_se_layers = nn.ModuleList([layers])

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, channels, mels, frames)`` -> the same shape."""
        (layers,) = self.conc_se_layers
        scale = layers.fc2(F.relu(layers.fc1(maps.mean(dim=(2, 3)))))
        return maps * torch.sigmoid(scale)[:, :, None, None]


class Residual(nn.Module):
    """An inverted residual: expand, depthwise convolution, squeeze-and-excitation, project."""

    def __init__(self, n_in: int, block: Bottleneck) -> None:
        super().__init__()
        n_expanded, n_out = _scaled(block.expanded), _scaled(block.out)
        activation = nn.Hardswish if block.hard else nn.ReLU
        layers: list[nn.Module] = []
        if n_expanded != n_in:
            layers.append(Normed(n_in, n_expanded, 1, activation()))
        layers.append(
            Normed(
                n_expanded, n_expanded, block.kernel, activation(), block.stride, groups=n_expanded
            )
        )
        if block.squeezes:
            layers.append(SqueezeExcite(n_expanded))
        layers.append(Normed(n_expanded, n_out, 1, nn.Identity()))
        self.block = nn.Sequential(*layers)
        self.adds = block.stride == 1 and n_in == n_out

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, channels, mels, frames)``; a stride of 2 halves the last two axes."""
        return maps + self.block(maps) if self.adds else self.block(maps)


class EfficientAT(nn.Module):
    """The network of mn04_as, front end included.

    Attributes:
        front_end: Log-mel power of the waveform.
        features: The convolutions, by their name in the published state dict.
        classifier: The head, by its name in the published state dict.
    """

    def __init__(self) -> None:
        super().__init__()
        self.front_end = FrontEnd()
        n_channels = [_scaled(STEM_CHANNELS), *(_scaled(block.out) for block in BODY)]
        layers: list[nn.Module] = [Normed(1, n_channels[0], 3, nn.Hardswish(), stride=2)]
        layers += [Residual(n_in, block) for n_in, block in zip(n_channels[:-1], BODY, strict=True)]
        layers.append(Normed(n_channels[-1], N_FEATURES, 1, nn.Hardswish()))
        self.features = nn.Sequential(*layers)
        n_hidden = _scaled(HIDDEN)
        self.classifier = nn.Sequential(
            nn.Identity(), nn.Identity(), nn.Linear(N_FEATURES, n_hidden), nn.Hardswish(),
            nn.Identity(), nn.Linear(n_hidden, N_LABELS),
        )  # fmt: skip

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, samples)`` at 32 kHz -> features ``(batch, 384)``, logits ``(batch, 527)``."""
        maps = self.features(self.front_end(waveform)[:, None])
        features = maps.mean(dim=(2, 3))
        return features, self.classifier(features)


def open_efficientat(path: Path) -> tuple[EfficientAT, str]:
    """Open the network with the weights that its authors publish.

    Returns:
        The network in evaluation mode, and the SHA-256 of the file.

    Raises:
        DatasetError: The file is missing, or holds other weights.
    """
    expected = "expected is mn04_as_mAP_432.pt of EfficientAT's release v0.0.1"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        learned = torch.load(path, map_location="cpu", weights_only=True)
        network = EfficientAT()
        network.load_state_dict(learned)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}; {expected}") from error
    except Exception as error:  # torch raises nearly anything for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no weights"
        raise DatasetError(f"{path}: no weights of mn04_as ({reason}); {expected}") from error
    return network.eval(), digest


def repeat(waveform: Tensor, n_samples: int) -> Tensor:
    """Repeat a short waveform, as the network works poorly on short ones.

    Args:
        waveform: ``(batch, samples)``.
        n_samples: Wanted length; a longer waveform is returned unchanged.
    """
    n_times = math.ceil(n_samples / waveform.shape[1])
    if n_times <= 1:
        return waveform
    return waveform.repeat(1, n_times)[:, :n_samples]
