"""What `train.imitate` does: lessons of mixtures, a network that imitates, and how far it gets."""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

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

SCORES_WEIGHT = 0.3
"""Of the scores' cross-entropy, summed over classes, beside the features' mean square error."""

N_SCALED = N_FEATURES + N_HINTS
N_MEASURED = 16
"""Batches that say how far what the teacher says spreads."""

SMALLEST_SPREAD = 0.05
RARE = -5.0
"""Where the scores' logits begin: hardly any of 521 classes is heard in a window."""


class Imitator(nn.Module):
    """The network's body with heads.

    Features and scores are said behind its last level, the teacher's hints behind a level each.

    Attributes:
        body: What is kept.
    """

    def __init__(self, body: PocketBody) -> None:
        super().__init__()
        self.body = body
        n_last = body.n_levels[-1]
        self.features, self.scores = nn.Linear(n_last, N_FEATURES), nn.Linear(n_last, N_SCORES)
        widths = (2 * n for n in body.n_levels)
        heads = map(nn.Linear, widths, HINTS.values())
        self.hints = nn.ModuleDict(dict(zip(HINTS, heads, strict=True)))
        nn.init.constant_(self.scores.bias, RARE)
        self.register_buffer("mean", torch.zeros(N_SCALED))
        self.register_buffer("spread", torch.ones(N_SCALED))

    def forward(self, spectrum: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, N_SAID)``: scaled features and hints, logits."""
        heard = [(level.mean(dim=2), level.amax(dim=2)) for level in self.body.levels(spectrum)]
        both = zip(self.hints.values(), heard, strict=True)
        hints = [head(torch.cat(level, dim=1)) for head, level in both]
        last = sum(heard[-1])
        return torch.cat([self.features(last), *hints, self.scores(last)], dim=1)

    def take(self, learned: dict[str, Tensor]) -> bool:
        """Go on from what another has learned; from its layers alone if it was taught otherwise.

        Returns:
            Whether heads and scale could be taken as well.
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

    def errors(self, given: Tensor, said: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(batch,)`` each: mean square errors of features and hints, cross-entropy of scores."""
        wanted = (said[:, :N_SCALED] - self.mean) / self.spread
        error = (given[:, :N_SCALED] - wanted).square()
        logits, scores = given[:, N_SCALED:], said[:, N_SCALED:]
        entropy = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
        features, *hints = error.tensor_split(STARTS[:-1], dim=1)
        hinted = torch.stack([hint.mean(dim=1) for hint in hints]).sum(dim=0)
        return features.mean(dim=1), hinted, entropy.sum(dim=1)


class Imitation:
    """What `train.loop.learner.Learner` needs to know: recipe, what learns, loss and tally."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def trainee(self, network: Imitator) -> Imitator:
        """All of it."""
        self.network = network
        return network

    def loss(self, given: Tensor, said: Tensor) -> Tensor:
        """The mean over a batch."""
        error, hinted, entropy = self.network.errors(given, said)
        return (error + hinted + SCORES_WEIGHT * entropy).mean()

    def tally(self, given: Tensor, said: Tensor) -> Tensor:
        """The features' errors, summed."""
        return self.network.errors(given, said)[0].sum()


@dataclass
class Lessons(Dataset):
    """Batches of mixtures with what the teacher says of them; number ``k`` is always the same.

    Attributes:
        mixtures: What is heard.
        teacher: Its file; every process opens it for itself.
        network: Whose front end makes spectra of it.
        batch_size: Windows.
        seed: With a batch's number all of its chance.
        n_batches: How many there are.
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
        """``(batch, mels, frames)`` and ``(batch, N_SAID)``."""
        if self._opened is None:
            self._opened = Yamnet(self.teacher)
        random = np.random.default_rng((*self.seed, number))
        windows, taught = self.mixtures.draw(random, self.batch_size)
        front_end = self.network.front_end
        with torch.no_grad():
            spectrum = front_end.compress(front_end.power_by_fft(torch.from_numpy(windows)))
        return spectrum, torch.from_numpy(self._opened.hear(taught))


def learn(
    lessons: Lessons,
    recipe: Recipe,
    run: RunFolder,
    options: argparse.Namespace,
    learned: dict[str, Tensor] | None = None,
) -> Imitator:
    """Go through the lessons; what is kept are the averaged weights of the body.

    Args:
        lessons: Batches and their teacher.
        recipe: Rate and all.
        run: Where everything is written.
        options: The command's.
        learned: What an `Imitator` has learned already; what heads it lacks begin anew.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved.
        RunError: The loss is not finite any more, or the run cannot be written.
    """
    fabric = make_fabric(options.accelerator, options.precision)
    imitator = Imitator(lessons.network.body).to(fabric.device)
    goes_on = learned is not None and imitator.take(learned)
    if learned is not None and not goes_on:
        print(f"{options.start}: was taught other things than this version teaches; its layers go "
              "on, what is read from them begins anew", file=sys.stderr)  # fmt: skip
    if not goes_on and not options.resume:
        measure(imitator, lessons, fabric.device)
    learner = Learner(Imitation(recipe), imitator, fabric)
    progress = learner.load(run) if options.resume else Progress()
    loader = DataLoader(
        lessons, batch_size=None, sampler=range(progress.step, len(lessons)),
        num_workers=options.workers,
    )  # fmt: skip
    saved = time.monotonic()
    imitator.train()
    with Interrupt(fabric) as interrupt, show_progress(
        "imitating", len(lessons), "batches", progress.step
    ) as update:  # fmt: skip
        for spectrum, said in loader:
            rate = recipe.rate_at(progress.step / len(lessons))
            batch = spectrum.to(fabric.device), said.to(fabric.device)
            loss, error, n = learner.learn(*batch, rate, progress.step).tolist()
            if not math.isfinite(loss):
                raise RunError(f"{run.path}: the loss is {loss} at batch {progress.step}, of a "
                               f"rate of {rate:.3g}; take another --seed")  # fmt: skip
            progress.step += 1
            _add_row(progress, loss / n, error / n, len(lessons))
            update(progress.step)
            asked = interrupt.was_asked()
            if asked or time.monotonic() - saved > SAVE_EVERY_S:
                learner.save(run, progress)
                run.write_json("history.json", progress.epochs)
                saved = time.monotonic()
            if asked and progress.step < len(lessons):
                print(f"saved; --resume --save {run.path} goes on", file=sys.stderr)
                raise KeyboardInterrupt
    learner.save(run, progress)
    run.write_json("history.json", progress.epochs)
    imitator.load_state_dict(learner.average)
    kept = {k: v for k, v in imitator.body.state_dict().items() if not k.startswith("output.")}
    run.write_tensors(WEIGHTS, kept)
    return imitator.eval()


def measure(imitator: Imitator, lessons: Lessons, device: torch.device) -> None:
    """Scale the teacher's features by the first lessons."""
    said = torch.cat([lessons[number][1] for number in range(min(N_MEASURED, len(lessons)))])
    scaled = said[:, :N_SCALED].to(device)
    imitator.mean.copy_(scaled.mean(dim=0))
    imitator.spread.copy_(scaled.std(dim=0).clamp(min=SMALLEST_SPREAD))


@torch.no_grad()
def judge(imitator: Imitator, lessons: Lessons) -> float:
    """Part of the variance of the teacher's features that it explains in some lessons."""
    device = next(imitator.parameters()).device
    errors, spreads = [], []
    for number in range(len(lessons)):
        spectrum, said = (part.to(device) for part in lessons[number])
        errors.append(imitator.errors(imitator(spectrum), said)[0].mean())
        wanted = ((said[:, :N_SCALED] - imitator.mean) / imitator.spread)[:, :N_FEATURES]
        spreads.append((wanted - wanted.mean(dim=0)).square().mean())
    return 1 - float(torch.stack(errors).sum() / torch.stack(spreads).sum())


def _add_row(progress: Progress, loss: float, error: float, n_steps: int) -> None:
    """A row of history for each hundredth of the run."""
    every = max(1, n_steps // 100)
    progress.sums[0] += loss / every
    progress.sums[1] += error / every
    if progress.step % every == 0:
        row = {"step": progress.step, "loss": progress.sums[0], "error": progress.sums[1]}
        progress.epochs.append(row)
        progress.sums = [0.0, 0.0, 0.0, 0.0]
