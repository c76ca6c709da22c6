"""What a teacher says of each source alone: labels of the windows in which the source is heard.

Of a mixture a teacher says little about what is short or drowned, and who learns from that learns
to say little. But chance that decided of the mixture knows what sounds in it, and when
(`train.audio.tracks_on_device.Mixer.mix_and_measure`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from train.audio.tracks_on_device import LEVEL_S
from train.datasets.heard_sources import read_heard
from train.nets.efficientat import N_LABELS
from train.nets.pocket_network import SAMPLE_RATE, WINDOW_SAMPLES

N_STEPS = round(WINDOW_SAMPLES / SAMPLE_RATE / LEVEL_S)
"""Steps of a window."""

FEWEST = 3
"""A source counts as heard in a window if it is loud enough in so many steps of it, or in all in
which it sounds at all, where these are fewer."""


class CleanSources:
    """Targets of windows, on a device.

    Args:
        scores: ``(sources, labels)``, what the teacher says of each source.
        lowest_db: Level over all else from which on a source is heard.
        device: Where what was measured lies.
    """

    def __init__(self, scores: np.ndarray, lowest_db: float, device: torch.device) -> None:
        # The last row is of no source.
        padded = np.concatenate([scores, np.zeros((1, scores.shape[1]))]).astype(np.float32)
        self._scores, self._lowest = torch.from_numpy(padded).to(device), 10 ** (lowest_db / 10)

    def said(self, shard: Mapping[str, Tensor], rows: np.ndarray, firsts: np.ndarray) -> Tensor:
        """``(batch * windows, labels)``: the highest score of a source that is heard.

        Args:
            shard: With ``audible`` and ``sources``.
            rows: ``(batch,)``: mixtures.
            firsts: ``(batch, windows)``: the windows' first steps.
        """
        device = self._scores.device
        places = torch.from_numpy(rows).to(device, non_blocking=True)
        audible, sources = shard["audible"][places], shard["sources"][places]
        steps = firsts[:, :, None] + np.arange(N_STEPS)
        at = torch.from_numpy(steps.clip(max=audible.shape[2] - 1)).to(device, non_blocking=True)
        n_batch, n_windows = firsts.shape
        flat = at.view(n_batch, 1, -1).expand(-1, audible.shape[1], -1)
        ratios = audible.gather(2, flat).view(n_batch, -1, n_windows, N_STEPS)
        counts = (ratios > 0).sum(dim=3, keepdim=True)
        best = ratios.topk(FEWEST, dim=3).values
        level = best.gather(3, counts.clamp(1, FEWEST) - 1)
        heard = (level >= self._lowest) & (counts > 0)
        said = torch.zeros(n_batch, n_windows, self._scores.shape[1], device=device)
        for k in range(audible.shape[1]):
            own = self._scores[sources[:, k]][:, None] * heard[:, k]
            said = torch.maximum(said, own)
        return said.flatten(0, 1)


def read_scores(paths: Sequence[Path], sources: Sequence[str]) -> np.ndarray:
    """What was said of sources in files of `train.hear_sources`: ``(sources, labels)``.

    Of a source that none of them names nothing is said.

    Raises:
        DatasetError: One of them is no file of `train.hear_sources`.
    """
    place = {source: k for k, source in enumerate(sources)}
    scores = np.zeros((len(sources), N_LABELS), np.float32)
    for path in paths:
        names, said = read_heard(path)
        if said is None:
            continue
        kept = [(k, place[name]) for k, name in enumerate(names) if name in place]
        if kept:
            here, there = zip(*kept, strict=True)
            scores[list(there)] = said[list(here)]
    return scores
