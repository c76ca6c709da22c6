"""Which clips are trained on, which choose the epoch, which judge: by fold, never by clip."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np

from streamclf.errors import UsageError
from train.datasets import ClipSet, open_clips
from train.system import System


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


def open_data(system: System, options: argparse.Namespace) -> ClipSet:
    """The clips as the options name them and the network takes them."""
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
    if options.max_clips:
        training = training.limited(options.max_clips)
        validation = validation and validation.limited(options.max_clips)
        held_out = held_out and held_out.limited(options.max_clips)
    if clips.task == "single-label" and len(set(training.targets)) < 2:
        raise UsageError("the training clips are all of one class; take more with --max-clips")
    return Split(training, validation, held_out)


def set_aside(clips: ClipSet, part: float, seed: int) -> tuple[ClipSet, ClipSet]:
    """Take a part of the clips away, whole sources at a time, evenly from every class.

    Returns:
        What is left, and what was taken.

    Raises:
        UsageError: There are too few sources to take any.
    """
    random = np.random.default_rng((seed, 3))
    classes: dict[object, list[str]] = {}
    for clip in clips.clips:
        # The class of a source is that of its first clip; values of a regression are one class.
        key = clip.target if clips.task == "single-label" else None
        sources = classes.setdefault(key, [])
        if clip.source not in sources:
            sources.append(clip.source)
    taken: set[str] = set()
    for sources in classes.values():
        n = min(round(part * len(sources)) or 1, len(sources) - 1)
        taken.update(str(source) for source in random.permutation(sources)[:n])
    kept = tuple(clip for clip in clips.clips if clip.source not in taken)
    aside = tuple(clip for clip in clips.clips if clip.source in taken)
    if not aside or not kept:
        raise UsageError(
            f"--validation-part is {part}, but the training clips are too few to set any aside; "
            "use --validation-fold"
        )
    return replace(clips, clips=kept), replace(clips, clips=aside)
