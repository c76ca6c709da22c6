"""Batches of training clips, drawn in a new order each epoch.

All randomness of a batch comes from the run's seed and the step's number. A resumed run therefore
sees the same batches as an uninterrupted one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from train.base.errors import UsageError
from train.datasets.prepared import ClipSet
from train.nets.contract import System

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Batches:
    """Batches of one run, by the number of the step.

    Attributes:
        per_epoch: Number of batches in an epoch.
        training_data: What the system cuts its batches from (`System.training_data`).
    """

    def __init__(
        self, system: System, network: nn.Module, clips: ClipSet, fabric: Fabric, seed: int
    ) -> None:
        self.system, self.fabric, self.seed = system, fabric, seed
        self.training_data = system.training_data(network, clips, fabric.device)
        self.n_clips = len(clips.clips)
        self.per_epoch = max(1, round(self.n_clips / system.recipe.batch_size))

    def cut(self, step: int) -> tuple[Tensor, Tensor]:
        """Cut this process's share of a step's batch.

        Torch's global generator is seeded as well, for the dropout that follows.

        Returns:
            Inputs and labels as from `System.batch`.

        Raises:
            UsageError: A batch has fewer clips than there are processes.
        """
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.seed, 0, epoch)).permutation(self.n_clips)
        indices = _share(np.array_split(order, self.per_epoch)[place], self.fabric)
        rank = self.fabric.global_rank
        torch.manual_seed((self.seed << 32) + step + rank * 2**24)
        random = np.random.default_rng((self.seed, 1 + rank, step))
        return self.system.batch(self.training_data, indices, random)


def _share(indices: np.ndarray, fabric: Fabric) -> np.ndarray:
    """This process's part of the indices of a batch."""
    if fabric.world_size == 1:
        return indices
    if len(indices) < fabric.world_size:
        raise UsageError(
            f"--devices is {fabric.world_size}, more than the {len(indices)} clips of a batch"
        )
    return np.array_split(indices, fabric.world_size)[fabric.global_rank]
