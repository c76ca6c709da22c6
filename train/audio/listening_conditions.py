"""Conditions that lie between a clip and a microphone: distance and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from train.audio.augment import draw_gains, to_device

MAX_ATTENUATION_DB = 40.0
"""How much quieter than the recording a clip may be."""

SNR_DB = (0.0, 35.0)
"""Level of a clip's loudest frame over the noise, from and to."""


@dataclass(frozen=True, eq=False)
class ListeningCondition:
    """Level and noise of some clips, the same for all windows of a clip.

    Attributes:
        levels: ``(clips,)``, factor of the power of clip and noise together.
        noise: ``(clips,)``, mean power of a frame of noise, before that factor.
        rows: ``(clips,)``, which noise.
    """

    levels: Tensor
    noise: Tensor
    rows: np.ndarray


def draw_conditions(
    loudest: Tensor, n_noises: int, random: np.random.Generator
) -> list[ListeningCondition]:
    """Draw three conditions for each clip: unchanged, quieter, and over noise.

    Half of the clips over noise are quieter, too.

    Args:
        loudest: ``(clips,)``, power of each clip's loudest frame.
        n_noises: How many noises there are.
        random: Source of random numbers.
    """
    n = len(loudest)
    rows = random.integers(0, n_noises, n)
    plain, none = torch.ones_like(loudest), torch.zeros_like(loudest)
    quieter = to_device(draw_gains(random, n, -MAX_ATTENUATION_DB, 0.0) ** 2, loudest)
    some = torch.where(to_device(random.random(n) < 0.5, loudest), quieter, plain)
    noise = loudest * to_device(10 ** (-random.uniform(*SNR_DB, n) / 10), loudest)
    return [
        ListeningCondition(plain, none, rows),
        ListeningCondition(quieter, none, rows),
        ListeningCondition(some, noise, rows),
    ]
