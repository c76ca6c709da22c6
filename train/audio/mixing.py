"""Mixing two sounds into one, on whole batches: between-class learning and mixup.

Between-class (BC) learning: Y. Tokozume, Y. Ushiku, T. Harada, "Learning from Between-class
Examples for Deep Sound Recognition", ICLR 2018. Mixup: H. Zhang et al., ICLR 2018.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from train.audio.augment import to_device

FLOOR_DB = -80.0


def a_weighting(frequencies: np.ndarray) -> np.ndarray:
    """A-weighting in dB (IEC 61672) at ``frequencies`` in Hz, not below -80 dB."""
    squared = np.maximum(np.asarray(frequencies, dtype=np.float64), 1e-3) ** 2
    weight = 2.0 + 20 * (
        2 * np.log10(12194.0)
        + 2 * np.log10(squared)
        - np.log10(squared + 12194.0**2)
        - np.log10(squared + 20.6**2)
        - 0.5 * np.log10(squared + 107.7**2)
        - 0.5 * np.log10(squared + 737.9**2)
    )
    return np.maximum(weight, FLOOR_DB)


def a_weighted_level(waveform: Tensor, sample_rate: int) -> Tensor:
    """Loudness of each waveform: the highest A-weighted level of its frames.

    Args:
        waveform: ``(batch, samples)``, full scale = 1, a frame or more.
        sample_rate: In Hz; frames are 2,048 samples at 16 kHz and below, 4,096 above.

    Returns:
        ``(batch,)`` in dB, -80 or more.
    """
    n_fft = 2048 if sample_rate <= 16000 else 4096
    frames = waveform.unfold(1, n_fft, n_fft // 2)
    window = torch.hann_window(n_fft, periodic=True, device=waveform.device)
    power = torch.fft.rfft(frames * window).abs().square()
    weights = 10 ** (a_weighting(np.fft.rfftfreq(n_fft, 1 / sample_rate)) / 10)
    energy = power @ torch.from_numpy(weights).to(power)
    return 10 * torch.log10(energy.amax(dim=1).clamp(min=10 ** (FLOOR_DB / 10)))


def mix_between_classes(first: Tensor, second: Tensor, ratios: Tensor, sample_rate: int) -> Tensor:
    """Mix crops so that each is perceived in its ratio, whatever their levels.

    Args:
        first: ``(batch, samples)``.
        second: The same shape; its classes differ from the first's.
        ratios: ``(batch,)`` in (0, 1), the share of ``first``.
        sample_rate: In Hz.

    Returns:
        ``(batch, samples)``, with the energy of either crop if they were independent.
    """
    difference = a_weighted_level(first, sample_rate) - a_weighted_level(second, sample_rate)
    weight = 1 / (1 + 10 ** (difference / 20) * (1 - ratios) / ratios)
    weight = weight[:, None]
    mixed = weight * first + (1 - weight) * second
    return mixed / torch.sqrt(weight**2 + (1 - weight) ** 2)


def mix_labels(first: Tensor, second: Tensor, ratios: Tensor) -> Tensor:
    """Mix labels in the given ratio: ``(batch, classes)``."""
    return ratios[:, None] * first + (1 - ratios[:, None]) * second


def mixup(
    inputs: Tensor, labels: Tensor, random: np.random.Generator, alpha: float
) -> tuple[Tensor, Tensor]:
    """Mix each clip of a batch with the one before it, with the larger share for itself.

    Args:
        inputs: ``(batch, ...)``, anything that can be added.
        labels: ``(batch, classes)``.
        random: Draws a ratio for each clip from Beta(alpha, alpha).
        alpha: Above 0; 1 makes the ratios uniform.

    Returns:
        Mixed inputs and labels.
    """
    beta = random.beta(alpha, alpha, len(inputs))
    ratios = to_device(np.maximum(beta, 1 - beta), inputs)
    shares = ratios.view(-1, *[1] * (inputs.ndim - 1))
    mixed = torch.lerp(inputs.roll(1, 0), inputs, shares)
    return mixed, mix_labels(labels, labels.roll(1, 0), ratios)


def draw_other_class(
    targets: np.ndarray, chosen: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Draw, for each chosen clip, a random clip of another class, uniformly.

    Args:
        targets: ``(clips,)``, class of every clip.
        chosen: ``(batch,)``, indices of clips.
        random: Source of random numbers.

    Returns:
        ``(batch,)``, indices of clips.
    """
    order = np.argsort(targets, kind="stable")
    counts = np.bincount(targets)
    firsts = np.cumsum(counts) - counts
    own = targets[chosen]
    # Positions in the clips sorted by class, without the block of the clip's own class.
    places = np.floor(random.uniform(0, 1, len(chosen)) * (len(targets) - counts[own])).astype(int)
    places += np.where(places >= firsts[own], counts[own], 0)
    return order[places]
