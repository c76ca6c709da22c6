"""Which clips are trained on, which choose the epoch, which judge: by fold, never by clip."""

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

FAR_OFF = 0.25
"""Part of the wanted number of clips by which whole sources may miss it without a word."""


@dataclass(frozen=True)
class Split:
    """The clips of a run.

    Attributes:
        training: To learn from.
        validation: Of the training folds, set aside to choose the epoch.
        held_out: The test fold; decides nothing.
    """

    training: ClipSet
    validation: ClipSet | None
    held_out: ClipSet | None


def choose_data(system_type: type[System], options: argparse.Namespace) -> Path:
    """The folder of the clips: the one named, that of the run to go on with, or one that is found.

    With ``--download`` the data set is fetched: into the folder named where that is not there or
    empty, else into the user's cache where it is not found.

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
    """Where the data of the run to go on with lay, if it still does."""
    if not options.resume:
        return None
    recorded = RunFolder.open(options.save).read_json(CONFIG).get("data", {}).get("folder")
    return Path(recorded) if recorded and Path(recorded).is_dir() else None


def open_data(system: System, options: argparse.Namespace) -> ClipSet:
    """The clips as the options name them and the network takes them.

    Args:
        system: Of the network.
        options: ``data`` is set to the folder where it names none (`choose_data`).
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
    """The clips of the other classes alone, with their labels numbered anew.

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
    """The classes that are learned and never reported.

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
    """Refuse classes where a network learns values, and the other way round.

    Raises:
        UsageError: They don't fit together.
    """
    if system.task != clips.task:
        raise UsageError(
            f"{system.name} is trained as {system.task}, {clips.name} is a set for {clips.task}: "
            "take another network or other data"
        )


def split_clips(clips: ClipSet, options: argparse.Namespace) -> Split:
    """Deal the clips out as the options say.

    Raises:
        UsageError: A fold isn't there, or is on two sides.
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
        training, validation = set_aside(training, options.validation_part, options.seed)
        _say_part(training, validation, options.validation_part)
    if options.max_clips:
        training = training.limited(options.max_clips)
        validation = validation and validation.limited(options.max_clips)
        held_out = held_out and held_out.limited(options.max_clips)
    if clips.task == "single-label" and len(set(training.targets)) < 2:
        raise UsageError("the training clips are all of one class; take more with --max-clips")
    return Split(training, validation, held_out)


def set_aside(clips: ClipSet, part: float, seed: int) -> tuple[ClipSet, ClipSet]:
    """Take a part of the clips away: whole sources, of every class as nearly that part as can be.

    A source may speak for several classes (a speaker says all digits), so that no class can be
    dealt out by itself: sources are taken in a drawn order while each brings the classes nearer to
    their parts, then those that fit best, until no other brings the number of clips nearer. Every
    class keeps a clip to learn from.

    Returns:
        What is left, and what was taken.

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


def _say_part(kept: ClipSet, aside: ClipSet, part: float) -> None:
    """Say where whole sources come to another part than the one asked for."""
    n_aside, n_clips = len(aside.clips), len(kept.clips) + len(aside.clips)
    if abs(n_aside / n_clips - part) > FAR_OFF * part:
        n_sources = len({clip.source for clip in aside.clips})
        print(
            f"--validation-part is {part:g}; sources are set aside whole, so that it is "
            f"{n_aside / n_clips:.0%} of the clips ({n_aside} of {n_clips}), of {n_sources} "
            f"source{'' if n_sources == 1 else 's'}",
            file=sys.stderr,
        )


def _count_sources(clips: ClipSet) -> npt.NDArray[np.int64]:
    """``(sources, classes)``: clips; the values of a regression are one class."""
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
    """Which sources to set aside.

    Args:
        counts: ``(sources, classes)``: clips.
        part: Of the clips, the one wanted.
        order: In which sources are tried.
    """
    clips = counts.sum(axis=0)
    wanted = part * clips
    taken = np.zeros_like(clips)

    def miss(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """How far off the classes are, with each of these sources beside what is taken."""
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
        # Of equally good ones the first of the order.
        rest = rest[np.argsort(np.argsort(order)[rest])]
        if not rest.size:
            return chosen
        best = int(rest[miss(counts[rest]).argmin()])
        short = wanted.sum() - taken.sum()
        if chosen and abs(short - counts[best].sum()) >= abs(short):
            return chosen
        chosen.append(best)
        taken = taken + counts[best]
