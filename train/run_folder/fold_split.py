"""The split of a data set by fold: clips to train on, to choose the epoch by, and to test on."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import UsageError
from train.datasets import AUTO, ClipSet, find_dataset, open_clips
from train.datasets.locations import find_or_fetch
from train.nets.contract import System
from train.run_folder.run import CONFIG, RunFolder
from train.run_folder.run_options import BACKGROUND

PART_TOLERANCE = 0.25
"""Relative deviation from the wanted part of the clips that is accepted without a notice."""


@dataclass(frozen=True)
class Split:
    """The clips of a run.

    Attributes:
        training: Clips to learn from.
        validation: Clips of the training folds, set aside to choose the epoch.
        held_out: The test fold, which decides nothing.
    """

    training: ClipSet
    validation: ClipSet | None
    held_out: ClipSet | None


def choose_data(system_type: type[System], options: argparse.Namespace) -> Path:
    """Find the folder of the clips: the one named, the resumed run's, or one in the usual places.

    With ``--download`` the data set is fetched: into the folder named if that is missing or empty,
    or into the user's cache if no folder is named and none is found.

    Raises:
        DatasetError: The data set is nowhere (`DataNotFoundError`), or cannot be fetched.
    """
    wanted = "esc10" if options.esc10 else options.dataset
    dataset = find_dataset(system_type.dataset if wanted == AUTO else wanted)
    if options.data is not None:
        if options.download and not (options.data.is_dir() and any(options.data.iterdir())):
            dataset.download(options.data)
        return options.data
    former = _recorded_folder(options)
    if former is not None:
        return former
    return find_or_fetch(dataset, download=options.download, wanted_by=system_type.name)


def _recorded_folder(options: argparse.Namespace) -> Path | None:
    """The data folder of the run to be resumed, if it still exists."""
    if not options.resume:
        return None
    recorded = RunFolder.open(options.save).read_json(CONFIG).get("data", {}).get("folder")
    return Path(recorded) if recorded and Path(recorded).is_dir() else None


def open_data(system: System, options: argparse.Namespace) -> ClipSet:
    """Open the clips that the options name, in the form that the network takes.

    Args:
        system: System of the network.
        options: Options of the command; ``data`` is set where it names no folder (`choose_data`).
    """
    options.data = choose_data(type(system), options)
    clips = open_clips(
        options.data,
        system.sample_rate,
        channels=system.n_channels,
        dataset=options.dataset,
        esc10=options.esc10,
        out=options.prepared,
        skip_broken=options.skip_broken,
    )
    clips = system.adapt(clips, options)
    return leave_out(clips, options.leave_out) if options.leave_out else clips


def leave_out(clips: ClipSet, labels: list[str]) -> ClipSet:
    """Leave out the clips of some classes, and number the other labels again.

    Raises:
        UsageError: There is no such class, or fewer than two would be left.
    """
    absent = sorted(set(labels) - set(clips.labels))
    if absent or clips.task == "regression":
        raise UsageError(f"--leave-out: {clips.name} has no class {(absent or labels)[0]!r}")
    kept = [label for label in clips.labels if label not in labels]
    if len(kept) < 2:
        raise UsageError(f"--leave-out leaves {len(kept)} of {len(clips.labels)} classes, must "
                         "leave 2 or more")  # fmt: skip
    numbers = {clips.labels.index(label): number for number, label in enumerate(kept)}
    own = tuple(
        replace(clip, target=numbers[int(clip.target)])
        for clip in clips.clips
        if clip.target in numbers
    )
    return replace(clips, labels=tuple(kept), clips=own)


def find_background(clips: ClipSet, options: argparse.Namespace) -> list[str]:
    """The background classes: those that are learned and never reported.

    Raises:
        UsageError: There is no such class, or none would be left to report.
    """
    wanted = options.background
    if wanted is None:
        wanted = [BACKGROUND] if clips.task != "regression" and BACKGROUND in clips.labels else []
    absent = sorted(set(wanted) - set(clips.labels))
    if absent or (wanted and clips.task == "regression"):
        raise UsageError(f"--background: {clips.name} has no class {(absent or wanted)[0]!r}")
    if wanted and set(wanted) == set(clips.labels):
        raise UsageError("--background names every class: leave one that is to be reported")
    return list(wanted)


def check_task(system: System, clips: ClipSet) -> None:
    """Refuse clips with classes for a network that learns values, and the other way round.

    Raises:
        UsageError: Network and clips do not fit together.
    """
    if system.task != clips.task:
        raise UsageError(
            f"{system.name} is trained as {system.task}, {clips.name} is a set for {clips.task}: "
            "take another network or other data"
        )


def split_clips(clips: ClipSet, options: argparse.Namespace) -> Split:
    """Split the clips by fold as the options say.

    Raises:
        UsageError: A fold does not exist, or is on two sides.
    """
    there = clips.folds
    test = there[-1] if options.test_fold is None else options.test_fold
    chooser = options.validation_fold
    folds = options.folds or [fold for fold in there if fold not in (test, chooser)]
    for fold in (*folds, *([test] if test else []), *([] if chooser is None else [chooser])):
        if fold not in there:
            raise UsageError(
                f"fold {fold} is not there, the data has {', '.join(map(str, there))}: choose "
                "among these with --folds, --test-fold, --validation-fold"
            )
    if test in folds or chooser in folds:
        fold = test if test in folds else chooser
        raise UsageError(
            f"fold {fold} is both trained on and held out; change --folds, --test-fold or "
            "--validation-fold"
        )
    if chooser == test:
        raise UsageError(f"fold {test} cannot both choose the epoch and judge: change one of them")
    training, held_out = clips.of_folds(folds), clips.of_folds([test]) if test else None
    if not training.clips:
        raise UsageError("no fold is left to train on; choose with --folds or --test-fold 0")
    validation = None if chooser is None else clips.of_folds([chooser])
    if options.validation_part:
        training, validation = take_validation_part(training, options.validation_part, options.seed)
        _warn_about_part(training, validation, options.validation_part)
    if options.max_clips:
        training = training.limited(options.max_clips)
        validation = validation and validation.limited(options.max_clips)
        held_out = held_out and held_out.limited(options.max_clips)
    if clips.task == "single-label" and len(set(training.targets)) < 2:
        way_out = (
            "take more with --max-clips"
            if options.max_clips
            else f"each class needs clips of several recordings, {len(clips.folds)} or more"
        )
        raise UsageError(f"the training clips are all of one class; {way_out}")
    return Split(training, validation, held_out)


def take_validation_part(clips: ClipSet, part: float, seed: int) -> tuple[ClipSet, ClipSet]:
    """Set a part of the clips aside: whole sources, as nearly that part of every class as possible.

    A source may have clips of several classes (a speaker says all digits), so classes cannot be
    split one by one. Sources are tried in a random order and taken as long as each brings the
    classes nearer to their parts. Then the sources that fit best are taken, until no other brings
    the number of clips nearer. Every class keeps at least one clip to learn from.

    Args:
        clips: The training clips.
        part: Part to set aside, above 0 and below 1.
        seed: Seed of the order.

    Returns:
        The clips that are left, and those set aside.

    Raises:
        UsageError: There are too few sources to take any.
    """
    counts = _count_sources(clips)
    order = np.random.default_rng((seed, 3)).permutation(len(counts))
    chosen = _choose_sources(counts, part, order)
    names = list(dict.fromkeys(clip.source for clip in clips.clips))
    taken = {names[number] for number in chosen}
    kept = tuple(clip for clip in clips.clips if clip.source not in taken)
    aside = tuple(clip for clip in clips.clips if clip.source in taken)
    if not aside:
        raise UsageError(
            f"--validation-part is {part}, but the training clips are too few to set any aside: "
            "each class has them of one source alone; use --validation-fold"
        )
    return replace(clips, clips=kept), replace(clips, clips=aside)


def _warn_about_part(kept: ClipSet, aside: ClipSet, part: float) -> None:
    """Say so where whole sources make another part than the one asked for."""
    n_aside, n_clips = len(aside.clips), len(kept.clips) + len(aside.clips)
    if abs(n_aside / n_clips - part) > PART_TOLERANCE * part:
        n_sources = len({clip.source for clip in aside.clips})
        print(
            f"--validation-part is {part:g}; sources are set aside whole, so that it is "
            f"{n_aside / n_clips:.0%} of the clips ({n_aside} of {n_clips}), of {n_sources} "
            f"source{'' if n_sources == 1 else 's'}",
            file=sys.stderr,
        )


def _count_sources(clips: ClipSet) -> npt.NDArray[np.int64]:
    """Count clips of each source and class: ``(sources, classes)``; a regression has one class."""
    rows: dict[str, int] = {}
    sources = [rows.setdefault(clip.source, len(rows)) for clip in clips.clips]
    is_regression = clips.task != "single-label"
    classes = np.zeros(len(sources), dtype=int) if is_regression else clips.targets.astype(int)
    counts = np.zeros((len(rows), 1 if is_regression else len(clips.labels)), dtype=np.int64)
    np.add.at(counts, (sources, classes), 1)
    return counts[:, counts.any(axis=0)]


def _choose_sources(
    counts: npt.NDArray[np.int64], part: float, order: npt.NDArray[np.int64]
) -> list[int]:
    """Choose the sources to set aside.

    Args:
        counts: ``(sources, classes)``, clips.
        part: Part of the clips that is wanted.
        order: Order in which sources are tried.

    Returns:
        Row numbers of the chosen sources.
    """
    clips = counts.sum(axis=0)
    wanted = part * clips
    taken = np.zeros_like(clips)

    def miss(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Distance of the classes from their parts if each of these sources were taken, too."""
        return ((taken + rows - wanted) ** 2 / wanted).sum(axis=-1)

    def leaves_some(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return (taken + rows < clips).all(axis=-1)

    chosen: list[int] = []
    for number in order:
        row = counts[number]
        fits = taken.sum() + row.sum() / 2 <= wanted.sum()
        if fits and leaves_some(row) and miss(row) < miss(np.zeros_like(row)):
            chosen.append(int(number))
            taken = taken + row
    while True:
        rest = np.setdiff1d(order, chosen)
        rest = rest[leaves_some(counts[rest])]
        # Among equally good sources the first of the order is taken.
        rest = rest[np.argsort(np.argsort(order)[rest])]
        if not rest.size:
            return chosen
        best = int(rest[miss(counts[rest]).argmin()])
        short = wanted.sum() - taken.sum()
        if chosen and abs(short - counts[best].sum()) >= abs(short):
            return chosen
        chosen.append(best)
        taken = taken + counts[best]
