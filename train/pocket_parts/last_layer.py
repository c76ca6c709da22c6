"""Fitting the last layer alone, to its optimum, on the features of the frozen layers.

A logistic regression has one optimum, and finding it needs no schedule. The layers that learned by
imitation stay as they are: training them on with a few thousand labels makes them forget more than
the labels teach (research/trials.md).

Not every window of a dog's clip holds its bark, and the user is shown an average over some seconds.
So a second optimum has one more term: the average over the windows of 3 s is to give the clip's
class, for the clip as it is, quieter, and over noise. A window that holds little of the sound may
then have low scores, and one that holds the sound counts for the others. The result lies half way
between the two optima.

Sources: linear probing; A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", ICLR 2022. Labels of bags of instances: multiple-instance
learning, O. Maron and T. Lozano-Perez 1998.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.audio.augment import to_device
from train.audio.listening_conditions import ListeningCondition, draw_conditions
from train.nets.layers import Body, inference_batch_size
from train.pocket_parts.mel_power import SILENCE_LEVEL, MelPowerData, draw_noise

WEIGHT_DECAY = 3e-3
N_CHANGED = 8
"""Augmented windows of each clip, beside all its windows as they are."""

N_AVERAGED = 4
"""Windows of an average: one every half second, of 1.5 s each, which covers 3 s."""

AVERAGES_WEIGHT = 2.0
"""Weight of the averages' loss relative to the windows'."""

AVERAGES_DECAY = 6e-3
"""Weight decay of the optimum with both losses."""

KEPT_SHARE = 0.5
"""Share of the optimum of windows alone in the result. The averages' optimum recognises clips best,
but finds fewer events."""

N_NOISE_WINDOWS = 4
"""Windows of noise alone for each clip, with all labels alike."""

TINY = 1e-6
"""Floor of a score in a logarithm."""

BATCH_SIZE = 128
NO_AVERAGE = -1

DrawBatch = Callable[[np.ndarray, np.random.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class WindowAverages:
    """Averages of windows, with their classes.

    Attributes:
        rows: ``(n,)``, rows of the windows that are averaged.
        of: ``(n,)``, the average that each of these belongs to.
        targets: ``(averages,)``, classes.
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

    def joined_with(self, other: WindowAverages, n_before: int) -> WindowAverages:
        """Join with other averages, whose rows come after ``n_before`` rows."""
        return WindowAverages(
            torch.cat([self.rows, other.rows + n_before]),
            torch.cat([self.of, other.of + len(self.targets)]),
            torch.cat([self.targets, other.targets]),
        )


class WindowRows:
    """Windows as rows: features from the layers, labels, and averages over some of the rows."""

    def __init__(self) -> None:
        self._features: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._averages: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._n_averages = 0

    def begin_averages(self, targets: Tensor) -> Tensor:
        """Begin averages, one for each clip, with the classes ``targets``; return their numbers."""
        first, self._n_averages = self._n_averages, self._n_averages + len(targets)
        self._targets.append(targets)
        return torch.arange(first, self._n_averages, device=targets.device)

    def add(self, features: Tensor, labels: Tensor, averages: Tensor | None = None) -> None:
        """Add windows.

        Args:
            features: ``(windows, channels)``.
            labels: ``(windows, classes)``.
            averages: ``(windows,)``, the average that each window belongs to; none if not given.
        """
        self._features.append(features)
        self._labels.append(labels)
        none = torch.full((len(labels),), NO_AVERAGE, device=labels.device)
        self._averages.append(none if averages is None else averages)

    def all(self) -> tuple[Tensor, Tensor, WindowAverages]:
        """All features, labels, and those averages that have any windows."""
        number = torch.cat(self._averages)
        averaged = torch.nonzero(number != NO_AVERAGE)[:, 0]
        left, of = number[averaged].unique(return_inverse=True)
        averages = WindowAverages(averaged, of, torch.cat(self._targets)[left])
        return torch.cat(self._features), torch.cat(self._labels), averages


