"""What batches are cut from: a set's waveforms and labels, as near to the network as they fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.augment import to_device
from train.datasets.prepared import FULL_SCALE, REGRESSION, ClipSet, fits_in_memory


class Sounds:
    """The waveforms of clips of any length, a batch at a time.

    They lie on the device as int16 where they fit; otherwise each batch is read from disk.

    Attributes:
        lengths: ``(clips,)``, samples of each clip, on the device.
    """

    def __init__(self, clips: ClipSet, device: torch.device) -> None:
        self.clips, self.device = clips, device
        self.lengths = torch.from_numpy(clips.lengths).to(device)
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
        fits = fits_in_memory(clips, free)
        self._whole = torch.from_numpy(clips.matrix()).to(device) if fits else None

    def take(self, indices: np.ndarray) -> Tensor:
        """Some clips whole.

        Args:
            indices: ``(batch,)``.

        Returns:
            ``(batch, samples)`` float32 in [-1, 1) of one channel, ``(batch, channels, samples)``
            of more; as long as the longest of these clips, zeros behind the others.
        """
        longest = int(self.clips.lengths[indices].max())
        if self._whole is None:
            read = self.clips.stretches(indices, np.zeros_like(indices), longest)
            rows = torch.from_numpy(read).to(self.device)
        else:
            rows = self._whole[to_device(indices, self._whole), ..., :longest]
        return rows.float() / FULL_SCALE


@dataclass
class Material:
    """Clips with what a network should say of them.

    Attributes:
        sounds: Their waveforms.
        labels: ``(clips, classes)`` probabilities; of a regression ``(clips, 1)`` values.
        targets: ``(clips,)``, on the host.
    """

    sounds: Sounds
    labels: Tensor
    targets: np.ndarray

    def labels_of(self, indices: np.ndarray) -> Tensor:
        """``(batch, classes)``."""
        return self.labels[to_device(indices, self.labels)]


def make_material(clips: ClipSet, device: torch.device) -> Material:
    """Waveforms and labels of a set, on the device."""
    targets = torch.from_numpy(clips.targets)
    if clips.task == REGRESSION:
        labels = targets[:, None]
    else:
        labels = F.one_hot(targets, len(clips.labels)).float()
    return Material(Sounds(clips, device), labels.to(device), clips.targets)
