"""Real sounds that resemble none of the labels: what a network is to be unsure of, beside noise.

A teacher of AudioSet's labels has heard the sounds (`train.hear_sources`). Those in which it hears
something, but nothing that means one of the network's own labels, get all labels alike.

Source: D. Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.base.errors import DatasetError, UsageError
from train.datasets.audioset import ESC50_MEANS, columns_of, read_label_names
from train.datasets.heard_sources import read_heard
from train.datasets.prepared import ClipSet

MEANS = ESC50_MEANS | {
    "music": ("Music", "Musical instrument"),
    "speech": ("Speech", "Singing", "Whispering", "Child speech, kid speaking"),
}
"""AudioSet's labels for each class of `train.pocket`."""

RESEMBLES = 0.05
"""A sound in which a label of a class has this score or more may be one of the class."""

CLEAR = 0.15
"""A sound in which no label has this score is not told from silence or noise."""

N_STRANGERS = 900
"""At most so many are chosen, at random."""


def choose_strangers(
    sounds: ClipSet, heard: Path, label_names: Path, labels: Sequence[str]
) -> ClipSet:
    """Choose sounds that resemble none of the labels, one take of each source.

    Args:
        sounds: To choose from.
        heard: What the teacher hears in each source, a file of `train.hear_sources`.
        label_names: AudioSet's class_labels_indices.csv.
        labels: Of the network.

    Raises:
        UsageError: It is not known what a label means in AudioSet, or nothing is left.
        DatasetError: A file cannot be read.
    """
    unknown = [label for label in labels if label not in MEANS]
    if unknown:
        raise UsageError(
            f"--strangers: what {unknown[0]!r} is called in AudioSet is known of ESC-50's classes, "
            "speech and music alone; leave --strangers out"
        )
    scores = read_scores(heard)
    names = read_label_names(label_names)
    near = sorted({column for own in columns_of(names, tuple(labels), MEANS) for column in own})
    first: dict[str, int] = {}
    for row, clip in enumerate(sounds.clips):
        first.setdefault(clip.source, row)
    kept = [
        row for source, row in first.items()
        if source in scores
        and scores[source][near].max() < RESEMBLES
        and scores[source].max() >= CLEAR
    ]  # fmt: skip
    if not kept:
        raise UsageError(
            f"--strangers: {heard} names none of the {len(first)} sources, or each resembles a "
            "label; take the file that train.hear_sources made of the same sounds"
        )
    random = np.random.default_rng(0)
    return sounds.take(sorted(random.permutation(kept)[:N_STRANGERS].tolist()))


def read_scores(path: Path) -> dict[str, np.ndarray]:
    """AudioSet's scores ``(527,)`` of each source.

    Raises:
        DatasetError: The file is no file of `train.hear_sources`, or holds no scores.
    """
    sources, scores = read_heard(path)
    if scores is None:
        raise DatasetError(
            f"{path}: holds weights without scores; python -m train.hear_sources makes both"
        )
    return dict(zip(sources, scores.astype(np.float32), strict=True))
