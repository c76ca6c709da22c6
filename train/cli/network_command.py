"""``python -m train.NAME``: the command that all networks share."""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from streamclf.core.text_format import format_count, format_length
from streamclf.model.model_file import bundled_models
from train.base.devices import make_fabric
from train.base.exit_codes import exit_codes
from train.cli import cross_validation
from train.datasets import ClipSet
from train.evaluation.clip_accuracy import describe, evaluate_network
from train.evaluation.plots import draw_run
from train.loop.budget import Budget, fit_schedule, make_budget
from train.loop.fit import fit
from train.loop.periodic_evaluation import window_loss
from train.nets.contract import System, find_system
from train.nets.layers import count_multiply_adds, count_parameters, describe_layers
from train.run_folder.checkpoint import read_progress
from train.run_folder.fold_split import Split, check_task, find_background, open_data, split_clips
from train.run_folder.load_network import read_recipe
from train.run_folder.resume import (
    adopt_run_options,
    check_same_data,
    check_same_teacher,
    record_options,
)
from train.run_folder.run import CONFIG, RESULT, WEIGHTS, RunFolder
from train.run_folder.run_options import check_options, make_parser, set_recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FORMAT = 2


@exit_codes
def main(name: str, arguments: list[str] | None = None) -> int:
    """Run the command of a network; return the exit code."""
    system_type = find_system(name)
    parser = make_parser(system_type)
    options = parser.parse_args(arguments)
    check_options(options)
    system_type.check_options(options)
    if cross_validation.is_requested(options):
        cross_validation.cross_validate(system_type, options, train)
    else:
        run = train(system_type, options)
        if run.writes:
            _print_next_steps(run, name)
    return 0


def train(system_type: type[System], options: argparse.Namespace) -> RunFolder:
    """Train as the options say.

    Returns:
        The run folder.

    Raises:
        UsageError: The options make no sense together.
        TrainError: Data or run folder cannot be used.
    """
    check_options(options)
    started = time.monotonic()
    if options.threads:
        torch.set_num_threads(options.threads)
    run = _open_resumed(system_type, options)
    if run is None and options.save:
        # Checked before the data is opened, which can take minutes the first time.
        RunFolder.check_free(options.save, overwrite=options.overwrite)
    fabric = make_fabric(options.accelerator, options.precision, options.devices)
    system = system_type(None if run is None else read_recipe(system_type, run.read_json(CONFIG)))
    with fabric.rank_zero_first():
        clips = open_data(system, options)
    check_task(system, clips)
    opened = time.monotonic()
    split = split_clips(clips, options)
    about = system.configure(options, split.training)
    if run is None:
        system.recipe = set_recipe(system.recipe, options)
        about = {"full_epochs": system.recipe.epochs, **about}
        if background := find_background(split.training, options):
            about["background"] = background
        run, budget = _start_run(system, split, options, fabric, about, opened)
    else:
        budget = _resume_run(system, split, options, fabric, about, run, opened)
    try:
        _print_start(system, split, run, fabric, options)
        _train(system, split, options, fabric, run, budget, started)
    finally:
        run.unlock()
    fabric.barrier()
    return run


def _open_resumed(system_type: type[System], options: argparse.Namespace) -> RunFolder | None:
    """Open the run to be resumed, and adopt its options; None where a new run begins.

    A run of which no step was saved begins again, with its own options.
    """
    if not options.resume:
        return None
    run = RunFolder.open(options.save)
    adopt_run_options(system_type, options, run)
    if read_progress(run) is None and "options" in run.read_json(CONFIG):
        print(f"{run.path}: no step of it was saved, it begins anew", file=sys.stderr)
        options.resume, options.overwrite = False, True
        return None
    return run


