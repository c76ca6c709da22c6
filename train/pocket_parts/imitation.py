"""Learning by imitation: batches with a teacher's outputs, the network, the loop."""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from train.audio.mixtures import Mixtures
from train.base.devices import make_fabric
from train.base.errors import RunError
from train.base.interrupt import Interrupt
from train.base.recipe import Recipe
from train.datasets.progress import show_progress
from train.loop.fit import SAVE_EVERY_S
from train.loop.learner import Learner
from train.nets.pocket_network import PocketBody, PocketNet
from train.nets.yamnet import HINTS, N_FEATURES, N_HINTS, N_SCORES, STARTS, Yamnet
from train.run_folder.checkpoint import Progress
from train.run_folder.run import WEIGHTS, RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SCORES_WEIGHT = 0.3
"""Weight of the scores' cross-entropy, summed over classes, beside the features' mean square
error."""

N_SCALED = N_FEATURES + N_HINTS
N_MEASURED = 16
"""Batches that the spread of the teacher's outputs is measured on."""

SMALLEST_SPREAD = 0.05
RARE = -5.0
"""Initial bias of the scores' logits: most of the 521 classes are rare in a window."""


class Imitator(nn.Module):
    """The network's body with heads that imitate the teacher's outputs.

    Features and scores come from the last level, the teacher's hints from one level each.

    Attributes:
        body: The layers that are kept.
    """

    def __init__(self, body: PocketBody) -> None:
        super().__init__()
        self.body = body
        n_last = body.level_channels[-1]
        self.features, self.scores = nn.Linear(n_last, N_FEATURES), nn.Linear(n_last, N_SCORES)
        widths = (2 * n for n in body.level_channels)
        heads = map(nn.Linear, widths, HINTS.values())
        self.hints = nn.ModuleDict(dict(zip(HINTS, heads, strict=True)))
        nn.init.constant_(self.scores.bias, RARE)
        self.register_buffer("mean", torch.zeros(N_SCALED))
        self.register_buffer("spread", torch.ones(N_SCALED))

    def forward(self, spectrum: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, N_OUTPUTS)``: scaled features, hints, logits."""
        pooled = [(level.mean(dim=2), level.amax(dim=2)) for level in self.body.levels(spectrum)]
        both = zip(self.hints.values(), pooled, strict=True)
        hints = [head(torch.cat(level, dim=1)) for head, level in both]
        last = sum(pooled[-1])
        return torch.cat([self.features(last), *hints, self.scores(last)], dim=1)

    def load_learned(self, learned: dict[str, Tensor]) -> bool:
        """Load an earlier imitator's weights, or its layers alone if it was taught other outputs.

        Returns:
            Whether heads and scale were loaded as well.
        """
        own = self.state_dict()
        same = own.keys() == learned.keys()
        same = same and all(learned[name].shape == value.shape for name, value in own.items())
        part = "body."
        self.load_state_dict(
            learned if same else {k: v for k, v in learned.items() if k.startswith(part)},
            strict=same,
        )
        return same

    def errors(self, given: Tensor, taught: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Square errors of features and hints, cross-entropy of scores: ``(batch,)`` each.

        Args:
            given: Outputs of `forward`.
            taught: The teacher's outputs.
        """
        wanted = (taught[:, :N_SCALED] - self.mean) / self.spread
        error = (given[:, :N_SCALED] - wanted).square()
        logits, scores = given[:, N_SCALED:], taught[:, N_SCALED:]
        entropy = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
        features, *hints = error.tensor_split(STARTS[:-1], dim=1)
        hinted = torch.stack([hint.mean(dim=1) for hint in hints]).sum(dim=0)
        return features.mean(dim=1), hinted, entropy.sum(dim=1)


class Imitation:
    """The part of a system that `train.loop.learner.Learner` needs: recipe, network, loss."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def trainable(self, network: Imitator) -> Imitator:
        """The whole network."""
        self.network = network
        return network

    def loss(self, given: Tensor, taught: Tensor) -> Tensor:
        """The weighted sum of the three errors, as a mean over a batch."""
        error, hinted, entropy = self.network.errors(given, taught)
        return (error + hinted + SCORES_WEIGHT * entropy).mean()

    def metric_sum(self, given: Tensor, taught: Tensor) -> Tensor:
        """The features' errors, summed over a batch."""
        return self.network.errors(given, taught)[0].sum()


@dataclass
class TeacherBatches(Dataset):
    """Batches of mixtures with the teacher's outputs; batch ``k`` is always the same.

    Attributes:
        mixtures: Draws the mixtures.
        teacher: File of the teacher; every process opens it for itself.
        network: Network whose front end computes the spectra.
        batch_size: Windows of a batch.
        seed: Seed of all random numbers, together with a batch's number.
        n_batches: Number of batches.
    """

    mixtures: Mixtures
    teacher: Path
    network: PocketNet
    batch_size: int
    seed: tuple[int, ...]
    n_batches: int
    _opened: Yamnet | None = None

    def __len__(self) -> int:
        return self.n_batches

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Mel spectra ``(batch, mels, frames)``, the teacher's outputs ``(batch, N_OUTPUTS)``."""
        if self._opened is None:
            self._opened = Yamnet(self.teacher)
        random = np.random.default_rng((*self.seed, number))
        windows, teacher_windows = self.mixtures.draw(random, self.batch_size)
        front_end = self.network.front_end
        with torch.no_grad():
            spectrum = front_end.compress(front_end.power_by_fft(torch.from_numpy(windows)))
        return spectrum, torch.from_numpy(self._opened.predict(teacher_windows))


