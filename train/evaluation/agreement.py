"""How a network of AudioSet's labels agrees with its teacher, and the thresholds that follow.

Both have heard the same stretches of ten seconds: the teacher each as a whole, the network window
by window, of which the runtime's averages are taken. A label's peak is its highest average in a
stretch: an event begins where it reaches the threshold. An event is right where the teacher's score
of the whole stretch is at least `SAID`, and wrong where it is below `DENIED`; what lies between
decides nothing.

Clips of a labelled set may be added: there a label is right where it means the clip's class, wrong
where it means another, and all others decide nothing. A label of which clips decide has events of
two kinds: an event in a mixture has only `MIXTURES_COUNT` of the weight of one in a clip, because
there a teacher guesses, and here it is known what sounds.

Neither clips nor mixtures tell how often a syllable is taken for a sneeze. Speech and music tell,
as they are, hours of them: each label gets a floor, the lowest threshold that it reaches there at
most `FALSE_AN_HOUR` times an hour where it does not sound. No threshold lies below it.

A rare label has too few events to know from them how many are right. So each label is credited with
`PRIOR_EVENTS` more, as many of them right as of all labels at the same threshold (of the labelled
clips', if there are any: there it is known what sounds), where a label that is said often has no
more weight than `MOST` events of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Threshold, Thresholds
from train.audio.soundscapes import Scene

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

SAID, DENIED = 0.4, 0.15

N_AVERAGED = 6
"""Windows in the runtime's average: 3 s, a window every 0.5 s."""

FEWEST = 8
"""Stretches that the teacher must say a label of, for a figure of that label alone."""

PRIOR_EVENTS = 10
MOST = 30
GRID = np.round(np.arange(0.08, 0.96, 0.01), 2)
"""Thresholds that may be chosen."""

MIXTURES_COUNT = 0.03
"""Weight of an event in a mixture, of a label of which labelled clips decide.

Beside a class's 24 clips stand 3,584 mixtures. What a teacher denies of ten mixed seconds outweighs
what the clips say: coughs reach averages of 0.19 to 0.26, and a threshold of 0.35 was chosen for
them. With floors, hardly anything of the mixtures is needed (research/trunk.md).
"""

FALSE_AN_HOUR = 0.5
"""Stretches of an hour of speech and music in which a label may begin that does not sound there."""

PRECISION = 0.6
NAMED_PRECISION = 0.65
"""Parts of right events of the default thresholds: of labels of which labelled clips decide the
second."""
PRECISIONS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OFF_RATIO = 0.4
"""Threshold below which an event ends, as a part of the one at which it begins."""
MAX_GAP_S = 2.0
AFTER_S = 1.0
"""Seconds behind an event in which its averages are still high."""

N_WORST = 50


@dataclass(frozen=True, eq=False)
class Agreement:
    """What a network and its teacher said of the same stretches.

    Attributes:
        peaks: ``(stretches, labels)``: the network's highest averages.
        said: ``(stretches, labels)``: the teacher's scores of the whole.
        first: ``(stretches,)``: part of the windows of which both put the same label first.
    """

    peaks: Floats
    said: Floats
    first: Floats


def peaks_of(scores: Floats) -> Floats:
    """Highest averages: ``(stretches, windows, labels)`` -> ``(stretches, labels)``."""
    return averages_of(scores).max(axis=1)


def averages_of(scores: Floats) -> Floats:
    """The runtime's averages, behind each window: ``(stretches, windows, labels)``."""
    sums = np.cumsum(scores, axis=1, dtype=np.float64)
    means = np.empty_like(sums)
    for k in range(sums.shape[1]):
        before = sums[:, k - N_AVERAGED] if k >= N_AVERAGED else 0.0
        means[:, k] = (sums[:, k] - before) / min(k + 1, N_AVERAGED)
    return means


def hear_of_clips(
    peaks: Floats, targets: npt.NDArray[np.integer], columns: list[list[int]]
) -> Agreement:
    """What a network, and the names, say of clips of known classes.

    Args:
        peaks: ``(clips, labels)``: the network's highest averages.
        targets: ``(clips,)``: their classes.
        columns: The labels that mean each class.
    """
    said = np.full(peaks.shape, (SAID + DENIED) / 2, np.float32)
    said[:, [label for own in columns for label in own]] = 0
    for row, target in zip(said, targets, strict=True):
        row[columns[target]] = 1
    return Agreement(peaks, said, np.full(len(peaks), np.nan))


