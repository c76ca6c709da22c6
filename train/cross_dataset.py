"""``python -m train.cross_dataset MODEL --data DIR --same A=B``: a model on other data, and noise.

A held-out fold was recorded, cut and chosen like the folds that a model learned from, and layers
from earlier runs may have been trained on it. Clips of another data set are independent. This
command measures how many of them a model file recognises, of classes that both have, at several
levels, by the pipeline of `streamclf file` and the thresholds in its card. ``--noises`` counts what
it finds in made noise, ``--tones`` in steady tones, sweeps and steps, where there is nothing to
find.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import UsageError
from streamclf.core.records import Average, Block, SoundEvent
from streamclf.core.settings import Settings
from streamclf.core.stats import Statistics
from streamclf.core.unknown import skip_silence
from streamclf.model.classifier import Classifier, classify
from streamclf.model.model_file import Model, find_model
from streamclf.model.scorer import open_stream
from streamclf.pipeline.average import average
from streamclf.pipeline.events import Timing, detect
from streamclf.pipeline.short_audio import weigh_short
from streamclf.pipeline.windows import slide
from train.audio.noise import at_level, make_noise
from train.audio.tones import KINDS, make_tone
from train.base.arguments import Parser
from train.base.exit_codes import exit_codes
from train.datasets import DATASET_NAMES, ClipSet, open_clips
from train.evaluation.metrics import interval_95
from train.levels import change_level, check_levels

LEVELS_DB = (0.0, -10.0, -20.0, -30.0, -40.0)
NOISE_S = 20.0
NOISE_DB = (-50.0, -12.0)
"""Level of a made noise in dB of full scale, from and to."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = _parser().parse_args(arguments)
    if (options.data is None) != (options.same is None):
        raise UsageError("--data and --same belong together: --same THEIRS=OURS names the classes")
    if options.data is None and not options.noises and not options.tones:
        raise UsageError("nothing to hear: give --data and --same, --noises N, --tones N, or all")
    check_levels(options.levels)
    for option in ("noises", "tones"):
        if getattr(options, option) < 0:
            raise UsageError(f"--{option} is {getattr(options, option)}, must be 0 or more")
    classifier = Classifier(Model(find_model(options.model)))
    card = classifier.card
    if card.task == "regression":
        raise UsageError(f"{options.model}: gives a value, not names; there is nothing to compare")
    result: dict[str, Any] = {"model": card.name, "version": card.version}
    if options.data is not None:
        clips = open_clips(
            options.data, card.sample_rate, dataset=options.dataset, out=options.prepared
        )
        known = select_known(clips, dict(options.same), card.labels)
        result |= {"data": clips.name, "clips": len(known.clips), "levels": {}}
        for level in options.levels:
            result["levels"][f"{level:g}"] = measure(classifier, change_level(known, level))
    if options.noises:
        result["noise"] = count_detections(classifier, options.noises, options.seed)
    if options.tones:
        result["tones"] = {
            kind: count_detections(classifier, options.tones, options.seed, kind) for kind in KINDS
        }
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print_result(result)
    return 0


def select_known(clips: ClipSet, same: dict[str, str], labels: Sequence[str]) -> ClipSet:
    """The clips of classes that the model has as well, with the model's classes as targets.

    Args:
        clips: Clips of another data set.
        same: The model's label for each label of the data set that it has.
        labels: The model's labels.

    Raises:
        UsageError: One of the labels does not exist.
    """
    for theirs, ours in same.items():
        for name, known, owner in (
            (theirs, clips.labels, clips.name),
            (ours, labels, "the model"),
        ):
            if name not in known:
                raise UsageError(
                    f"--same {theirs}={ours}: {owner} has no {name!r}, it has {', '.join(known)}"
                )
    taken = clips.take(
        [k for k, clip in enumerate(clips.clips) if clips.labels[int(clip.target)] in same]
    )
    moved = tuple(
        replace(clip, target=labels.index(same[clips.labels[int(clip.target)]]))
        for clip in taken.clips
    )
    return replace(taken, clips=moved, labels=tuple(labels))


def measure(classifier: Classifier, clips: ClipSet) -> dict[str, float]:
    """Parts of the clips that are named, found as an event, and called something else.

    ``named`` counts clips whose own class has the highest averaged score; ``found`` clips with an
    event of their class; ``false`` clips with an event of another class.

    Args:
        classifier: The model, ready to score.
        clips: Clips with the model's classes as targets.
    """
    named, found, false = 0, 0, 0
    for index, clip in enumerate(clips.clips):
        label = classifier.card.labels[int(clip.target)]
        best, events = classify_clip(classifier, clips.waveform(index))
        named += best == label
        found += label in events
        false += bool(events - {label})
    n_clips = max(len(clips.clips), 1)
    counts = {"named": named, "found": found, "false": false}
    return {name: round(count / n_clips, 4) for name, count in counts.items()}