def learn(
    batches: TeacherBatches,
    recipe: Recipe,
    run: RunFolder,
    options: argparse.Namespace,
    learned: dict[str, Tensor] | None = None,
) -> Imitator:
    """Train on all batches; the averaged weights of the body are kept in the run.

    Args:
        batches: Batches with their teacher.
        recipe: Schedule and optimiser.
        run: The folder that everything is written into.
        options: Options of the command.
        learned: Weights of an earlier `Imitator`; heads that it lacks are new.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved.
        RunError: The loss is no longer finite, or the run cannot be written.
    """
    fabric = make_fabric(options.accelerator, options.precision)
    imitator = _make_imitator(batches, fabric, options, learned)
    learner = Learner(Imitation(recipe), imitator, fabric)
    progress = learner.load(run) if options.resume else Progress()
    loader = DataLoader(
        batches, batch_size=None, sampler=range(progress.step, len(batches)),
        num_workers=options.workers,
    )  # fmt: skip
    imitator.train()
    _train(learner, loader, run, progress, len(batches))
    _save(learner, run, progress)
    imitator.load_state_dict(learner.average)
    kept = {k: v for k, v in imitator.body.state_dict().items() if not k.startswith("output.")}
    run.write_tensors(WEIGHTS, kept)
    return imitator.eval()


def _make_imitator(
    batches: TeacherBatches,
    fabric: Fabric,
    options: argparse.Namespace,
    learned: dict[str, Tensor] | None,
) -> Imitator:
    """Build the imitator, with earlier weights where there are any, and scale its targets."""
    imitator = Imitator(batches.network.body).to(fabric.device)
    goes_on = learned is not None and imitator.load_learned(learned)
    if learned is not None and not goes_on:
        print(f"{options.start}: was taught other things than this version teaches; its layers go "
              "on, what is read from them begins anew", file=sys.stderr)  # fmt: skip
    if not goes_on and not options.resume:
        measure_spread(imitator, batches, fabric.device)
    return imitator


def _train(
    learner: Learner, loader: DataLoader, run: RunFolder, progress: Progress, n_batches: int
) -> None:
    """Make the steps that are left.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved.
        RunError: The loss is no longer finite.
    """
    fabric, recipe = learner.fabric, learner.recipe
    saved = time.monotonic()
    with Interrupt(fabric) as interrupt, show_progress(
        "imitating", n_batches, "batches", progress.step
    ) as update:  # fmt: skip
        for spectrum, taught in loader:
            rate = recipe.rate_at(progress.step / n_batches)
            batch = spectrum.to(fabric.device), taught.to(fabric.device)
            loss, error, n = learner.learn(*batch, rate, progress.step).tolist()
            if not math.isfinite(loss):
                raise RunError(f"{run.path}: the loss is {loss} at batch {progress.step}, of a "
                               f"rate of {rate:.3g}; take another --seed")  # fmt: skip
            progress.step += 1
            _add_row(progress, loss / n, error / n, n_batches)
            update(progress.step)
            requested = interrupt.was_requested()
            if requested or time.monotonic() - saved > SAVE_EVERY_S:
                _save(learner, run, progress)
                saved = time.monotonic()
            if requested and progress.step < n_batches:
                print(f"saved; --resume --save {run.path} goes on", file=sys.stderr)
                raise KeyboardInterrupt


def _save(learner: Learner, run: RunFolder, progress: Progress) -> None:
    learner.save(run, progress)
    run.write_json("history.json", progress.epochs)


def measure_spread(imitator: Imitator, batches: TeacherBatches, device: torch.device) -> None:
    """Set mean and spread of the teacher's outputs by those of the first batches."""
    taught = torch.cat([batches[number][1] for number in range(min(N_MEASURED, len(batches)))])
    scaled = taught[:, :N_SCALED].to(device)
    imitator.mean.copy_(scaled.mean(dim=0))
    imitator.spread.copy_(scaled.std(dim=0).clamp(min=SMALLEST_SPREAD))


@torch.no_grad()
def explained_variance(imitator: Imitator, batches: TeacherBatches) -> float:
    """Part of the variance of the teacher's features that the imitator explains on some batches."""
    device = next(imitator.parameters()).device
    errors, spreads = [], []
    for number in range(len(batches)):
        spectrum, taught = (part.to(device) for part in batches[number])
        errors.append(imitator.errors(imitator(spectrum), taught)[0].mean())
        wanted = ((taught[:, :N_SCALED] - imitator.mean) / imitator.spread)[:, :N_FEATURES]
        spreads.append((wanted - wanted.mean(dim=0)).square().mean())
    return 1 - float(torch.stack(errors).sum() / torch.stack(spreads).sum())


def _add_row(progress: Progress, loss: float, error: float, n_steps: int) -> None:
    """Add the batch to the running row of the history; a row covers a hundredth of the run."""
    every = max(1, n_steps // 100)
    progress.sums[0] += loss / every
    progress.sums[1] += error / every
    if progress.step % every == 0:
        row = {"step": progress.step, "loss": progress.sums[0], "error": progress.sums[1]}
        progress.epochs.append(row)
        progress.sums = [0.0, 0.0, 0.0, 0.0]
