"""Cross-validation, ``--folds all``: a run for each held-out fold, then mean and spread."""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from train.evaluation.metrics import interval_95
from train.nets.contract import System
from train.run_folder.fold_split import open_data
from train.run_folder.resume import adopt_options, record_options
from train.run_folder.run import CONFIG, RESULT, RunFolder
from train.run_folder.run_options import ALL_FOLDS

REPORTED = ("averaged_windows", "published_crops")


def is_requested(options: argparse.Namespace) -> bool:
    """Whether the options ask for a cross-validation, or resume one."""
    if options.resume and (options.save / CONFIG).is_file():
        return "cross_validation" in RunFolder.open(options.save).read_json(CONFIG)
    return options.folds == ALL_FOLDS


def cross_validate(
    system_type: type[System],
    options: argparse.Namespace,
    train: Callable[[type[System], argparse.Namespace], RunFolder],
) -> RunFolder:
    """Train a run for each fold in a sub-folder; finished runs are not done again.

    Args:
        system_type: The network.
        options: Options of the command.
        train: Trains one run.

    Returns:
        The folder that holds the folds' runs and their common result.

    Raises:
        TrainError: As for a single run.
    """
    if options.save and not options.resume:
        RunFolder.check_free(options.save, overwrite=options.overwrite)
    folds = _folds_of(system_type, options)
    if options.resume:
        root = RunFolder.open(options.save)
        root.lock()
    else:
        root = RunFolder.create(options.save, system_type.name, overwrite=options.overwrite)
        about = {
            "network": system_type.name,
            "cross_validation": folds,
            "options": record_options(options),
        }
        root.write_json(CONFIG, about)
    for number, fold in enumerate(folds, start=1):
        path = root.path / f"fold-{fold}"
        if (path / RESULT).exists():
            continue
        print(f"fold {fold}, {number} of {len(folds)}", file=sys.stderr)
        own = copy.copy(options)
        own.folds, own.test_fold, own.save, own.overwrite = None, fold, path, False
        own.resume = (path / "checkpoints").is_dir()
        if not own.resume and (path / CONFIG).exists():
            own.overwrite = True
        if options.budget_minutes:
            own.budget_minutes = options.budget_minutes / len(folds)
        train(system_type, own)
    result = summarise([root.sub_run(f"fold-{fold}").read_json(RESULT) for fold in folds])
    root.write_json(RESULT, result)
    root.unlock()
    print(f"{root.path}: {describe(result)}")
    return root


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise the folds' results: mean, spread (standard deviation), and each fold's own."""
    clips = sum(result["clips"] for result in results)
    names = ("averaged_windows", "single_windows", "published_crops", "mean_absolute_error",
             "median_baseline", "calibration_error")  # fmt: skip
    summary: dict[str, Any] = {
        "task": results[0]["task"],
        "data": results[0]["data"],
        "fold": ", ".join(result["fold"] for result in results),
        "clips": clips,
    }
    for name in names:
        values = [result[name] for result in results if name in result]
        if values:
            summary[name] = round(float(np.mean(values)), 4)
            summary[f"{name}_spread"] = round(float(np.std(values, ddof=1)), 4)
    if "averaged_windows" in summary:
        # Each clip was held out once, so together the folds are one sample of all clips.
        right = sum(round(result["averaged_windows"] * result["clips"]) for result in results)
        summary["interval_95"] = [round(x, 4) for x in interval_95(right, clips)]
    summary["folds"] = {result["fold"]: result for result in results}
    return summary


def describe(summary: dict[str, Any]) -> str:
    """Describe a cross-validation in a line."""
    n_folds = len(summary["folds"])
    if "mean_absolute_error" in summary:
        return (
            f"mean absolute error {summary['mean_absolute_error']:.3f} +- "
            f"{summary['mean_absolute_error_spread']:.3f} over {n_folds} folds"
        )
    low, high = summary["interval_95"]
    figures = [f"{summary[name]:.1%} +- {summary[f'{name}_spread']:.1%}" for name in REPORTED]
    return (
        f"{figures[0]} over {n_folds} folds by averaged windows (of all {summary['clips']} clips, "
        f"95 % interval {low:.1%} to {high:.1%}), {figures[1]} by the published crops"
    )


def _folds_of(system_type: type[System], options: argparse.Namespace) -> list[int]:
    if options.resume:
        config = RunFolder.open(options.save).read_json(CONFIG)
        adopt_options(system_type, options, config["options"])
        return config["cross_validation"]
    return list(open_data(system_type(), options).folds)