def _start_run(
    system: System,
    split: Split,
    options: argparse.Namespace,
    fabric: Fabric,
    about: dict[str, Any],
    opened: float,
) -> tuple[RunFolder, Budget | None]:
    """Decide the length of a new run, and make its folder."""
    tried = build(system, split.training, options.seed)
    budget = _budget(system, tried, split, options, about["full_epochs"], opened)
    system.recipe = fit_schedule(
        system, tried, split.training, fabric,
        epochs=options.epochs, replan=options.replan, budget=budget,
    )  # fmt: skip
    network = build(system, split.training, options.seed)
    config = _config(system, network, split, options, fabric, about)
    return _create_folder(system, network, options, fabric, config), budget


def _resume_run(
    system: System,
    split: Split,
    options: argparse.Namespace,
    fabric: Fabric,
    about: dict[str, Any],
    run: RunFolder,
    opened: float,
) -> Budget | None:
    """Check that a run may continue with this data, and lock its folder."""
    config = run.read_json(CONFIG)
    check_same_data(run, split.training, options)
    check_same_teacher(run, about)
    system.recipe = read_recipe(type(system), config)
    run.writes = fabric.is_global_zero
    if run.writes:
        run.lock()
    network = build(system, split.training, options.seed)
    full_epochs = config.get("full_epochs", system.recipe.epochs)
    return _budget(system, network, split, options, full_epochs, opened)


def _train(
    system: System,
    split: Split,
    options: argparse.Namespace,
    fabric: Fabric,
    run: RunFolder,
    budget: Budget | None,
    started: float,
) -> None:
    """Run the rest of the schedule, and evaluate the result."""
    former = read_progress(run) if options.resume and run.writes else None
    network = build(system, split.training, options.seed)
    try:
        network = fit(
            system, network, split.training, split.held_out, run, fabric,
            seed=options.seed, resume=options.resume, validation=split.validation,
            keep=options.keep, budget=budget, began=started,
            full_epochs=run.read_json(CONFIG).get("full_epochs", 0) if run.writes else 0,
        )  # fmt: skip
    except KeyboardInterrupt:
        if run.writes and read_progress(run) is None:
            print(
                f"no step was saved; the same command with --resume --save {run.path} begins anew",
                file=sys.stderr,
            )
        raise
    if fabric.is_global_zero:
        before_s = former.elapsed if former else 0.0
        _finish(system, network, split, run, (before_s + time.monotonic() - started) / 60)


def _budget(
    system: System,
    network: nn.Module,
    split: Split,
    options: argparse.Namespace,
    full_epochs: int,
    began: float,
) -> Budget | None:
    """Make the budget of ``--budget-minutes``; None without that option."""
    if not options.budget_minutes:
        return None
    return make_budget(
        system, network, split.held_out,
        minutes=options.budget_minutes, full_epochs=full_epochs, began=began,
    )  # fmt: skip


def build(system: System, clips: ClipSet, seed: int) -> nn.Module:
    """Build the network, with initial weights that depend on the seed alone."""
    torch.manual_seed(seed)
    return system.build(len(clips.labels))


def _create_folder(
    system: System,
    network: nn.Module,
    options: argparse.Namespace,
    fabric: Fabric,
    config: dict[str, Any],
) -> RunFolder:
    """Make the run folder and write what is known before the first step."""
    if not fabric.is_global_zero:
        fabric.barrier()
        return RunFolder(options.save or RunFolder.default_path(system.name), writes=False)
    run = RunFolder.create(options.save, system.name, overwrite=options.overwrite)
    try:
        run.write_json(CONFIG, config)
        run.write("network.txt", describe_layers(network, system.window_samples).encode())
    except BaseException:
        run.discard()
        raise
    fabric.barrier()
    return run