def hear_of_scenes(
    scores: Sequence[Floats],
    scenes: Sequence[Scene],
    columns: Mapping[str, Sequence[int]],
    *,
    hop_s: float,
    window_s: float,
) -> Agreement:
    """What a network, and the names, say of the events of soundscapes.

    An event's averages are those of windows whose middles lie in it, or up to `AFTER_S` behind it.
    They may still hold the event before: the labels that mean it decide nothing, nor do those of
    the next one.

    Args:
        scores: Of each scene, ``(windows, labels)``.
        scenes: The scenes.
        columns: The labels that mean each class.
        hop_s: Seconds between the windows.
        window_s: Their length.
    """
    meant = sorted({label for own in columns.values() for label in own})
    peaks, said = [], []
    for own, scene in zip(scores, scenes, strict=True):
        averages = averages_of(own[None])[0]
        middles = hop_s * np.arange(len(own)) + window_s / 2
        for k, event in enumerate(scene.events):
            onset, offset = event.onset / scene.sample_rate, event.offset / scene.sample_rate
            rows = np.flatnonzero((middles >= onset) & (middles <= offset + AFTER_S))
            if not rows.size:
                continue
            row = np.full(own.shape[1], (SAID + DENIED) / 2, np.float32)
            row[meant] = 0
            for near in scene.events[max(0, k - 1) : k + 2]:
                row[list(columns[near.label])] = (SAID + DENIED) / 2
            row[list(columns[event.label])] = 1
            peaks.append(averages[rows].max(axis=0).astype(np.float32))
            said.append(row)
    return Agreement(np.stack(peaks), np.stack(said), np.full(len(peaks), np.nan))


def hear_of_pieces(
    scores: Sequence[Floats],
    said: Sequence[Floats],
    *,
    hop_s: float,
    window_s: float,
    stretch_s: float,
) -> Agreement:
    """What a network and its teacher say of the stretches of longer pieces.

    A stretch's averages are those of windows whose middles lie in it. They still hold what was
    before, as in a stream.

    Args:
        scores: Of each piece, ``(windows, labels)``.
        said: Of each piece, ``(stretches, labels)``: the teacher's scores.
        hop_s: Seconds between the windows.
        window_s: Their length.
        stretch_s: The stretches' length.
    """
    peaks = []
    for own, parts in zip(scores, said, strict=True):
        averages = averages_of(own[None])[0]
        places = (hop_s * np.arange(len(own)) + window_s / 2) // stretch_s
        peaks += [averages[places == k].max(axis=0, initial=0) for k in range(len(parts))]
    n_stretches = len(peaks)
    return Agreement(
        np.stack(peaks).astype(np.float32), np.concatenate(said), np.full(n_stretches, np.nan)
    )


def join_agreements(parts: Sequence[Agreement]) -> Agreement:
    """Join what was said of several kinds of stretches."""
    kinds = zip(*((part.peaks, part.said, part.first) for part in parts), strict=True)
    return Agreement(*(np.concatenate(kind) for kind in kinds))


def choose_thresholds(
    heard: Agreement,
    labels: Sequence[str],
    never: Sequence[str],
    precision: float = PRECISION,
    clips: Agreement | None = None,
    named_precision: float | None = None,
    floors: Floats | None = None,
) -> Thresholds:
    """Choose the lowest thresholds at which enough of each label's events are right.

    Args:
        heard: What the network and its teacher said.
        labels: The labels.
        never: Labels that are never reported; they decide nothing.
        precision: Part of the events that should be right, 0..1.
        clips: What the network and the names say of labelled clips. Their events count, too; rare
            labels are credited with events like these alone; and an event of a label of which
            clips decide counts `MIXTURES_COUNT` in a mixture.
        named_precision: Of the labels of which clips decide (that of all).
        floors: ``(labels,)``: no threshold lies below these (`find_floors`).
    """
    silent = [label in never for label in labels]
    if clips is None:
        decided = np.zeros(len(labels), bool)
        prior = right, wrong, _ = _counts(heard, silent)
    else:
        decided = ((clips.said >= SAID) | (clips.said < DENIED)).any(axis=0)
        prior = _counts(clips, silent)
        right, wrong, _ = _counts(heard, silent)
        share = np.where(decided, MIXTURES_COUNT, 1.0)
        right, wrong = share * right + prior[0], share * wrong + prior[1]
    n_right, n_wrong = ((own * prior[2]).sum(axis=1) for own in prior[:2])
    # High thresholds are reached by next to nothing, and no less is right there.
    of_all = np.maximum.accumulate(n_right / np.maximum(n_right + n_wrong, 1e-9))
    credited = (right + PRIOR_EVENTS * of_all[:, None]) / (right + wrong + PRIOR_EVENTS)
    common = _lowest(of_all, precision)
    named = precision if named_precision is None else named_precision
    on = [
        _lowest(own, named if known else precision)
        for own, known in zip(credited.T, decided, strict=True)
    ]
    if floors is not None:
        on = [max(own, float(floor)) for own, floor in zip(on, floors, strict=True)]
    return Thresholds(
        on=common,
        off=round(common * OFF_RATIO, 3),
        max_gap=MAX_GAP_S,
        classes={
            label: Threshold(own, round(own * OFF_RATIO, 3))
            for label, own in zip(labels, on, strict=True)
            if own != common and label not in never
        },
        never=list(never),
    )


