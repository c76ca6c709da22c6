"""The options that all networks' commands share, and their checks."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from streamclf.core.errors import UsageError
from train.base.arguments import Parser
from train.base.recipe import Recipe
from train.datasets import DATASET_NAMES, find_dataset
from train.nets.contract import System

ALL_FOLDS = "all"
SMALLEST_BATCH = 2
BACKGROUND = "background"
"""Name of a class that is taken as background: learned, but never reported."""


def make_parser(system_type: type[System]) -> Parser:
    """Make the parser of a network's command, with the network's own options."""
    parser = Parser(
        prog=f"python -m train.{system_type.name}", description=f"Train {system_type.title}."
    )
    _add_data(parser, system_type.dataset)
    _add_schedule(parser, system_type.default_recipe())
    _add_run_folder(parser)
    _add_machine(parser)
    system_type.add_options(parser)
    return parser


def _add_data(parser: argparse.ArgumentParser, dataset: str) -> None:
    """Add the options about data; ``dataset`` is used where none is named."""
    data = parser.add_argument_group("data").add_argument
    own = find_dataset(dataset)
    data(
        "--data",
        type=Path,
        metavar="DIR",
        help="a data set's folder, or a prepared one "
        f"({own.name}, looked for here and in the user's cache)",
    )
    data("--download", action="store_true", help="fetch what is not there, where a program can")
    data(
        "--dataset",
        choices=DATASET_NAMES,
        default=DATASET_NAMES[0],
        help="what lies there (recognised by its layout)",
    )
    data("--prepared", type=Path, help="where prepared clips go (the user's cache)")
    data("--esc10", action="store_true", help="only the ten classes of ESC-10")
    data("--skip-broken", action="store_true", help="leave out clips that do not decode")
    data(
        "--leave-out",
        type=_labels,
        metavar="LABELS",
        help="train without these classes, as in dog,rain, to measure with train.unknown what is "
        "said of sounds that are not known",
    )
    data(
        "--background",
        type=_labels,
        metavar="LABELS",
        help="classes that are learned and never reported, so that other sounds are not called by "
        f"the names that are ('{BACKGROUND}', where there is such a class)",
    )
    data("--max-clips", type=int, help="use so many clips of each side, for a quick trial")
    data(
        "--folds",
        type=_folds,
        help="training folds, as in 1,2,3 (all but the test fold); 'all': a cross-validation, "
        "each fold held out once, on one device",
    )
    data("--test-fold", type=int, help="the fold held out (the last there is); 0 for none")
    data("--validation-fold", type=int, help="a fold that is not trained on but chooses the epoch")
    data("--validation-part", type=float, help="the same with a part of the training folds: 0.1")


def _add_run_folder(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("run folder").add_argument
    run("--save", type=Path, metavar="RUN", help="the run folder (runs/NAME-DATE)")
    run("--overwrite", action="store_true", help="replace an existing run folder")
    run("--resume", action="store_true", help="go on with the run that --save names")
    run("--keep", type=int, default=1, help="how many of the best epochs' weights to keep (1)")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    machine = parser.add_argument_group("machine").add_argument
    machine("--threads", type=int, help="CPU threads (torch's own choice)")
    machine("--accelerator", default="auto", help="auto, cpu, cuda (auto)")
    machine("--devices", type=int, default=1, help="so many cards or processes share a batch (1)")
    machine(
        "--precision",
        default="auto",
        help="32-true, tf32, bf16-mixed, 16-mixed (tf32 on a card, 32-true elsewhere)",
    )


def _add_schedule(parser: argparse.ArgumentParser, recipe: Recipe) -> None:
    schedule = parser.add_argument_group("schedule").add_argument
    schedule("--epochs", type=int, help="length of the schedule, which is shortened as a whole")
    schedule(
        "--replan",
        type=_plan,
        metavar="AT:N,...",
        help="behind AT epochs give the schedule the length N, as --budget-minutes did: 5:21,9:17",
    )
    schedule(
        "--budget-minutes",
        type=float,
        help="shorten the schedule to about this long, judging included; reckoned as it goes",
    )
    schedule("--seed", type=int, default=1, help="of everything drawn at random (1)")
    schedule("--lr", type=float, help=f"the highest learning rate ({recipe.learning_rate:g})")
    schedule("--batch-size", type=int, help=f"clips a step ({recipe.batch_size})")
    schedule("--weight-decay", type=float, help=f"({recipe.weight_decay:g})")


def set_recipe(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """Put the options' values into the recipe."""
    given = {
        "learning_rate": options.lr,
        "batch_size": options.batch_size,
        "weight_decay": options.weight_decay,
    }
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def check_options(options: argparse.Namespace) -> None:
    """Check the options before any data is opened.

    Raises:
        UsageError: The message has the option, its value and its limit.
    """
    for option in ("epochs", "budget_minutes", "max_clips", "threads", "devices", "keep"):
        value = getattr(options, option)
        if value is not None and not value > 0:
            raise UsageError(f"--{option.replace('_', '-')} is {value}, must be above 0")
    if options.epochs and options.budget_minutes:
        raise UsageError("--epochs and --budget-minutes both set the length: give one of them")
    for option, least in (("lr", 0.0), ("weight_decay", -1e-300)):
        value = getattr(options, option)
        if value is not None and not (value > least and math.isfinite(value)):
            limit = "above 0" if least == 0 else "0 or more"
            raise UsageError(f"--{option.replace('_', '-')} is {value:g}, must be {limit}")
    if options.batch_size is not None and options.batch_size < SMALLEST_BATCH:
        raise UsageError(
            f"--batch-size is {options.batch_size}, must be {SMALLEST_BATCH} or more: BatchNorm "
            "compares the clips of a batch"
        )
    _check_plan(options)
    if not 0 <= options.seed < 2**31:
        raise UsageError(f"--seed is {options.seed}, must be 0 to {2**31 - 1}")
    if options.resume and options.save is None:
        raise UsageError("--resume needs --save with the run folder to go on with")
    if options.resume and options.overwrite:
        raise UsageError("--resume goes on with a run, --overwrite deletes it: give one of them")
    if options.folds == ALL_FOLDS and options.devices > 1:
        raise UsageError(
            f"--devices is {options.devices}, --folds all runs on 1; train the folds one by one"
        )
    _check_validation(options)


