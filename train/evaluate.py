"""``python -m train.evaluate RUN``: evaluate a run in full, with tables and pictures."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import Any

import torch

from streamclf.core.errors import UsageError
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.cli import cross_validation
from train.datasets import ClipSet
from train.evaluation.clip_accuracy import describe, evaluate_network
from train.evaluation.metrics import confusion, reliability
from train.evaluation.plots import draw_confusion, draw_reliability, draw_scatter
from train.nets.contract import System
from train.nets.inference import WindowLogits
from train.run_folder.fold_split import check_task, open_data
from train.run_folder.load_network import load_network
from train.run_folder.resume import option_type, recorded_options
from train.run_folder.run import CONFIG, RESULT, RunFolder
from train.run_folder.run_options import make_parser

N_WORST = 5


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m train.evaluate",
        description="Judge a run on its held-out fold: result.json, tables, pictures.",
    )
    add = parser.add_argument
    add("run", type=Path, help="the run folder, or a cross-validation's")
    add("--data", type=Path, help="the data set's folder (where it was when the run was trained)")
    add("--prepared", type=Path, help="where prepared clips go")
    add("--fold", type=int, help="another fold than the one held out; goes into evaluated-fold-N")
    add("--accelerator", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    options = parser.parse_args(arguments)
    if options.accelerator == "cuda" and not torch.cuda.is_available():
        raise UsageError("--accelerator is cuda, torch finds no card: take cpu")
    config = RunFolder.open(options.run).read_json(CONFIG)
    if "cross_validation" in config:
        evaluate_folds(options, config)
    else:
        evaluate(options.run, options)
    return 0


def evaluate_folds(options: argparse.Namespace, config: dict[str, Any]) -> None:
    """Evaluate every run of a cross-validation on its own held-out fold."""
    root = RunFolder(options.run)
    if options.fold is not None:
        raise UsageError(
            f"--fold is {options.fold}: give that fold's own folder, {root.path}/fold-N"
        )
    results = [evaluate(root.path / f"fold-{k}", options) for k in config["cross_validation"]]
    summary = cross_validation.summarise(results)
    root.write_json(RESULT, summary)
    print(f"{root.path}: {cross_validation.describe(summary)}")


def evaluate(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate one run.

    Returns:
        The entries of ``result.json``.

    Raises:
        UsageError: There is no such fold, or the data has other labels.
        RunError: The run cannot be read.
    """
    run = RunFolder.open(path)
    config = run.read_json(CONFIG)
    system, network = load_network(run, config)
    clips = reopen_data(run, system, config, data=options.data, prepared=options.prepared)
    fold = options.fold or config["data"]["test_fold"]
    if fold not in clips.folds:
        there = ", ".join(map(str, clips.folds))
        raise UsageError(
            f"fold {fold} is not there, the data has {there}; choose one with --fold"
            if fold
            else f"{path}: held no fold out; choose one of {there} with --fold"
        )
    trained_on = config["data"]["folds"]
    if fold in trained_on:
        print(f"fold {fold} was trained on: this is no measure of worth", file=sys.stderr)
    if options.accelerator == "cuda" or (
        options.accelerator == "auto" and torch.cuda.is_available()
    ):
        network.to("cuda")
    held_out = clips.of_folds([fold])
    result, outputs = evaluate_network(system, network, held_out, clips.of_folds(trained_on))
    out = run
    if fold == config["data"]["test_fold"]:
        result = _former(run) | result
        run.write_held_out(outputs)
    else:
        out = run.sub_run(f"evaluated-fold-{fold}")
        out.write_json(CONFIG, config)
    out.write_json(RESULT, result)
    _write_details(out, result, outputs, clips.labels)
    print(f"{out.path}: {describe(result)}")
    return result


def reopen_data(
    run: RunFolder,
    system: System,
    config: dict[str, Any],
    *,
    data: Path | None = None,
    prepared: Path | None = None,
    whole: bool = False,
) -> ClipSet:
    """Open a run's data as it was opened for training.

    Args:
        run: The run folder.
        system: System of the run's network.
        config: The run's ``config.json``.
        data: Folder of the data set, if not where it was.
        prepared: Folder of its prepared clips.
        whole: Include the classes that the run was trained without.

    Raises:
        UsageError: The place of the data is not known, or it has other labels than the run.
        DatasetError: It cannot be opened.
    """
    recorded = config["data"]
    folder = data or recorded.get("folder")
    if folder is None:
        raise UsageError(f"{run.path}: does not say where its data lies, give --data")
    # The run's own options, and --resume, so that the recipe is the run's.
    parser = make_parser(type(system))
    own = parser.parse_args(["--data", str(folder), "--resume"])
    for name, value in recorded_options(config).items():
        is_path = value is not None and option_type(parser, name) is Path
        setattr(own, name, Path(value) if is_path else value)
    own.prepared = prepared
    if prepared is None and data is None and recorded.get("prepared"):
        own.prepared = Path(recorded["prepared"])
    if whole:
        own.leave_out = None
    clips = open_data(system, own)
    check_task(system, clips)
    if not whole and list(clips.labels) != config["labels"]:
        raise UsageError(
            f"--data: {folder} has {len(clips.labels)} labels ({', '.join(clips.labels[:3])}, "
            f"...), the run {len(config['labels'])} ({', '.join(config['labels'][:3])}, ...): "
            "give the data it was trained on"
        )
    return clips


def _former(run: RunFolder) -> dict[str, Any]:
    """Entries that only the training knew, such as its duration."""
    former = run.read_json(RESULT) if (run.path / RESULT).exists() else {}
    names = ("epoch", "chosen_by", "minutes_of_steps", "minutes")
    return {name: former[name] for name in names if name in former}


def _write_details(
    run: RunFolder, result: dict[str, Any], outputs: WindowLogits, labels: tuple[str, ...]
) -> None:
    scores = outputs.clip_scores()
    if outputs.is_regression:
        draw_scatter(run, scores[:, 0], outputs.targets)
        return
    counts = confusion(scores, outputs.targets)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["is / named as", *labels])
    writer.writerows([label, *row] for label, row in zip(labels, counts.tolist(), strict=True))
    run.write("confusion.csv", table.getvalue().encode())
    draw_confusion(run, counts, labels, "confusion.png")
    error, bins = reliability(scores, outputs.targets)
    draw_reliability(run, bins, error)
    classes = [(row["recall"], name) for name, row in result["classes"].items() if row["clips"]]
    worst = ", ".join(f"{name} {recall:.0%}" for recall, name in sorted(classes)[:N_WORST])
    print(f"calibration error {error:.3f}; least often recognised: {worst}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
