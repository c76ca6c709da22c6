"""``python -m train.NAME``: the command that all networks share."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from typing import Any

import torch

from streamclf.errors import StreamclfError, UsageError
from train.datasets import ClipSet, open_clips
from train.fit import fit, time_step
from train.hearing import hear_crops, hear_windows
from train.metrics import interval_95
from train.options import check_options, make_parser, split_folds, take_over
from train.plots import plot_history
from train.runs import RunFolder
from train.system import System, find_system

FORMAT = 1


def main(name: str, arguments: list[str] | None = None) -> int:
    """Run the command of a network; the exit code."""
    system_type = find_system(name)
    parser = make_parser(system_type)
    options = parser.parse_args(arguments)
    try:
        train(system_type, options)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StreamclfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def train(system_type: type[System], options: argparse.Namespace) -> RunFolder:
    """Train as the options say; the run folder.

    Raises:
        UsageError: Options that make no sense.
        TrainError: Data or run folder cannot be used.
    """
    check_options(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    fabric = make_fabric(options.accelerator, options.precision)
    system = system_type()
    clips = open_clips(options.data, system.sample_rate, esc10=options.esc10, out=options.prepared)
    if options.resume:
        run = RunFolder.open(options.save)
        take_over(system, options, run, clips)
    clips = system.adapt(clips, options)
    training, held_out = split_folds(clips, options)
    about = system.configure(options, training)
    torch.manual_seed(options.seed)
    network = system.build(len(clips.labels))
    if not options.resume:
        system.recipe = _shorten(system, network, training, fabric, options)
        torch.manual_seed(options.seed)
        network = system.build(len(clips.labels))
        run = RunFolder.create(options.save, system.name, overwrite=options.overwrite)
        run.write_json(
            "config.json", _config(system, network, training, held_out, options, fabric, about)
        )
    _say_start(system, training, held_out, run, fabric)
    began = time.monotonic()
    network = fit(
        system, network, training, held_out, run, fabric, seed=options.seed, resume=options.resume
    )
    history = run.read_json("history.json")
    minutes = sum(row["seconds"] for row in history) / 60
    if held_out is not None:
        result = judge(system, network, held_out, run)
        result["minutes_of_steps"] = round(minutes, 1)
        result["minutes"] = round((time.monotonic() - began) / 60, 1)
        run.write_json("result.json", result)
        history[-1] |= {
            "held_out_clips": result["averaged_windows"],
            "held_out_windows": result["single_windows"],
        }
        run.write_json("history.json", history)
        print(
            f"{run.path}: {result['averaged_windows']:.1%} of {result['clips']} clips of fold "
            f"{result['fold']} by averaged windows "
            f"(95 % interval {result['interval_95'][0]:.1%} to {result['interval_95'][1]:.1%}), "
            f"{result['single_windows']:.1%} of single windows, {result['ten_crops']:.1%} by ten "
            f"crops, {minutes:.1f} minutes"
        )
    else:
        print(f"{run.path}: trained on every fold, nothing held out, {minutes:.1f} minutes")
    plot_history(run.path, history)
    return run


def judge(
    system: System, network: torch.nn.Module, held_out: ClipSet, run: RunFolder
) -> dict[str, Any]:
    """Accuracy on the held-out fold, both ways; the windows' logits go into the run folder."""
    heard = hear_windows(network, held_out, system.window_samples)
    run.write_held_out(heard)
    n_clips = len(held_out.clips)
    accuracy = heard.clip_accuracy()
    return {
        "clips": n_clips,
        "fold": ", ".join(map(str, held_out.folds)),
        "averaged_windows": round(accuracy, 4),
        "interval_95": [round(x, 4) for x in interval_95(round(accuracy * n_clips), n_clips)],
        "single_windows": round(heard.window_accuracy(), 4),
        "ten_crops": round(hear_crops(network, held_out, system.crops).clip_accuracy(), 4),
    }


def make_fabric(accelerator: str, precision: str):
    """Lightning Fabric on one device.

    Raises:
        UsageError: There is no such accelerator or precision.
    """
    from lightning_fabric import Fabric

    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    try:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    except (ValueError, RuntimeError, TypeError) as error:
        raise UsageError(f"--accelerator {accelerator} --precision {precision}: {error}") from error


def _shorten(
    system: System,
    network: torch.nn.Module,
    training: ClipSet,
    fabric: Any,
    options: argparse.Namespace,
) -> Any:
    recipe = system.recipe
    if options.epochs:
        return recipe.shortened(options.epochs)
    if options.budget_minutes:
        step_s = time_step(system, network, training, fabric)
        epoch_s = step_s * max(1, round(len(training.clips) / recipe.batch_size))
        epochs = max(1, int(options.budget_minutes * 60 / epoch_s))
        return recipe.shortened(min(epochs, recipe.epochs))
    return recipe


def _config(
    system: System,
    network: torch.nn.Module,
    training: ClipSet,
    held_out: ClipSet | None,
    options: argparse.Namespace,
    fabric: Any,
    about: dict[str, Any],
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "network": system.name,
        "title": system.title,
        "parameters": sum(p.numel() for p in network.parameters()),
        "labels": list(training.labels),
        "sample_rate": system.sample_rate,
        "window_samples": system.window_samples,
        "recipe": system.recipe.as_json(),
        "full_epochs": system.default_recipe().epochs,
        "seed": options.seed,
        "data": {
            "name": training.name,
            "licence": training.licence,
            "citation": training.citation,
            "origin": training.origin,
            "folds": list(training.folds),
            "test_fold": held_out.folds[0] if held_out else 0,
            "clips": len(training.clips),
            "max_clips": options.max_clips,
        },
        "machine": {
            "device": str(fabric.device),
            "precision": options.precision,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        **about,
    }


def _say_start(
    system: System, training: ClipSet, held_out: ClipSet | None, run: RunFolder, fabric: Any
) -> None:
    held = f"held out: fold {held_out.folds[0]}" if held_out else "nothing held out"
    print(
        f"{system.name}: {len(training.clips)} clips of folds "
        f"{', '.join(map(str, training.folds))} of {training.name} ({held}), "
        f"{system.recipe.epochs} epochs on {fabric.device}, into {run.path}",
        file=sys.stderr,
    )