def classify_clip(
    classifier: Classifier, waveform: npt.NDArray[np.float32]
) -> tuple[str, set[str]]:
    """Find the class of the highest averaged score, and the classes of all events.

    The stages are those of `streamclf.pipeline.engine.Engine`; the audio is already mono and at the
    model's sample rate.

    Args:
        classifier: The model, ready to score.
        waveform: ``(samples,)`` float32 in [-1, 1].
    """
    card, settings = classifier.card, Settings()
    rate, thresholds = card.sample_rate, card.thresholds
    timing = Timing(
        window=card.window_samples,
        hop=round(settings.hop_s * rate),
        average=round(settings.average_s * rate),
        min_duration=round(thresholds.min_duration * rate),
        max_gap=round(thresholds.max_gap * rate),
    )
    score = open_stream(classifier)
    if card.unknown:
        score = skip_silence(score, len(card.labels))
    block = Block(0, waveform[np.newaxis], rate)
    windows = slide([block], timing.window, timing.hop, fill=card.fill)
    scores = classify(windows, score, classifier.batch_size(timing.hop))
    scores = weigh_short(scores, card, Statistics(rate))
    temperature = card.temperature if card.activation == "softmax" else 1.0
    averages = average(scores, timing.average, settings.average_kind, temperature)
    best, highest, events = "", -1.0, set()
    for result in detect(averages, card.labels, thresholds, timing):
        if isinstance(result, SoundEvent):
            events.add(result.label)
        elif isinstance(result, Average) and result.values.max() > highest:
            best, highest = card.labels[result.values.argmax()], result.values.max()
    return best, events


def count_detections(
    classifier: Classifier, n_sounds: int, seed: int, kind: str = "noise"
) -> dict[str, Any]:
    """Count the made noises, or tones of a kind, in which anything is found."""
    random, rate = np.random.default_rng(seed), classifier.card.sample_rate
    n_samples = round(NOISE_S * rate)
    found = []
    for _ in range(n_sounds):
        if kind == "noise":
            sound = make_noise(random, n_samples, rate)
        else:
            sound = make_tone(random, n_samples, rate, kind)
        found.append(classify_clip(classifier, at_level(sound, random.uniform(*NOISE_DB)))[1])
    labels = Counter(label for events in found for label in events)
    return {
        "noises" if kind == "noise" else "tones": n_sounds,
        "seconds": NOISE_S,
        "with_events": sum(map(bool, found)),
        "labels": dict(labels.most_common()),
    }


def print_result(result: dict[str, Any]) -> None:
    """Print lines for people, on standard output."""
    if "levels" in result:
        n_clips = result["clips"]
        print(f"{result['model']} {result['version']}, {n_clips} clips of {result['data']}:")
        for level, row in result["levels"].items():
            low, high = interval_95(round(row["named"] * n_clips), n_clips)
            print(
                f"{level:>4} dB: {row['named']:.1%} named ({low:.1%} to {high:.1%}), "
                f"{row['found']:.1%} found as events, {row['false']:.1%} with a false event"
            )
    if "noise" in result:
        _print_found(result["noise"], result["noise"]["noises"], "made noises")
    for kind, found in result.get("tones", {}).items():
        _print_found(found, found["tones"], f"made tones ({kind})")


def _print_found(found: dict[str, Any], n_sounds: int, what: str) -> None:
    called = ", ".join(f"{label} {n}" for label, n in found["labels"].items()) or "nothing"
    print(
        f"{found['with_events']} of {n_sounds} {what} of {found['seconds']:g} s have events: "
        f"{called}"
    )


def _parser() -> Parser:
    parser = Parser(
        prog="python -m train.cross_dataset",
        description="Measure a model file on clips of another data set, and on noise.",
    )
    add = parser.add_argument
    add("model", help="a model file, or a bundled model's name")
    add("--data", type=Path, metavar="DIR", help="a data set that it has not learned from")
    add("--dataset", choices=DATASET_NAMES, default=DATASET_NAMES[0], help="what lies in DIR")
    add("--prepared", type=Path, help="where its prepared clips go")
    add("--same", type=_pair, nargs="+", metavar="THEIRS=OURS",
        help="classes that both have, by the data's label and the model's")  # fmt: skip
    add("--levels", type=float, nargs="+", default=LEVELS_DB, metavar="DB",
        help="dB that are added to the clips, none above 0 (0 -10 -20 -30 -40)")  # fmt: skip
    add("--noises", type=int, default=0, metavar="N", help=f"made noises of {NOISE_S:g} s (0)")
    add("--tones", type=int, default=0, metavar="N",
        help=f"made tones of {NOISE_S:g} s of each kind: {', '.join(KINDS)} (0)")  # fmt: skip
    add("--seed", type=int, default=77, help="of noises and tones (77)")
    add("--json", action="store_true", help="JSON instead of lines")
    return parser


def _pair(text: str) -> tuple[str, str]:
    theirs, between, ours = text.partition("=")
    if not (theirs and between and ours):
        raise argparse.ArgumentTypeError(f"{text!r} must be THEIRS=OURS, as in dog_bark=dog")
    return theirs, ours


if __name__ == "__main__":
    sys.exit(main())
