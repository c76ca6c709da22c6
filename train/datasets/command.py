"""``python -m train.datasets.NAME DIR``: the command that all data sets share."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from streamclf.core.errors import UsageError
from streamclf.core.text_format import format_length
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.datasets.dataset import DataSet
from train.datasets.locations import find_folder, find_or_fetch
from train.datasets.open_dataset import find_broken, list_clips, open_dataset
from train.datasets.prepared import REGRESSION, UNLABELLED


@exit_codes
def main(module: str, arguments: list[str] | None = None) -> int:
    """Run the command of a data set's module; return the exit code."""
    datasets = importlib.import_module(f"train.datasets.{module}").DATASETS
    parser = _parser(module, datasets)
    options = parser.parse_args(arguments)
    return _run(_choose(datasets, options), options, parser.prog)


def _choose(datasets: tuple[DataSet, ...], options: argparse.Namespace) -> DataSet:
    """Choose the set of ``--dataset``; else the first one, or the subset that the folder holds."""
    if options.dataset is not None:
        return next(each for each in datasets if each.name == options.dataset)
    first, folder = datasets[0], options.folder or find_folder(datasets[0])
    is_there = folder is not None and folder.is_dir() and first.recognises(folder)
    return first.subset_in(folder) if is_there else first


def _run(dataset: DataSet, options: argparse.Namespace, command: str) -> int:
    if not 1000 <= options.rate <= 192000:
        raise UsageError(f"--rate is {options.rate}, must be 1000 to 192000 Hz")
    if options.only is not None:
        if not options.download:
            raise UsageError("--only says what --download fetches: add --download, or leave it out")
        dataset = dataset.of_sources(options.only.split(","))
    if options.folder is None:
        options.folder = find_or_fetch(
            dataset, download=options.download, wanted_by=command, option="DIR"
        )
    elif options.download and not dataset.is_fetched(options.folder):
        dataset.download(options.folder)
    if options.validate:
        return validate(dataset, options.folder)
    clips = open_dataset(
        dataset,
        options.folder,
        options.rate,
        channels=options.channels,
        out=options.out,
        skip_broken=options.skip_broken,
    )
    folds = ", ".join(map(clips.fold_name, clips.folds))
    others = {REGRESSION: "regression", UNLABELLED: "no labels"}
    kind = others.get(clips.task, f"{len(clips.labels)} classes")
    seconds = clips.lengths / clips.sample_rate
    print(
        f"{clips.name}: {len(clips.clips)} clips, {kind}, folds {folds}, {clips.sample_rate} Hz, "
        f"{seconds.min():.2f} to {seconds.max():.2f} s, {format_length(seconds.sum())}, "
        f"{clips.licence}; prepared in {Path(clips.samples.filename).parent}"
    )
    return 0


def validate(dataset: DataSet, folder: Path) -> int:
    """Print a line for every clip that is missing or does not decode; return 1 if there are any."""
    listing = list_clips(dataset, folder)
    broken = find_broken(listing.recordings)
    for filename in listing.missing:
        print(f"missing: {filename}")
    for reason in broken:
        print(f"broken: {reason}")
    n_good = len(listing.recordings) - len(broken)
    print(
        f"{dataset.name}: {n_good} clips decode, {len(broken)} do not, "
        f"{len(listing.missing)} are missing"
    )
    return 1 if broken or listing.missing else 0


def _parser(module: str, datasets: tuple[DataSet, ...]) -> Parser:
    first = datasets[0]
    parser = Parser(
        prog=f"python -m train.datasets.{module}",
        description=f"Prepare or check {first.title}: {first.url}. Licence: {first.licence}.",
        epilog="; ".join(f"{each.name}: {each.title} ({each.licence})" for each in datasets),
    )
    add = parser.add_argument
    add(
        "folder",
        type=Path,
        nargs="?",
        metavar="DIR",
        help=f"holds {first.layout} (looked for here and in the user's cache)",
    )
    names = [each.name for each in datasets]
    add("--dataset", choices=names, help=f"which part or split ({names[0]}, or what is there)")
    add("--rate", type=int, default=16000, help="sample rate in Hz (16000)")
    add("--channels", type=int, choices=(1, 2), default=1, help="1 or 2 (1)")
    add("--out", type=Path, help="where the prepared clips go (the user's cache)")
    add("--skip-broken", action="store_true", help="leave out clips that do not decode")
    add("--validate", action="store_true", help="only name missing and broken clips")
    add(
        "--download",
        action="store_true",
        help="fetch the set first, where a program can: into DIR, or the user's cache",
    )
    add("--only", metavar="SOURCE,...", help="of --download: fetch these sources alone (all)")
    return parser
