"""What may lie between a clip and who hears it: distance, and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from train.audio.augment import draw_gains, to_device

QUIETEST_DB = 40.0
SNR_DB = (0.0, 35.0)
"""How much quieter than it is a clip is heard, and how far below its loudest frame noise lies."""


@dataclass(frozen=True, eq=False)
class Setting:
    """How some clips are heard, all windows of a clip alike.

    Attributes:
        levels: ``(clips,)``: what the power of all that is heard is multiplied by.
        noise: ``(clips,)``: mean power of a frame of noise, before that.
        rows: ``(clips,)``: which noise.
    """

    levels: Tensor
    noise: Tensor
    rows: np.ndarray


def draw_settings(loudest: Tensor, n_noises: int, random: np.random.Generator) -> list[Setting]:
    """As they are, quieter, and over noise (half of them quieter, too).

    Args:
        loudest: ``(clips,)``: the power of each one's loudest frame.
        n_noises: How many noises there are.
        random: The source of chance.
    """
    n = len(loudest)
    rows = random.integers(0, n_noises, n)
    plain, none = torch.ones_like(loudest), torch.zeros_like(loudest)
    quieter = to_device(draw_gains(random, n, -QUIETEST_DB, 0.0) ** 2, loudest)
    some = torch.where(to_device(random.random(n) < 0.5, loudest), quieter, plain)
    noise = loudest * to_device(10 ** (-random.uniform(*SNR_DB, n) / 10), loudest)
    return [Setting(plain, none, rows), Setting(quieter, none, rows), Setting(some, noise, rows)]
