"""``python -m train.unknown RUN``: does a score tell known sounds from unknown ones and noise?

A network gives a name to every sound, even to one that it never learned. A score of familiarity
should be low there. Several scores are compared, each of averages over 3 s as the user sees them:

- ``highest``: the highest averaged score;
- ``entropy``: minus the entropy of the averaged scores, in nats;
- ``energy``: the logarithm of the sum of the logits' exponentials, averaged (Liu et al., "Energy-
  based Out-of-distribution Detection", NeurIPS 2020);
- ``logit``: the highest logit, averaged (Hendrycks et al., "Scaling Out-of-Distribution Detection
  for Real-World Settings", ICML 2022).

Known sounds are the held-out fold's clips of classes that were trained on. Unknown ones are made
noises and tones (`train.audio.noise`, `train.audio.tones`), the held-out fold's clips of classes
that the run was trained without (``--leave-out`` of the training command), and clips of another
data set's classes (``--unknown``).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import UsageError
from train.audio.noise import at_level, make_noise
from train.audio.tones import KINDS, make_tone
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.datasets import DATASET_NAMES, ClipSet, open_clips
from train.datasets.prepared import FULL_SCALE, Clip
from train.evaluate import reopen_data
from train.evaluation.metrics import area_under_curve
from train.nets.inference import HOP_S, WindowLogits, run_windows
from train.run_folder.load_network import load_network, open_held_out
from train.run_folder.resume import recorded_options
from train.run_folder.run import RunFolder

AVERAGE_S = 3.0
NOISE_S = 5.0
NOISE_DB = (-70.0, -10.0)
"""Level of a made noise in dB of full scale, from and to."""

SCORES = ("highest", "entropy", "energy", "logit")
UNKNOWN_FILE = "unknown.json"
KEPT = 0.95
"""Part of the known clips that the threshold keeps."""


@dataclass(frozen=True)
class Familiarity:
    """Familiarity of each clip by each score: the highest of its averages.

    Attributes:
        scores: ``(clips,)`` for each score.
        clips: Number of clips.
    """

    scores: dict[str, npt.NDArray[np.float64]]
    clips: int


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.noises < 1:
        raise UsageError(f"--noises is {options.noises}, must be 1 or more")
    if options.classes and options.unknown is None:
        raise UsageError("--classes are those of the data that --unknown names: give it")
    result = measure_run(options.run, options)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print_result(result)
    RunFolder.open(options.run).write_json(UNKNOWN_FILE, describe(result))
    return 0


def describe(result: dict[str, Any]) -> dict[str, Any]:
    """The entries for a model card, of the highest averaged score."""
    own = result["scores"]["highest"]
    return {
        "area_under_curve": {
            kind: figures["area_under_curve"] for kind, figures in own.items()
            if kind != "threshold"
        },
        "rejected": {
            kind: figures["rejected"] for kind, figures in own.items() if kind != "threshold"
        },
        "known_clips": result["known"],
        "protocol": (
            "highest average over 3 s of a clip, of held-out clips of known classes against made "
            "noise and tones (steady, sweeps, steps), classes left out of training, and other "
            "data's classes; rejected: below what known_kept of the known clips reach (the card's "
            "own threshold is what known_kept of all their averages reach)"
        ),
    }  # fmt: skip


def measure_run(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the area under the curve of each score against each kind of unknown sound.

    Raises:
        RunError: The run cannot be read, or held no classes' clips out.
        UsageError: ``--unknown`` holds no clips of classes that the run does not know.
        DatasetError: It cannot be opened.
    """
    run, config, outputs = open_held_out(path)
    system, network = load_network(run, config)
    rate = system.sample_rate
    # Data that does not fit is told of before noises are made, which takes seconds.
    sounds: dict[str, ClipSet] = {}
    left_out = recorded_options(config).get("leave_out")
    if left_out:
        fold = config["data"]["test_fold"]
        clips = reopen_data(
            run, system, config, data=options.data, prepared=options.prepared, whole=True
        ).of_folds([fold])
        sounds["left out"] = select_unknown(clips, config["labels"], left_out)
    if options.unknown is not None:
        others = open_clips(options.unknown, rate, dataset=options.dataset)
        sounds["other data"] = select_unknown(others, config["labels"], options.classes)
    unknown = {
        "noise": make_noises(options.noises, rate),
        "tones": make_tones(options.noises, rate),
        **sounds,
    }
    known = measure_familiarity(outputs)
    result: dict[str, Any] = {"known": known.clips, "scores": {}}
    others_known = {
        kind: measure_familiarity(
            run_windows(network, clips, system.window_samples, fill=system.fill)
        )
        for kind, clips in unknown.items()
    }
    for name in SCORES:
        threshold = float(np.quantile(known.scores[name], 1 - KEPT))
        result["scores"][name] = {
            "threshold": round(threshold, 4),
            **{
                kind: {
                    "clips": other.clips,
                    "area_under_curve": _area(known.scores[name], other.scores[name]),
                    "rejected": round(float((other.scores[name] < threshold).mean()), 4),
                }
                for kind, other in others_known.items()
            },
        }
    return result


