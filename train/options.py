"""The options that all networks' commands share, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamclf.errors import UsageError
from train.datasets import ClipSet
from train.errors import RunError
from train.runs import CONFIG, RunFolder
from train.system import System


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


def check_options(options: argparse.Namespace) -> None:
    """Say what makes no sense before any data is opened.

    Raises:
        UsageError: The option, its value and its limit.
    """
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


def take_over(system: System, options: argparse.Namespace, run: RunFolder, clips: ClipSet) -> None:
    """Resume by the run's own recipe, seed and folds, whatever the command says.

    Raises:
        UsageError: The run is of another network or other data, or had a teacher.
        RunError: Its configuration lacks something.
    """
    config = run.read_json(CONFIG)
    try:
        if config["network"] != system.name:
            raise UsageError(f"{run.path}: a run of {config['network']}, not of {system.name}")
        data = config["data"]
        if (data["name"], data["origin"]) != (clips.name, clips.origin):
            raise UsageError(
                f"--data: {options.data} holds other clips ({clips.name}) than the run was begun "
                f"with ({data['name']}); give the same data"
            )
        if "teacher" in config and options.teacher is None:
            teacher = config["teacher"]["file"]
            raise UsageError(f"--resume: the run has a teacher, give --teacher ({teacher}) again")
        system.recipe = system.recipe_type.from_json(config["recipe"])
        options.seed = config["seed"]
        options.folds, options.test_fold = data["folds"], data["test_fold"]
        options.max_clips = data["max_clips"]
    except (KeyError, TypeError) as error:
        raise RunError(f"{run.path / CONFIG}: lacks {error}; train anew") from error


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


def _folds(text: str) -> list[int]:
    try:
        return sorted({int(fold) for fold in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be fold numbers such as 1,2,3") from None