def _finish(
    system: System, network: nn.Module, split: Split, run: RunFolder, minutes: float
) -> None:
    """Evaluate the network, draw the run's pictures and print the result."""
    history = run.read_json("history.json")
    steps_s = sum(row["seconds"] for row in history)
    took = f"in {format_length(60 * minutes)}, {format_length(steps_s)} of it in training steps"
    text = f"trained on every fold, nothing held out, {took}"
    if split.held_out is not None:
        result, outputs = evaluate_network(system, network, split.held_out, split.training)
        run.write_held_out(outputs)
        result["epoch"] = int(run.read_tensors(WEIGHTS)[1]["epoch"])
        result["chosen_by"] = "validation clips" if split.validation else "the schedule's end"
        result["minutes_of_steps"] = round(steps_s / 60, 2)
        result["minutes"] = round(minutes, 2)
        run.write_json(RESULT, result)
        if split.validation is None:
            key = "mean_absolute_error" if system.task == "regression" else "averaged_windows"
            history[-1]["held_out_clips"] = result[key]
            history[-1]["held_out_loss"] = window_loss(system, outputs)
            if "single_windows" in result:
                history[-1]["held_out_windows"] = result["single_windows"]
            run.write_json("history.json", history)
        text = f"{describe(result)}, {took}"
    draw_run(run, system, network)
    print(f"{run.path}: {text}")


def _print_next_steps(run: RunFolder, name: str) -> None:
    """Print the two commands that lead from a run to listening, ready to be copied."""
    model = Path(f"{name}.onnx")
    if name in bundled_models() or model.exists():  # it might be taken for that one
        model = Path(f"{run.path.name}.onnx")
    overwrite = " --overwrite" if model.exists() else ""
    export = f"{shlex.quote(str(run.path))} -o {shlex.quote(str(model))}{overwrite}"
    print(
        f"next:\n  python -m export {export}\n  streamclf listen --model {shlex.quote(str(model))}",
        file=sys.stderr,
    )


def _config(
    system: System,
    network: nn.Module,
    split: Split,
    options: argparse.Namespace,
    fabric: Fabric,
    about: dict[str, Any],
) -> dict[str, Any]:
    training, held_out = split.training, split.held_out
    return {
        "format": FORMAT,
        "network": system.name,
        "title": system.title,
        "note": system.card_note(),
        "task": system.task,
        "parameters": count_parameters(network),
        "multiply_adds": count_multiply_adds(network, system.window_samples),
        "labels": list(training.labels),
        "sample_rate": system.sample_rate,
        "window_samples": system.window_samples,
        "recipe": system.recipe.as_json(),
        "seed": options.seed,
        "options": record_options(options),
        "data": {
            "name": training.name,
            "folder": str(options.data.resolve()),
            "prepared": str(options.prepared.resolve()) if options.prepared else None,
            "licence": training.licence,
            "citation": training.citation,
            "origin": training.origin,
            "folds": list(training.folds),
            "test_fold": held_out.folds[0] if held_out else 0,
            "clips": len(training.clips),
            "validation_clips": len(split.validation.clips) if split.validation else 0,
            "max_clips": options.max_clips,
            "skipped": len(training.skipped),
        },
        "machine": {
            "device": str(fabric.device),
            "devices": fabric.world_size,
            "precision": options.precision,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        **about,
    }


def _print_start(
    system: System, split: Split, run: RunFolder, fabric: Fabric, options: argparse.Namespace
) -> None:
    held = f"held out: fold {split.held_out.folds[0]}" if split.held_out else "nothing held out"
    if background := find_background(split.training, options):
        held += f", never reported: {', '.join(background)}"
    if split.validation:
        held += f", {len(split.validation.clips)} clips choose the epoch"
    devices = f"{fabric.world_size} x {fabric.device.type}" if fabric.world_size > 1 else ""
    print(
        f"{system.name}: {len(split.training.clips)} clips of folds "
        f"{', '.join(map(str, split.training.folds))} of {split.training.name} ({held}), "
        f"{format_count(system.recipe.epochs, 'epoch')} on {devices or fabric.device}, "
        f"into {run.path}",
        file=sys.stderr,
    )
