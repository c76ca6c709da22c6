"""BatchNorm's statistics, measured again at the end of a shortened schedule.

They are running averages over the last tens of steps. At the end of a full schedule, whose rate has
fallen long before, those steps all had nearly the same weights; at the end of a short one they did
not, and the statistics are of weights that are gone. The same is done for averaged weights by
P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

N_BATCHES = 8
"""Training batches that they are measured over."""


def measure_statistics(trainee: nn.Module, batches: Iterable[Tensor]) -> bool:
    """Set the statistics to those of some batches, as the weights are now.

    Args:
        trainee: What learns; norms that it keeps in evaluation while it trains stay as they are.
        batches: Its inputs.

    Returns:
        Whether it has any such norms.
    """
    trainee.train()
    norms = [m for m in trainee.modules() if isinstance(m, _BatchNorm) and m.training]
    if not norms:
        return False
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a mean over all batches alike
    with torch.no_grad():
        for batch in batches:
            trainee(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return True
