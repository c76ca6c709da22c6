"""Counts of the sources in a set of sounds, by the AudioSet label that a teacher gives.

    python -m train.hear_sources PREPARED... --teacher mn04_as_mAP_432.pt --labels LABELS.csv -o NPZ

One take of each source is heard, repeated to five seconds; a longer one's loudest ten. The label
with the highest score is its label. A source of a common label is drawn less often in training
(`train.distil --weights`): by one over the square root of how many sources share its label. Several
sets are counted together.

A table of all labels is printed, rarest last: how many sources have it first, and in how many it is
heard with a score of `HEARD` or more, as a broader label often comes before the one that is meant.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr
import torch

from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.datasets.audioset import read_label_names
from train.datasets.prepared import FULL_SCALE, ClipSet, open_prepared
from train.datasets.progress import show_progress
from train.nets.efficientat import SAMPLE_RATE, open_efficientat

SHORT_S, LONG_S = 5.0, 10.0
SUREST = 0.1
"""A source whose highest score is lower counts as unclear."""

HEARD = 0.3
"""A label with this score or more is heard in a source, whatever label comes first."""

FEW = 5
"""A label that is heard in fewer sources than this is poor."""

MOST = 6.0
"""How much more often than the mean source any is drawn at most."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = Parser(prog="python -m train.hear_sources", description="Count sounds by what a "
                    "teacher hears in them.")  # fmt: skip
    option = parser.add_argument
    option("sounds", type=Path, nargs="+", metavar="PREPARED", help="prepared sounds")
    option("--teacher", type=Path, required=True, metavar="PT", help="mn04_as_mAP_432.pt")
    option("--labels", type=Path, required=True, metavar="CSV",
           help="AudioSet's class_labels_indices.csv")  # fmt: skip
    option("--threads", type=int, default=1, help="CPU threads (1)")
    option("--known", type=Path, metavar="NPZ", help="what was heard before: not heard again")
    option("-o", "--output", type=Path, required=True, metavar="NPZ", help="weights go there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    names = read_label_names(options.labels)
    sets = [open_prepared(folder) for folder in options.sounds]
    network, _ = open_efficientat(options.teacher)
    known = read_known(options.known)
    heard = [hear_each(clips, network, known) for clips in sets]
    sources = [source for names_of_set, _ in heard for source in names_of_set]
    scores = np.concatenate([rows for _, rows in heard])
    top = scores.argmax(axis=1)
    np.savez(
        options.output, source=np.array(sources), label=top,
        score=scores.max(axis=1).astype(np.float32),
        scores=scores.astype(np.float16), weight=weigh(top),
    )  # fmt: skip
    print(describe(names, scores))
    return 0


def describe(names: Sequence[str], scores: np.ndarray) -> str:
    """The table of labels, and how many there are, in lines.

    Args:
        names: Of the labels.
        scores: ``(sources, labels)``.
    """
    top, sure = scores.argmax(axis=1), scores.max(axis=1)
    clear = sure >= SUREST
    first = np.bincount(top[clear], minlength=len(names))
    heard = np.sum(scores >= HEARD, axis=0)
    lines = [f" first  {HEARD:g} or more"]
    for label in np.lexsort((-first, -heard)):
        lines.append(f"{first[label]:6d}  {heard[label]:11d}  {names[label]}")
    lines += [
        f"{len(scores)} sources, {int(clear.sum())} of them clear; {int((first > 0).sum())} of "
        f"{len(names)} labels come first in one or more, {int((first >= FEW).sum())} in {FEW} or "
        "more",
        f"heard with {HEARD:g} or more: {int((heard > 0).sum())} labels in one or more, "
        f"{int((heard >= FEW).sum())} in {FEW} or more",
    ]
    return "\n".join(lines)


def weigh(labels: np.ndarray) -> np.ndarray:
    """How often to draw each source, 1 on average."""
    counts = np.bincount(labels)[labels]
    weights = 1 / np.sqrt(counts)
    weights = np.minimum(weights / weights.mean(), MOST)
    return weights / weights.mean()


def read_known(path: Path | None) -> dict[str, np.ndarray]:
    """Scores of sources by name, of an earlier run; none where there was none."""
    if path is None:
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(zip(file["source"].tolist(), file["scores"], strict=True))


def hear_each(
    clips: ClipSet, network: torch.nn.Module, known: dict[str, np.ndarray]
) -> tuple[list[str], np.ndarray]:
    """Sources in the order of their first clips, and ``(sources, labels)`` scores."""
    first: dict[str, int] = {}
    for index, clip in enumerate(clips.clips):
        first.setdefault(clip.source, index)
    rows = []
    with torch.inference_mode(), show_progress("hearing", len(first), "sources") as update:
        for number, (source, index) in enumerate(first.items(), start=1):
            if source in known:
                rows.append(known[source].astype(np.float32))
                continue
            clip = clips.clips[index]
            sound = clips.samples[clip.offset : clip.offset + clip.n_samples]
            heard = _stretch(sound.astype(np.float32) / FULL_SCALE, clips.sample_rate)
            higher = soxr.resample(heard, clips.sample_rate, SAMPLE_RATE)
            rows.append(torch.sigmoid(network(torch.from_numpy(higher)[None])[1])[0].numpy())
            update(number)
    return list(first), np.stack(rows)


def _stretch(sound: np.ndarray, rate: int) -> np.ndarray:
    """Five seconds of a short sound, ten of a long one."""
    short, long = round(SHORT_S * rate), round(LONG_S * rate)
    if len(sound) < short:
        sound = np.tile(sound, -(-short // len(sound)))[:short]
    elif len(sound) > long:
        power = np.add.reduceat(np.square(sound), np.arange(0, len(sound), rate))
        n = long // rate
        best = int(np.convolve(power, np.ones(n), "valid").argmax()) if len(power) >= n else 0
        sound = sound[best * rate : best * rate + long]
    peak = max(float(np.abs(sound).max()), 1e-4)
    return sound * np.float32(0.3 / peak)


if __name__ == "__main__":
    sys.exit(main())
