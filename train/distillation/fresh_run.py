"""A run of `train.distil` that learns from fresh mixtures, for some minutes or steps."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from train.base.errors import RunError, UsageError
from train.base.interrupt import Interrupt
from train.base.recipe import Recipe
from train.distillation.clean_sources import CleanSources, read_scores
from train.distillation.fresh import Fresh
from train.distillation.names import Named, fit_names
from train.distillation.pupil import PUPILS, AnyPupil, Pupil, make_pupil
from train.distillation.schooling import SNR_DB, Crops, Schooling
from train.distillation.wide import PUPIL
from train.loop.batch_norm import N_BATCHES, recompute_statistics
from train.loop.learner import Learner
from train.pocket_parts.mel_power import make_noises
from train.pocket_parts.pretrained_run import list_sources
from train.run_folder.checkpoint import LAST, Progress, read_progress
from train.run_folder.run import CONFIG, RESULT, RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SAVE_EVERY_S = 300.0
EVERY = 50
"""Steps of a row of history."""


def hasten(fabric: Fabric) -> None:
    """Let a GPU take its fastest ways; the same seed then gives slightly other weights."""
    if fabric.device.type == "cuda":
        torch.backends.cudnn.deterministic = False
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")


def learn_fresh(
    fresh: Fresh,
    recipe: Recipe,
    run: RunFolder,
    options: argparse.Namespace,
    fabric: Fabric,
    named: Named | None = None,
) -> tuple[Learner, Progress]:
    """Learn until the minutes or the steps are over.

    Args:
        fresh: The mixtures.
        recipe: Of the learning.
        run: What is saved goes there.
        options: Of `train.distil`.
        fabric: The device.
        named: Labelled clips whose names are learned, too.

    Returns:
        What has learned, and how far it came.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved.
        RunError: The loss is not finite any more, or the run cannot be written.
    """
    learner, schooling, progress = _begin_learner(fresh, recipe, run, options, fabric, named)
    rows = np.tile(np.arange(options.batch), options.crops)
    before, begun = progress.elapsed, time.monotonic()
    saved = counted = begun
    sums = torch.zeros(3, device=fabric.device)
    with Interrupt(fabric) as interrupt:
        batches = fresh.batches(progress.step, options.batch, options.filtered, options.workers)
        for heard in batches:
            progress.elapsed = before + time.monotonic() - begun
            done = part_done(progress, options)
            if done >= 1:
                break
            random = np.random.default_rng((options.seed, 1, progress.step))
            inputs, said = schooling.batch(heard, rows, random)
            rate = recipe.rate_at(done)
            # Nothing waits for the device here: its sums are read with a row of history.
            sums += learner.learn(inputs, said, rate, progress.step)
            progress.step += 1
            if progress.step % EVERY == 0:
                now = time.monotonic()
                pace = EVERY * options.batch / (now - counted)
                _note_row(run, progress, sums, rate, f"{done:.0%}", pace)
                sums.zero_()
                counted = now
            asked = interrupt.was_requested()
            if asked or time.monotonic() - saved > SAVE_EVERY_S:
                learner.save(run, progress)
                run.write_json("history.json", progress.epochs)
                saved = time.monotonic()
            if asked:
                print(f"saved; --resume --save {run.path} goes on", file=sys.stderr)
                raise KeyboardInterrupt
    return learner, progress


def _begin_learner(
    fresh: Fresh,
    recipe: Recipe,
    run: RunFolder,
    options: argparse.Namespace,
    fabric: Fabric,
    named: Named | None,
) -> tuple[Learner, Schooling, Progress]:
    """Make what learns, or load it where a run goes on; also how far it came.

    Raises:
        UsageError: The options do not go together.
    """
    device, front_end = fabric.device, fresh.front_end
    pupil = make_pupil(run.read_json(CONFIG))
    noises = make_noises(front_end, fresh.tracks.clips.sample_rate, device)
    schooling = Schooling(recipe, front_end, noises)
    schooling.teacher_head = fresh.ear.network.classifier.requires_grad_(False)
    if named is not None:
        _begin_names(pupil, fresh, schooling, named)
    schooling.noise_share, schooling.snr_db = options.noise, (options.lowest_snr, SNR_DB[1])
    if options.clean is not None:
        scores = read_scores(options.weights or (), fresh.tracks.sources)
        if not scores.any():
            raise UsageError("--clean takes what the teacher says of sources, but --weights has no "
                             "scores of any: python -m train.hear_sources makes them")  # fmt: skip
        schooling.clean = CleanSources(scores, options.clean, device)
        fresh.measures = True
    if not options.resume and options.start is None:
        _begin(pupil.to(device), fresh, schooling, options)
    learner = Learner(schooling, pupil, fabric)
    progress = Progress()
    if options.resume:
        progress = learner.load(run)
    elif options.start is not None:
        take_over(learner, options.start, names=named is not None)
    pupil.train()
    return learner, schooling, progress


def _note_row(
    run: RunFolder,
    progress: Progress,
    sums: torch.Tensor,
    rate: float,
    done: str,
    pace: float,
) -> None:
    """Add a row to the history, and print it.

    Args:
        run: For the message.
        progress: It gets the row.
        sums: ``(3,)``: loss, error, and the number that they are sums of, since the last row.
        rate: Learning rate of the newest step.
        done: Part of the run that lies behind.
        pace: Mixtures a second.

    Raises:
        RunError: The loss is not finite any more.
    """
    loss, error, n = sums.tolist()
    if not math.isfinite(loss):
        raise RunError(f"{run.path}: the loss is {loss} at batch {progress.step}; take another "
                       "--seed or a lower --rate")  # fmt: skip
    row = {"step": progress.step, "loss": loss / n, "error": error / n}
    progress.epochs.append(row)
    print(f"{progress.step} ({done}): loss {row['loss']:.4f}, error {row['error']:.4f}, "
          f"rate {rate:.2e}, {pace:.0f} mixtures a second", flush=True)  # fmt: skip


def part_done(progress: Progress, options: argparse.Namespace) -> float:
    """Part of the run that lies behind, by steps or by time."""
    if options.steps is not None:
        return progress.step / options.steps
    return progress.elapsed / (60 * options.minutes)


def check_start(path: Path, layers: str, *, names: bool = False) -> dict[str, Any]:
    """What is known of a run that another begins with.

    Args:
        path: The run.
        layers: Of the one that begins.
        names: Whether that one learns names besides.

    Raises:
        RunError: It is no run of `train.distil` with these layers, or nothing of it was saved.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    there = config.get("layers", Pupil.layers)
    if "quieter" not in config or there != layers:
        raise RunError(f"{path}: --start takes a run of train.distil --layers {layers}, this is "
                       f"one of {config.get('network')} with layers {there}")  # fmt: skip
    progress = read_progress(run)
    if progress is None and not (path / PUPIL).exists():
        raise RunError(f"{path}: nothing of it was saved yet; let it learn for some minutes")
    if config.get("names") and not names:
        raise RunError(f"{path}: learned names of a set (--named, --folds): give them again, or "
                       "begin with another run")  # fmt: skip
    if names and not (path / PUPIL).exists():
        raise RunError(f"{path}: --named begins with a run that has ended: go on with --resume")
    n_windows = 0
    if (path / RESULT).exists():
        n_windows = run.read_json(RESULT)["windows"]
    elif progress is not None:
        n_windows = windows_of(config, progress.step)
    n_steps = progress.step if progress else config["steps"]
    return {"name": path.name, "windows": n_windows, "steps": n_steps,
            "sources": list_sources(config), "commands": config.get("commands", [])}  # fmt: skip