def fit_last_layer(body: Body, training_data: MelPowerData, draw: DrawBatch) -> None:
    """Fit the last layer: half way between the optimum for windows and that for averages of them.

    The first optimum is of windows as they are and augmented. The second is of windows under other
    conditions, too, and of averages of those. Windows in which nothing of their clip is audible are
    left out; windows of noise alone, with all labels alike, are in both.

    Args:
        body: Network whose last layer is fitted, in place.
        training_data: The clips.
        draw: Makes features and labels of augmented windows of some clips.
    """
    random = np.random.default_rng(0)
    rows, others = WindowRows(), WindowRows()
    with torch.no_grad():
        n_clips = len(training_data.labels)
        for indices in np.array_split(np.arange(n_clips), -(-n_clips // BATCH_SIZE)):
            loudest = training_data.peak_power(indices)
            unchanged, *changed_conditions = draw_conditions(
                loudest, len(training_data.noises), random
            )
            _add_windows(body, training_data, indices, unchanged, random, rows)
            for _ in range(N_CHANGED):
                augmented, probabilities = draw(indices, random)
                rows.add(_pool(body, augmented), probabilities)
            for condition in changed_conditions:
                _add_windows(body, training_data, indices, condition, random, others)
            for _ in range(N_NOISE_WINDOWS):
                _add_noise_windows(body, training_data, len(indices), random, rows)
    fit_between_optima(body.output, rows, others)


def fit_between_optima(layer: nn.Linear, rows: WindowRows, others: WindowRows) -> None:
    """Fit a layer half way between the optimum for windows and that for averages of more of them.

    Args:
        layer: Layer that is fitted, in place.
        rows: Windows of both optima.
        others: More windows, of the second optimum alone.
    """
    features, labels, averages = rows.all()
    fit_logistic(layer, features, labels, WEIGHT_DECAY)
    alone = [parameter.detach().clone() for parameter in layer.parameters()]
    more, more_labels, more_averages = others.all()
    features, labels = torch.cat([features, more]), torch.cat([labels, more_labels])
    averages = averages.joined_with(more_averages, len(features) - len(more))
    fit_logistic(layer, features, labels, AVERAGES_DECAY, averages)
    with torch.no_grad():
        for parameter, before in zip(layer.parameters(), alone, strict=True):
            parameter.lerp_(before, KEPT_SHARE)


def _add_windows(
    body: Body,
    training_data: MelPowerData,
    indices: np.ndarray,
    condition: ListeningCondition,
    random: np.random.Generator,
    rows: WindowRows,
) -> None:
    """Add all windows of some clips under a condition, but those in which the clip is inaudible."""
    n_frames = training_data.n_frames
    clips = to_device(indices, training_data.labels)
    for number in range(training_data.n_windows):
        if number % N_AVERAGED == 0:
            averages = rows.begin_averages(training_data.targets[clips])
        starts = np.full(len(indices), training_data.start_of(number))
        power = training_data.mel_power.cut(indices, starts, n_frames)
        noise = draw_noise(training_data.noises, len(indices), n_frames, random, condition.rows)
        both = (power + noise * condition.noise[:, None, None]) * condition.levels[:, None, None]
        features = training_data.front_end.compress(both)
        audible = features.amax(dim=(1, 2)) >= SILENCE_LEVEL
        audible &= power.sum(dim=1).amax(dim=1) >= condition.noise
        place = min(number, training_data.labels.shape[1] - 1)
        labels = training_data.labels[clips[audible], place]
        rows.add(_pool(body, features[audible]), labels, averages[audible])


def _pool(body: Body, features: Tensor) -> Tensor:
    """The inputs of the last layer for windows, computed some windows at a time."""
    parts = features.split(inference_batch_size(features.device))
    return torch.cat([body.pooled(part) for part in parts])


def _add_noise_windows(
    body: Body, training_data: MelPowerData, n: int, random: np.random.Generator, rows: WindowRows
) -> None:
    """Add windows of noise alone, for which the network is to be unsure."""
    noise = draw_noise(training_data.noises, n, training_data.n_frames, random)
    levels = training_data.noise_levels(n, random)
    features = training_data.front_end.compress(noise * levels[:, None, None])
    n_classes = training_data.labels.shape[2]
    rows.add(_pool(body, features), features.new_full((n, n_classes), 1 / n_classes))


def fit_logistic(
    layer: nn.Linear,
    features: Tensor,
    labels: Tensor,
    weight_decay: float,
    averages: WindowAverages | None = None,
) -> None:
    """Fit a logistic regression on standardised features, to its optimum.

    Args:
        layer: Layer that is fitted, in place; its weights before do not matter.
        features: ``(rows, channels)``.
        labels: ``(rows,)`` classes, or ``(rows, classes)`` probabilities.
        weight_decay: Decay of the standardised weights, per mean loss.
        averages: Averages of rows with a loss of their own; the search for that optimum begins at
            the optimum without them.
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

    _minimise(layer, partial(loss, averaging=False))
    if averages is not None:
        _minimise(layer, partial(loss, averaging=True))
    with torch.no_grad():
        layer.weight /= deviation
        layer.bias -= layer.weight @ mean


def _minimise(layer: nn.Linear, loss: Callable[[], Tensor]) -> None:
    """Go from the layer's present weights to the nearest optimum."""
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
