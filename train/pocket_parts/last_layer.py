"""The last layer fitted alone, to its optimum, on what the layers before it make of windows.

A logistic regression has one optimum, and its search needs no schedule. What layers have learned
by imitation stays as it is: training them on with a few thousand labels makes them forget more of
it than the labels teach (research/trials.md).

Not every window of a dog's clip holds its bark, and what the user is shown is the average of some
seconds. So a second optimum has one term more: the average over the windows of 3 s is to name the
clip, as it is, quieter and over noise. A window that holds little may then say little, and one that
holds the sound speaks for the others. What is kept lies half way between the two.

Sources: linear probing; A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", ICLR 2022. Labels of bags of instances: multiple-instance
learning, O. Maron and T. Lozano-Perez 1998.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.audio.augment import to_device
from train.audio.distance import Setting, draw_settings
from train.nets.layers import Body, windows_at_once
from train.pocket_parts.mel_power import NOISE_POWER, PowerMaterial, draw_noise

WEIGHT_DECAY = 3e-3
N_CHANGED = 8
"""Windows of each clip that are changed as in training; beside them all its windows as they are."""

AVERAGED = 4
"""Windows of an average: one every half second, of 1.5 s each, covers 3 s."""

AVERAGES_WEIGHT = 2.0
"""Of the averages' loss beside the windows'."""

AVERAGES_DECAY = 6e-3
"""The weight decay beside both."""

KEPT_SHARE = 0.5
"""Of the optimum of windows alone in the result: averages alone name clips best, and find fewer
events."""

N_ALONE = 4
"""Windows of noise alone for each clip, with all labels alike."""

TINY = 1e-6
"""A score's floor in a logarithm."""

BATCH = 128
NO_AVERAGE = -1

FAINT = math.log(2)
"""Where no band of a window reaches it, the power is below the front end's floor: silence, which no
network is asked about."""