def windows_of(config: dict[str, Any], n_steps: int) -> int:
    """Windows that a run had learned from after some steps, those of its start included."""
    n_windows = Crops(PUPILS[config.get("layers", Pupil.layers)].make_front_end()).n_windows
    n_crops = config.get("fresh", {}).get("crops", 1)
    before = config.get("start", {}).get("windows", 0)
    return int(before + n_steps * config["recipe"]["batch_size"] * n_crops * n_windows)


def take_over(learner: Learner, path: Path, *, names: bool = False) -> None:
    """Begin with another run's state; of one without a checkpoint, with its weights.

    Args:
        learner: What begins.
        path: The other run.
        names: Whether names are learned besides, of which that run's optimiser knows nothing.
    """
    start = RunFolder.open(path)
    if (path / LAST).exists() and not names:
        learner.load(start)
        return
    weights = start.read_tensors(PUPIL)[0]
    if names:
        # Names begin as the teacher's head for them, whatever the other run called its own.
        own = {k: v for k, v in learner.trainable.state_dict().items() if k.startswith("names.")}
        weights = {k: v for k, v in weights.items() if not k.startswith("names.")} | own
    learner.trainable.load_state_dict(weights)
    for name, value in learner.trainable.state_dict().items():
        learner.average[name].copy_(value)


def _begin_names(pupil: AnyPupil, fresh: Fresh, schooling: Schooling, named: Named) -> None:
    """Fit the teacher's head for the names; the pupil's begins with its weights."""
    head = fit_names(fresh.ear, named.clips, fresh.tracks.n_samples)
    schooling.names_head, schooling.names_weight = head, named.weight
    pupil.names.load_state_dict(head.state_dict())


def _begin(
    pupil: AnyPupil, fresh: Fresh, schooling: Schooling, options: argparse.Namespace
) -> None:
    """Begin with the teacher's weights; measure what it says, and the statistics of BatchNorm."""
    pupil.begin(fresh.ear.network)
    first = fresh.batches(0, options.batch, options.filtered, 0)
    heard = [next(first) for _ in range(N_BATCHES)]
    said = [schooling.said(own, *schooling.middles(own)) for own in heard]
    pupil.measure(torch.cat(said))
    random = np.random.default_rng((options.seed, 4))
    rows = np.arange(options.batch)
    recompute_statistics(pupil, (schooling.batch(own, rows, random)[0] for own in heard))
