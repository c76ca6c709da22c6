"""Teach `pocket` to hear before it learns any names: it imitates YAMNet on mixtures without labels.

    python -m train.imitate --data ESC-50 --folds 1,2,3 --test-fold 4 [--speech-music DIR]
        [--others DIR ...] --teacher yamnet.tflite --save RUN
    python -m train.pocket --start RUN ...

A few thousand labelled clips say little of how sounds differ. A teacher that has heard millions
says of any window what it hears in it: its features (their mean square error, each feature scaled
to the same spread) and its scores (cross-entropy). Windows are mixed anew for every batch
(`train.mixtures`) by processes of their own, which ask the teacher, too; what batch ``k`` holds
follows from the seed and ``k``, so that an interrupted run goes on exactly (``--resume``).

Source: knowledge distillation (Hinton et al. 2015) with features as hints (Romero et al. 2015), on
unlabelled mixtures.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from train.checkpoint import Progress
from train.datasets import ClipSet, open_clips
from train.datasets.progress import show_progress
from train.devices import make_fabric
from train.errors import RunError, UsageError
from train.exits import exit_codes
from train.fit import SAVE_EVERY_S
from train.interrupt import Interrupt
from train.learner import Learner
from train.mixtures import Mixtures, Source
from train.pocket import (
    IMITATION,
    SAMPLE_RATE,
    WIDTHS,
    WINDOW_SAMPLES,
    PocketBody,
    PocketNet,
)
from train.recipe import Recipe
from train.runs import CONFIG, RESULT, WEIGHTS, RunFolder
from train.yamnet import N_FEATURES, N_SCORES, Yamnet

SHARES = {"data": 0.5, "speech and music": 0.1, "others": 0.37}
NOISE_SHARE = 0.03
SCORES_WEIGHT = 0.3
"""Of the scores' cross-entropy, summed over classes, beside the features' mean square error."""

N_MEASURED = 16
"""Batches that say how far the teacher's features spread."""

N_JUDGED = 16
"""Batches of the held-out fold that the result is judged on."""

SMALLEST_SPREAD = 0.05
RARE = -5.0
"""Where the scores' logits begin: hardly any of 521 classes is heard in a window."""