def find_floors(heard: Agreement, stretch_s: float) -> Floats:
    """Find the lowest thresholds that each label seldom reaches where it does not sound.

    Args:
        heard: What the network and its teacher said of stretches of speech and music.
        stretch_s: Their length in seconds.

    Returns:
        ``(labels,)``, of `GRID`: reached at most `FALSE_AN_HOUR` times an hour in stretches of
        which the teacher denies the label.
    """
    peaks = np.where(heard.said < DENIED, heard.peaks, 0.0)
    most = int(FALSE_AN_HOUR * len(peaks) * stretch_s / 3600)
    too_many = np.stack([(peaks >= on).sum(axis=0) > most for on in GRID])
    return GRID[np.minimum(too_many.sum(axis=0), len(GRID) - 1)]


def judge_thresholds(
    heard: Agreement, labels: Sequence[str], thresholds: Thresholds, stretch_s: float
) -> dict[str, float | int | None]:
    """Judge thresholds by what the teacher says of other stretches; each label counts once in each.

    Returns:
        ``precision`` (None without events) and ``recall``, and ``denied_per_hour``: events of
        labels that the teacher denies.
    """
    on = np.array([thresholds.of(label).on for label in labels])
    on[[label in thresholds.never for label in labels]] = np.inf
    found, said, denied = heard.peaks >= on, heard.said >= SAID, heard.said < DENIED
    wanted = said & np.isfinite(on)
    n_right, n_wrong = int((found & said).sum()), int((found & denied).sum())
    hours = len(heard.peaks) * stretch_s / 3600
    return {
        "precision": round(n_right / (n_right + n_wrong), 4) if n_right + n_wrong else None,
        "recall": round(n_right / max(1, int(wanted.sum())), 4),
        "denied_per_hour": round(n_wrong / hours, 1),
        "stretches": len(heard.peaks),
    }


def describe_labels(heard: Agreement, labels: Sequence[str]) -> dict[str, Any]:
    """How well the network ranks the stretches that the teacher says each label of.

    Returns:
        ``mAP``: mean over the labels that it says of `FEWEST` stretches or more, how many these are
        (``labels``), and the ``worst`` of them with average precision; ``first``: how often both
        put the same label first.
    """
    said = heard.said >= SAID
    judged = np.flatnonzero(said.sum(axis=0) >= FEWEST)
    each = {int(k): average_precision(heard.peaks[:, k], said[:, k]) for k in judged}
    worst = sorted(each, key=lambda k: each[k])[:N_WORST]
    return {
        "mAP": round(float(np.mean(list(each.values()))), 4) if each else None,
        "labels": len(each),
        "first": round(float(heard.first.mean()), 4),
        "stretches": len(heard.peaks),
        "worst": {labels[k]: round(each[k], 3) for k in worst},
    }


def average_precision(values: Floats, right: Flags) -> float:
    """Mean precision at each right one of a label's stretches, from the highest value down."""
    hits = right[np.argsort(-values, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def _counts(heard: Agreement, silent: Sequence[bool]) -> tuple[Floats, Floats, Floats]:
    """Right and wrong events at each threshold, ``(grid, labels)``, and each label's weight."""
    said, denied = heard.said >= SAID, heard.said < DENIED
    right = np.stack([((heard.peaks >= on) & said).sum(axis=0) for on in GRID])
    wrong = np.stack([((heard.peaks >= on) & denied).sum(axis=0) for on in GRID])
    weight = MOST / np.maximum(MOST, said.sum(axis=0))
    return right, wrong, np.where(silent, 0.0, weight)


def _lowest(reached: Floats, precision: float) -> float:
    """The lowest threshold at which the precision is reached, or else the highest of all."""
    enough = np.flatnonzero(reached >= precision)
    return float(GRID[enough[0] if enough.size else -1])