Draw = Callable[[np.ndarray, np.random.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Averages:
    """Which rows are averaged, and what the averages are to name.

    Attributes:
        rows: ``(n,)``.
        of: ``(n,)``: the average that each of these belongs to.
        targets: ``(averages,)`` classes.
    """

    rows: Tensor
    of: Tensor
    targets: Tensor

    def loss(self, logits: Tensor) -> Tensor:
        """Mean cross-entropy of the averages of scores."""
        scores = logits[self.rows].softmax(dim=1)
        shape = len(self.targets), scores.shape[1]
        sums = scores.new_zeros(shape).index_add(0, self.of, scores)
        n_rows = torch.bincount(self.of, minlength=shape[0])[:, None]
        return F.nll_loss((sums / n_rows + TINY).log(), self.targets)

    def and_of(self, other: Averages, n_before: int) -> Averages:
        """With another's, whose rows come behind ``n_before`` others."""
        return Averages(
            torch.cat([self.rows, other.rows + n_before]),
            torch.cat([self.of, other.of + len(self.targets)]),
            torch.cat([self.targets, other.targets]),
        )


class Rows:
    """What the layers make of windows, with labels, and which of them are averaged."""

    def __init__(self) -> None:
        self._features: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._averages: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._n_averages = 0

    def begin_averages(self, targets: Tensor) -> Tensor:
        """``(clips,)``: numbers of new averages, one a clip, that are to name ``targets``."""
        first, self._n_averages = self._n_averages, self._n_averages + len(targets)
        self._targets.append(targets)
        return torch.arange(first, self._n_averages, device=targets.device)

    def add(self, features: Tensor, labels: Tensor, averages: Tensor | None = None) -> None:
        """Take windows: ``(windows, channels)``, ``(windows, classes)``, and averages' numbers."""
        self._features.append(features)
        self._labels.append(labels)
        none = torch.full((len(labels),), NO_AVERAGE, device=labels.device)
        self._averages.append(none if averages is None else averages)

    def all(self) -> tuple[Tensor, Tensor, Averages]:
        """Features, labels, and those of the averages of which anything is heard."""
        number = torch.cat(self._averages)
        averaged = torch.nonzero(number != NO_AVERAGE)[:, 0]
        left, of = number[averaged].unique(return_inverse=True)
        averages = Averages(averaged, of, torch.cat(self._targets)[left])
        return torch.cat(self._features), torch.cat(self._labels), averages


def fit_last_layer(body: Body, material: PowerMaterial, draw: Draw) -> None:
    """Fit the last layer: half way between what names windows best, and averages of them.

    First to windows as they are and changed; then to windows in other settings, too, and to the
    averages of those. To no window in which nothing of its clip is heard, but, both times, to noise
    alone, with all labels alike.

    Args:
        body: Whose last layer is fitted, in place.
        material: The clips.
        draw: Makes features and labels of changed windows of some clips.
    """
    random = np.random.default_rng(0)
    rows, others = Rows(), Rows()
    with torch.no_grad():
        n_clips = len(material.labels)
        for indices in np.array_split(np.arange(n_clips), -(-n_clips // BATCH)):
            loudest = material.loudest(indices)
            plain, *further = draw_settings(loudest, len(material.noises), random)
            _hear(body, material, indices, plain, random, rows)
            for _ in range(N_CHANGED):
                changed, said = draw(indices, random)
                rows.add(_pool(body, changed), said)
            for setting in further:
                _hear(body, material, indices, setting, random, others)
            for _ in range(N_ALONE):
                _hear_noise(body, material, len(indices), random, rows)
    features, labels, averages = rows.all()
    fit_logistic(body.output, features, labels, WEIGHT_DECAY)
    alone = [parameter.detach().clone() for parameter in body.output.parameters()]
    more, more_labels, more_averages = others.all()
    features, labels = torch.cat([features, more]), torch.cat([labels, more_labels])
    averages = averages.and_of(more_averages, len(features) - len(more))
    fit_logistic(body.output, features, labels, AVERAGES_DECAY, averages)
    with torch.no_grad():
        for parameter, before in zip(body.output.parameters(), alone, strict=True):
            parameter.lerp_(before, KEPT_SHARE)


def _hear(
    body: Body,
    material: PowerMaterial,
    indices: np.ndarray,
    setting: Setting,
    random: np.random.Generator,
    rows: Rows,
) -> None:
    """All windows of some clips in a setting, but for those in which nothing of a clip is heard."""
    n_frames = material.n_frames
    clips = to_device(indices, material.labels)
    for number in range(material.n_windows):
        if number % AVERAGED == 0:
            averages = rows.begin_averages(material.targets[clips])
        starts = np.full(len(indices), material.start_of(number))
        power = material.powers.cut(indices, starts, n_frames)
        noise = draw_noise(material.noises, len(indices), n_frames, random, setting.rows)
        both = (power + noise * setting.noise[:, None, None]) * setting.levels[:, None, None]
        heard = material.front_end.compress(both)
        audible = heard.amax(dim=(1, 2)) >= FAINT
        audible &= power.sum(dim=1).amax(dim=1) >= setting.noise
        place = min(number, material.labels.shape[1] - 1)
        labels = material.labels[clips[audible], place]
        rows.add(_pool(body, heard[audible]), labels, averages[audible])


def _pool(body: Body, features: Tensor) -> Tensor:
    """What the last layer is given of windows, some at a time."""
    parts = features.split(windows_at_once(features.device))
    return torch.cat([body.pooled(part) for part in parts])


def _hear_noise(
    body: Body, material: PowerMaterial, n: int, random: np.random.Generator, rows: Rows
) -> None:
    """Windows of noise alone, which are to be named without confidence."""
    noise = draw_noise(material.noises, n, material.n_frames, random)
    powers = to_device(10 ** random.uniform(*NOISE_POWER, n), noise)
    heard = material.front_end.compress(noise * powers[:, None, None])
    n_classes = material.labels.shape[2]
    rows.add(_pool(body, heard), heard.new_full((n, n_classes), 1 / n_classes))


def fit_logistic(
    layer: nn.Linear,
    features: Tensor,
    labels: Tensor,
    weight_decay: float,
    averages: Averages | None = None,
) -> None:
    """Logistic regression on standardised features, to its optimum.

    Args:
        layer: What is fitted, in place; what it holds before does not matter.
        features: ``(rows, channels)``.
        labels: ``(rows,)`` classes, or ``(rows, classes)`` probabilities.
        weight_decay: Of the standardised weights, per mean loss.
        averages: What averages of rows are to name as well; from the optimum without.
    """
    mean, deviation = features.mean(dim=0), features.std(dim=0) + 1e-5
    standardised = (features - mean).div_(deviation)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()

    def loss(*, averaging: bool) -> Tensor:
        logits = layer(standardised)
        total = F.cross_entropy(logits, labels) + weight_decay * layer.weight.square().sum()
        if averaging and averages is not None:
            total = total + AVERAGES_WEIGHT * averages.loss(logits)
        return total

    _search(layer, partial(loss, averaging=False))
    if averages is not None:
        _search(layer, partial(loss, averaging=True))
    with torch.no_grad():
        layer.weight /= deviation
        layer.bias -= layer.weight @ mean


def _search(layer: nn.Linear, loss: Callable[[], Tensor]) -> None:
    """Go from where the layer is to the nearest optimum."""
    search = torch.optim.LBFGS(
        layer.parameters(), max_iter=100, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        value = loss()
        value.backward()
        return value

    search.step(closure)
    layer.zero_grad()