class Imitator(nn.Module):
    """The network's body with two heads, of features and of scores.

    Attributes:
        body: What is kept.
    """

    def __init__(self, body: PocketBody) -> None:
        super().__init__()
        self.body = body
        n_inputs = body.output.in_features
        self.features, self.scores = nn.Linear(n_inputs, N_FEATURES), nn.Linear(n_inputs, N_SCORES)
        nn.init.constant_(self.scores.bias, RARE)
        self.register_buffer("mean", torch.zeros(N_FEATURES))
        self.register_buffer("spread", torch.ones(N_FEATURES))

    def forward(self, spectrum: Tensor) -> Tensor:
        """``(batch, mels, frames)`` -> ``(batch, 1024 + 521)``: scaled features, then logits."""
        heard = self.body.pooled(spectrum)
        return torch.cat([self.features(heard), self.scores(heard)], dim=1)

    def errors(self, given: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch,)`` each: mean square error of the features, cross-entropy of the scores."""
        wanted = (said[:, :N_FEATURES] - self.mean) / self.spread
        error = (given[:, :N_FEATURES] - wanted).square().mean(dim=1)
        logits, scores = given[:, N_FEATURES:], said[:, N_FEATURES:]
        entropy = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
        return error, entropy.sum(dim=1)


class Imitation:
    """What `train.learner.Learner` needs to know: recipe, what learns, loss and tally."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def trainee(self, network: Imitator) -> Imitator:
        """All of it."""
        self.network = network
        return network

    def loss(self, given: Tensor, said: Tensor) -> Tensor:
        """The mean over a batch."""
        error, entropy = self.network.errors(given, said)
        return (error + SCORES_WEIGHT * entropy).mean()

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

    def __len__(self) -> int:
        return self.n_batches

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """``(batch, mels, frames)`` and ``(batch, 1024 + 521)``."""
        if not hasattr(self, "_opened"):
            self._opened = Yamnet(self.teacher)
        windows = self.mixtures.draw(np.random.default_rng((*self.seed, number)), self.batch_size)
        front_end = self.network.front_end
        with torch.no_grad():
            spectrum = front_end.compress(front_end.power_by_fft(torch.from_numpy(windows)))
        return spectrum, torch.from_numpy(self._opened.hear(windows))


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = make_parser().parse_args(arguments)
    check_options(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.resume:
        run = RunFolder.open(options.save)
        _check_same(run, options)
    else:
        RunFolder.check_free(options.save, overwrite=options.overwrite)
    about = {"teacher": Yamnet(options.teacher).about, "seed": options.seed}
    training, held_out = open_sources(options)
    about |= describe_sources(training)
    recipe = Recipe(
        epochs=1, batch_size=options.batch, optimiser="adamw", learning_rate=4e-3,
        weight_decay=0.02, schedule="one-cycle", warm_up=0.1, clip_norm=5.0, ema=0.998,
    )  # fmt: skip
    torch.manual_seed(options.seed)
    network = PocketNet(2)
    if not options.resume:
        run = RunFolder.create(options.save, IMITATION, overwrite=options.overwrite)
        run.write_json(CONFIG, {
            "network": IMITATION, "steps": options.steps, "recipe": recipe.as_json(),
            "widths": list(WIDTHS), "test_fold": options.test_fold,
            **about,
        })  # fmt: skip
    lessons = Lessons(
        training, options.teacher, network, options.batch, (options.seed, 0), options.steps
    )
    imitator = learn(lessons, recipe, run, options)
    result: dict[str, Any] = {"windows": options.steps * options.batch}
    if held_out is not None:
        result |= judge(imitator, Lessons(
            held_out, options.teacher, network, options.batch, (options.seed, 2), N_JUDGED
        ))  # fmt: skip
    run.write_json(RESULT, result)
    said = "".join(f", {key.replace('_', ' ')} {value:.3f}" for key, value in result.items()
                   if isinstance(value, float))  # fmt: skip
    print(f"{run.path}: imitates {about['teacher']['name']} after {result['windows']:,} "
          f"windows{said}")  # fmt: skip
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Its options."""
    parser = argparse.ArgumentParser(
        prog="python -m train.imitate",
        description="Train the layers of pocket to hear what YAMNet hears, without labels.",
    )
    option = parser.add_argument
    option("--data", type=Path, required=True, help="a data set's folder; its labels are not used")
    option("--prepared", type=Path, help="where its prepared clips go")
    option("--folds", type=_folds, help="folds to mix (all but the test fold), as in 1,2,3")
    option("--test-fold", type=int, default=0, help="the fold to judge by (none)")
    option("--speech-music", type=Path, metavar="DIR", help="speech and music, by the same folds")
    option("--others", type=Path, nargs="+", default=[], metavar="DIR",
           help="other sounds, a folder a kind (see train.datasets.debian_sounds)")  # fmt: skip
    option("--teacher", type=Path, required=True, metavar="TFLITE", help="YAMNet's file")
    option("--steps", type=int, default=8000, help="batches to learn from (8000)")
    option("--batch", type=int, default=128, help="windows a batch (128)")
    option("--seed", type=int, default=1, help="of everything drawn at random (1)")
    option("--workers", type=int, default=1, help="processes that mix and ask the teacher (1)")
    option("--threads", type=int, help="CPU threads of the network itself (torch's own choice)")
    option("--accelerator", default="auto", help="auto, cpu, cuda (auto)")
    option("--save", type=Path, required=True, metavar="RUN", help="the run folder")
    option("--overwrite", action="store_true", help="replace an existing run folder")
    option("--resume", action="store_true", help="go on with the run that --save names")
    return parser


def check_options(options: argparse.Namespace) -> None:
    """Say what makes no sense before any data is opened.

    Raises:
        UsageError: The option, its value and its limit.
    """
    for option, least in (("steps", 1), ("batch", 2), ("workers", 0)):
        value = getattr(options, option)
        if value < least:
            raise UsageError(f"--{option} is {value}, must be {least} or more")
    if options.resume and options.overwrite:
        raise UsageError("--resume goes on with a run, --overwrite deletes it: give one of them")
    if options.folds and options.test_fold in options.folds:
        raise UsageError(f"--test-fold is {options.test_fold}, which --folds trains on")


def open_sources(options: argparse.Namespace) -> tuple[Mixtures, Mixtures | None]:
    """What is mixed for training, and of the held-out fold for judging, where there is one."""
    data = open_clips(options.data, SAMPLE_RATE, out=options.prepared)
    folds = options.folds or [fold for fold in data.folds if fold != options.test_fold]
    training = [Source(_of_folds(data, folds), SHARES["data"])]
    judged = [Source(_of_folds(data, [options.test_fold]), 1.0)] if options.test_fold else []
    if options.speech_music:
        both = open_clips(options.speech_music, SAMPLE_RATE, dataset="speech-music")
        training.append(Source(_of_folds(both, folds), SHARES["speech and music"]))
    for folder in options.others:
        others = open_clips(folder, SAMPLE_RATE, skip_broken=True)
        training.append(Source(others, SHARES["others"] / len(options.others), by_fold=False))
    mixtures = Mixtures(training, NOISE_SHARE, WINDOW_SAMPLES)
    return mixtures, Mixtures(judged, 0.0, WINDOW_SAMPLES) if judged else None


def describe_sources(mixtures: Mixtures) -> dict[str, Any]:
    """For ``config.json``: names, licences and how much there is."""
    return {"sources": [
        {
            "name": source.clips.name,
            "folds": list(source.clips.folds) if source.by_fold else [],
            "clips": len(source.clips.clips),
            "hours": round(float(source.clips.lengths.sum()) / SAMPLE_RATE / 3600, 2),
            "licence": source.clips.licence,
            "citation": source.clips.citation,
            "share": source.share,
        }
        for source in mixtures.sources
    ]}  # fmt: skip


def learn(
    lessons: Lessons, recipe: Recipe, run: RunFolder, options: argparse.Namespace
) -> Imitator:
    """Go through the lessons; what is kept are the averaged weights of the body.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved.
        RunError: The loss is not finite any more, or the run cannot be written.
    """
    fabric = make_fabric(options.accelerator, "auto")
    imitator = Imitator(lessons.network.body)
    learner = Learner(Imitation(recipe), imitator, fabric)
    progress = learner.load(run) if options.resume else Progress()
    if not options.resume:
        measure(imitator, lessons, fabric.device)
        learner.average.update({k: getattr(imitator, k).clone() for k in ("mean", "spread")})
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
    features = said[:, :N_FEATURES].to(device)
    imitator.mean.copy_(features.mean(dim=0))
    imitator.spread.copy_(features.std(dim=0).clamp(min=SMALLEST_SPREAD))


@torch.no_grad()
def judge(imitator: Imitator, lessons: Lessons) -> dict[str, float]:
    """How much of the teacher's features it explains on sounds it has not heard."""
    device = next(imitator.parameters()).device
    errors, spreads = [], []
    for number in range(len(lessons)):
        spectrum, said = (part.to(device) for part in lessons[number])
        errors.append(imitator.errors(imitator(spectrum), said)[0].mean())
        wanted = (said[:, :N_FEATURES] - imitator.mean) / imitator.spread
        spreads.append((wanted - wanted.mean(dim=0)).square().mean())
    return {"explained_variance": 1 - float(torch.stack(errors).sum() / torch.stack(spreads).sum())}


def _add_row(progress: Progress, loss: float, error: float, n_steps: int) -> None:
    """A row of history for each hundredth of the run."""
    every = max(1, n_steps // 100)
    progress.sums[0] += loss / every
    progress.sums[1] += error / every
    if progress.step % every == 0:
        row = {"step": progress.step, "loss": progress.sums[0], "error": progress.sums[1]}
        progress.epochs.append(row)
        progress.sums = [0.0, 0.0, 0.0, 0.0]


def _of_folds(clips: ClipSet, folds: list[int]) -> ClipSet:
    chosen = clips.of_folds(folds)
    if not chosen.clips:
        there = ", ".join(map(str, clips.folds))
        raise UsageError(f"{clips.name} has no fold {folds}, there are {there}")
    return chosen


def _check_same(run: RunFolder, options: argparse.Namespace) -> None:
    config = run.read_json(CONFIG)
    for name in ("network", "steps", "seed", "test_fold"):
        given = IMITATION if name == "network" else getattr(options, name)
        if config.get(name) != given:
            raise UsageError(f"{run.path}: its {name} is {config.get(name)}, not {given}; go on "
                             "with the options it was begun with")  # fmt: skip


def _folds(text: str) -> list[int]:
    try:
        return sorted({int(fold) for fold in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be folds as in 1,2,3") from None


if __name__ == "__main__":
    sys.exit(main())
