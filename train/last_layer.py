"""The last layer fitted alone, to its optimum, on what the layers before it make of windows.

A logistic regression has one optimum, and its search needs no schedule. What layers have learned
by imitation stays as it is: training them on with a few thousand labels makes them forget more of
it than the labels teach (docs/results.md).

Source: linear probing; A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", ICLR 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.augment import to_device
from train.layers import Body
from train.powers import PowerMaterial

WEIGHT_DECAY = 3e-3
N_CHANGED = 8
"""Windows of each clip that are changed as in training; beside them all its windows as they are."""

BATCH = 128

FAINT = math.log(2)
"""Where no band of a window reaches it, the power is below the front end's floor: silence, which no
network is asked about."""

Draw = Callable[[np.ndarray, np.random.Generator], tuple[Tensor, Tensor]]


def fit_last_layer(body: Body, material: PowerMaterial, draw: Draw) -> None:
    """Fit the last layer to windows of clips, as they are and changed; to none that is silent.

    Args:
        body: Whose last layer is fitted, in place.
        material: The clips.
        draw: Makes features and labels of changed windows of some clips.
    """
    random, powers, labels = np.random.default_rng(0), material.powers, material.labels
    n_frames = material.n_frames
    clip_frames = powers.power.shape[2] - 2 * powers.margin
    n_windows = 1 + max(0, int((clip_frames - n_frames) / material.label_hop))
    features, wanted = [], []
    with torch.no_grad():
        for indices in np.array_split(np.arange(len(labels)), -(-len(labels) // BATCH)):
            rows = to_device(indices, labels)
            for number in range(n_windows):
                start = powers.margin + round(number * material.label_hop)
                power = powers.cut(indices, np.full(len(indices), start), n_frames)
                heard = material.front_end.compress(power)
                audible = heard.amax(dim=(1, 2)) >= FAINT
                features.append(body.pooled(heard[audible]))
                wanted.append(labels[rows[audible], min(number, labels.shape[1] - 1)])
            for _ in range(N_CHANGED):
                changed, said = draw(indices, random)
                features.append(body.pooled(changed))
                wanted.append(said)
    fit_logistic(body.output, torch.cat(features), torch.cat(wanted), WEIGHT_DECAY)


def fit_logistic(layer: nn.Linear, features: Tensor, labels: Tensor, weight_decay: float) -> None:
    """Logistic regression on standardised features, to its optimum.

    Args:
        layer: What is fitted, in place; what it holds before does not matter.
        features: ``(rows, channels)``.
        labels: ``(rows,)`` classes, or ``(rows, classes)`` probabilities.
        weight_decay: Of the standardised weights, per mean loss.
    """
    mean, deviation = features.mean(dim=0), features.std(dim=0) + 1e-5
    standardised = (features - mean) / deviation
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    search = torch.optim.LBFGS(
        layer.parameters(), max_iter=100, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = F.cross_entropy(layer(standardised), labels)
        loss = loss + weight_decay * layer.weight.square().sum()
        loss.backward()
        return loss

    search.step(closure)
    layer.zero_grad()
    with torch.no_grad():
        layer.weight /= deviation
        layer.bias -= layer.weight @ mean
