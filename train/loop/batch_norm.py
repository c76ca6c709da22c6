"""BatchNorm statistics, recomputed at the end of a shortened schedule.

The statistics are running averages over the last tens of steps. At the end of a full schedule the
learning rate has long been low, and those steps all had nearly the same weights. At the end of a
short schedule the weights still changed, and the statistics belong to weights that are gone. The
same is done for averaged weights by P. Izmailov et al., "Averaging Weights Leads to Wider Optima
and Better Generalization", UAI 2018.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

N_BATCHES = 8
"""Training batches that the statistics are computed over."""


def recompute_statistics(trainable: nn.Module, batches: Iterable[Tensor]) -> bool:
    """Set the statistics to those of some batches under the present weights.

    Args:
        trainable: The module. Norms that it keeps in evaluation mode while it trains are left
            alone.
        batches: Inputs of the module.

    Returns:
        Whether the module has any norms to recompute.
    """
    trainable.train()
    norms = [m for m in trainable.modules() if isinstance(m, _BatchNorm) and m.training]
    if not norms:
        return False
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    with torch.no_grad():
        for batch in batches:
            trainable(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return True
