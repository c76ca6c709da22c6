"""``python -m train.NAME``: the command that all networks share."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from streamclf.errors import StreamclfError, UsageError
from train.datasets import ClipSet, open_clips
from train.evaluate import hear_crops, hear_windows, interval_95
from train.fit import fit, time_step
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
        print("interrupted; --resume with the same --save goes on", file=sys.stderr)
        return 130
    return 0


def make_parser(system_type: type[System]) -> argparse.ArgumentParser:
    """The options of a network's command."""
    parser = argparse.ArgumentParser(
        prog=f"python -m train.{system_type.name}", description=f"Train {system_type.title}."
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="a data set's folder, or a prepared one")
    add("--prepared", type=Path, help="where prepared clips go (beside the data or in the cache)")
    add("--esc10", action="store_true", help="only the ten classes of ESC-10")
    add("--folds", type=_folds, help="training folds, as in 1,2,3 (all but the test fold)")
    add("--test-fold", type=int, help="the fold held out (the last there is); 0 for none")
    add("--epochs", type=int, help="length of the schedule, which is shortened as a whole")
    add("--budget-minutes", type=float, help="shorten the schedule to about this long")
    add("--max-clips", type=int, help="use so many clips of each side, for a quick trial")
    add("--save", type=Path, metavar="RUN", help="the run folder (runs/NAME-DATE)")
    add("--overwrite", action="store_true", help="replace an existing run folder")
    add("--resume", action="store_true", help="go on with the run that --save names")
    add("--seed", type=int, default=1, help="of everything drawn at random (1)")
    add("--threads", type=int, help="CPU threads (torch's own choice)")
    add("--accelerator", default="auto", help="auto, cpu, cuda (auto)")
    add("--precision", default="32-true", help="as in Lightning Fabric: 32-true, bf16-mixed, ...")
    system_type.add_options(parser)
    return parser


def train(system_type: type[System], options: argparse.Namespace) -> RunFolder:
    """Train as the options say; the run folder.

    Raises:
        UsageError: Options that make no sense.
        TrainError: Data or run folder cannot be used.
    """
    _check(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    fabric = make_fabric(options.accelerator, options.precision)
    system = system_type()
    clips = open_clips(options.data, system.sample_rate, esc10=options.esc10, out=options.prepared)
    if options.resume:
        run = RunFolder.open(options.save)
        _take_over(system, options, run.read_json("config.json"))
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
    minutes = sum(row["seconds"] for row in run.read_json("history.json")) / 60
    if held_out is not None:
        result = judge(network, held_out, system.window_samples, run)
        result["minutes_of_steps"] = round(minutes, 1)
        result["minutes"] = round((time.monotonic() - began) / 60, 1)
        run.write_json("result.json", result)
        print(
            f"{run.path}: {result['averaged_windows']:.1%} of {result['clips']} clips of fold "
            f"{result['fold']} by averaged windows "
            f"(95 % interval {result['interval_95'][0]:.1%} to {result['interval_95'][1]:.1%}), "
            f"{result['single_windows']:.1%} of single windows, {result['ten_crops']:.1%} by ten "
            f"crops, {minutes:.1f} minutes"
        )
    else:
        print(f"{run.path}: trained on every fold, nothing held out, {minutes:.1f} minutes")
    return run


def judge(
    network: torch.nn.Module, held_out: ClipSet, window_samples: int, run: RunFolder
) -> dict[str, Any]:
    """Accuracy on the held-out fold, both ways; the windows' logits go into the run folder."""
    heard = hear_windows(network, held_out, window_samples)
    run.write_held_out(heard)
    n_clips = len(held_out.clips)
    accuracy = heard.clip_accuracy()
    return {
        "clips": n_clips,
        "fold": ", ".join(map(str, held_out.folds)),
        "averaged_windows": round(accuracy, 4),
        "interval_95": [round(x, 4) for x in interval_95(round(accuracy * n_clips), n_clips)],
        "single_windows": round(heard.window_accuracy(), 4),
        "ten_crops": round(hear_crops(network, held_out, window_samples).clip_accuracy(), 4),
    }


def split_folds(clips: ClipSet, options: argparse.Namespace) -> tuple[ClipSet, ClipSet | None]:
    """Training and held-out clips, by fold, never by clip.

    Raises:
        UsageError: A fold isn't there, or is on both sides.
    """
    there = clips.folds
    test = there[-1] if options.test_fold is None else options.test_fold
    train_folds = options.folds or [fold for fold in there if fold != test]
    for fold in (*train_folds, *([test] if test else [])):
        if fold not in there:
            raise UsageError(f"fold {fold} is not there, the data has {', '.join(map(str, there))}")
    if test in train_folds:
        raise UsageError(
            f"fold {test} is both trained on and held out; change --folds or --test-fold"
        )
    training, held_out = clips.of_folds(train_folds), clips.of_folds([test]) if test else None
    if not training.clips:
        raise UsageError("no fold is left to train on; choose with --folds or --test-fold 0")
    if options.max_clips:
        training = training.limited(options.max_clips)
        held_out = held_out and held_out.limited(options.max_clips)
    if len(set(training.targets)) < 2:
        raise UsageError("the training clips are all of one class; take more with --max-clips")
    return training, held_out


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


def _check(options: argparse.Namespace) -> None:
    for option in ("epochs", "budget_minutes", "max_clips", "threads"):
        value = getattr(options, option)
        if value is not None and not value > 0:
            raise UsageError(f"--{option.replace('_', '-')} is {value}, must be above 0")
    if options.epochs and options.budget_minutes:
        raise UsageError("--epochs and --budget-minutes both set the length: give one of them")
    if not 0 <= options.seed < 2**31:
        raise UsageError(f"--seed is {options.seed}, must be 0 to {2**31 - 1}")
    if options.resume and options.save is None:
        raise UsageError("--resume needs --save with the run folder to go on with")
    if options.resume and options.overwrite:
        raise UsageError("--resume goes on with a run, --overwrite deletes it: give one of them")


def _take_over(system: System, options: argparse.Namespace, config: dict[str, Any]) -> None:
    """A resumed run goes on by its own recipe, seed and folds, whatever the command says."""
    if config["network"] != system.name:
        raise UsageError(f"--save: the run there is of {config['network']}, not {system.name}")
    system.recipe = system.recipe_type.from_json(config["recipe"])
    options.seed = config["seed"]
    options.folds = config["data"]["folds"]
    options.test_fold = config["data"]["test_fold"]
    options.max_clips = config["data"]["max_clips"]
    if "teacher" in config and options.teacher is None:
        raise UsageError(f"--resume: the run has a teacher, give --teacher as at first "
                         f"({config['teacher']['file']})")  # fmt: skip


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


def _folds(text: str) -> list[int]:
    try:
        return sorted({int(fold) for fold in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be fold numbers such as 1,2,3") from None