def _check_plan(options: argparse.Namespace) -> None:
    if options.replan is None:
        return
    if not options.epochs:
        raise UsageError("--replan changes the length that --epochs sets: give that, too")
    behind, length = 0, options.epochs
    for at, n in options.replan:
        if not behind < at < min(length, n):
            raise UsageError(
                f"--replan has {at}:{n} behind {behind} epochs of {length}: AT must rise, and "
                "both lengths must be above it"
            )
        behind, length = at, n


def _check_validation(options: argparse.Namespace) -> None:
    part, fold = options.validation_part, options.validation_fold
    if part is not None and not 0 < part < 1:
        raise UsageError(f"--validation-part is {part}, must be above 0 and below 1")
    if part is not None and fold is not None:
        raise UsageError("--validation-part and --validation-fold both choose: give one of them")
    if options.keep > 1 and part is None and fold is None and not options.resume:
        raise UsageError(
            f"--keep is {options.keep}, but nothing says which epochs are best: set clips aside "
            "for it with --validation-fold or --validation-part"
        )
    if options.folds == ALL_FOLDS and (options.test_fold is not None or fold is not None):
        raise UsageError(
            "--folds all holds each fold out once: drop --test-fold, and use --validation-part "
            "instead of --validation-fold"
        )


def _labels(text: str) -> list[str]:
    return sorted({label.strip() for label in text.split(",")} - {""})


def _plan(text: str) -> list[tuple[int, int]]:
    try:
        pairs = [part.split(":") for part in text.split(",")]
        return [(int(behind), int(length)) for behind, length in pairs]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be as in 5:21,9:17") from None


def _folds(text: str) -> list[int] | str:
    if text == ALL_FOLDS:
        return text
    try:
        return sorted({int(fold) for fold in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be 'all' or folds as in 1,2,3") from None