def measure_familiarity(outputs: WindowLogits) -> Familiarity:
    """Compute the scores of clips, each at the highest average, as an event would have it."""
    logits = outputs.logits.astype(np.float64)
    peak = logits.max(axis=1, keepdims=True)
    energy = peak[:, 0] + np.log(np.exp(logits - peak).sum(axis=1))
    scores = outputs.scores()
    rows: dict[str, list[float]] = {name: [] for name in SCORES}
    for clip in range(len(outputs.targets)):
        own = np.flatnonzero(outputs.clip == clip)
        average = _average(scores[own])
        rows["highest"].append(float(average.max()))
        entropy = -(average * np.log(np.maximum(average, 1e-12))).sum(axis=1)
        rows["entropy"].append(float(-entropy.min()))
        rows["energy"].append(float(_average(energy[own, None]).max()))
        rows["logit"].append(float(_average(peak[own]).max()))
    return Familiarity(
        {name: np.array(values) for name, values in rows.items()}, len(outputs.targets)
    )


def make_noises(n: int, sample_rate: int) -> ClipSet:
    """Make noises of many levels, as clips."""
    random = np.random.default_rng(1)  # not the noises that training draws
    n_samples = round(NOISE_S * sample_rate)
    levels = random.uniform(*NOISE_DB, n)
    sounds = [at_level(make_noise(random, n_samples, sample_rate), level) for level in levels]
    return _as_clips(sounds, sample_rate, "noise")


def make_tones(n: int, sample_rate: int) -> ClipSet:
    """Make tones of many levels, as clips: steady ones, sweeps and steps in turn."""
    random = np.random.default_rng(1)
    n_samples = round(NOISE_S * sample_rate)
    levels = random.uniform(*NOISE_DB, n)
    sounds = [
        at_level(make_tone(random, n_samples, sample_rate, KINDS[k % len(KINDS)]), level)
        for k, level in enumerate(levels)
    ]
    return _as_clips(sounds, sample_rate, "tone")


def _as_clips(sounds: list[npt.NDArray[np.float64]], sample_rate: int, name: str) -> ClipSet:
    samples = np.clip(np.stack(sounds) * FULL_SCALE, -FULL_SCALE, FULL_SCALE - 1)
    n_samples = samples.shape[1]
    clips = tuple(
        Clip(f"{name}-{k}", 1, 0, f"{name}-{k}", k * n_samples, n_samples)
        for k in range(len(sounds))
    )
    return ClipSet(
        name=name, sample_rate=sample_rate, labels=(name,), clips=clips,
        samples=np.rint(samples).astype(np.int16).ravel(), licence="", citation="", origin="made",
    )  # fmt: skip


def select_unknown(clips: ClipSet, known: list[str], labels: list[str] | None) -> ClipSet:
    """The clips whose class the network does not know.

    Args:
        clips: Clips of a data set.
        known: The network's labels.
        labels: Labels to select; all unknown ones if not given.

    Raises:
        UsageError: There are none, or a label is known to the network or not in the data.
    """
    wanted = labels or [label for label in clips.labels if label not in known]
    for label in wanted:
        if label not in clips.labels:
            raise UsageError(f"--classes: {clips.name} has no {label!r}")
        if label in known:
            raise UsageError(f"--classes: the run was trained on {label!r}, it is not unknown")
    kept = [k for k, clip in enumerate(clips.clips) if clips.labels[int(clip.target)] in wanted]
    if not kept:
        raise UsageError(
            f"--unknown: the run knows every class of {clips.name}; give data with others, or a "
            "run that was trained without some"
        )
    taken = clips.take(kept)
    return replace(taken, clips=tuple(replace(clip, target=0) for clip in taken.clips))


def _average(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means over `AVERAGE_S`, ``(averages, ...)``; over all windows where there are fewer."""
    n_windows = min(len(values), max(1, round(AVERAGE_S / HOP_S)))
    sums = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0)
    return (sums[n_windows:] - sums[:-n_windows]) / n_windows


def _area(known: npt.NDArray[np.float64], unknown: npt.NDArray[np.float64]) -> float | None:
    positive = np.arange(len(known) + len(unknown)) < len(known)
    area = area_under_curve(np.concatenate([known, unknown]), positive)
    return None if area is None else round(area, 4)


def print_result(result: dict[str, Any]) -> None:
    """Print the table for people, on standard output."""
    from rich.console import Console
    from rich.table import Table

    kinds = [name for name in result["scores"][SCORES[0]] if name != "threshold"]
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    table.add_column(f"threshold ({KEPT:.0%} known kept)", justify="right")
    for kind in kinds:
        n_clips = result["scores"][SCORES[0]][kind]["clips"]
        table.add_column(f"AUROC, {kind} ({n_clips})", justify="right")
        table.add_column("rejected", justify="right")
    for name, row in result["scores"].items():
        cells = [f"{row['threshold']:.3f}"]
        for kind in kinds:
            cells += [f"{row[kind]['area_under_curve']:.3f}", f"{row[kind]['rejected']:.1%}"]
        table.add_row(name, *cells)
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = 160
    console.print(table, highlight=False)
    print(f"known: {result['known']} held-out clips", file=sys.stderr)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m train.unknown",
        description="Measure how well scores tell known sounds from unknown ones and noise.",
    )
    add = parser.add_argument
    add("run", type=Path, help="the run folder")
    add("--unknown", type=Path, metavar="DIR", help="a data set with classes that the run does not "
        "know")  # fmt: skip
    add("--dataset", choices=DATASET_NAMES, default=DATASET_NAMES[0], help="what lies in DIR")
    add("--classes", nargs="+", metavar="LABEL", help="which of its classes (all unknown ones)")
    add("--data", type=Path, help="the run's data set (where it was when the run was trained)")
    add("--prepared", type=Path, help="where its prepared clips go")
    add("--noises", type=int, default=200, metavar="N", help="made noises, and as many tones (200)")
    add("--json", action="store_true", help="JSON instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
