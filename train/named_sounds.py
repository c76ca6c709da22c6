"""``python -m train.named_sounds MODEL --data ESC-50``: a model of AudioSet's labels, judged.

It has learned no class of ESC-50 or UrbanSound8K; their clips are named by the labels that mean the
classes (`train.datasets.audioset`). Four questions:

- How many clips are named? The highest mean of the windows' scores of a label that means a class.
- Are the clips found in soundscapes (`train.audio.soundscapes`)? Events that mean no class are
  counted apart.
- Are smoke alarms found in noise (`train.audio.alarm_patterns`)?
- Which thresholds serve best? The card's own, and those for other precisions.

``--output FIGURES.json`` writes the figures as a change of the card: ``python -m export.restate
MODEL FIGURES.json`` puts them into it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamclf.core.card import Card
from streamclf.core.errors import UsageError
from streamclf.core.records import Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.core.sureness import WORDS, find_sureness_limits, tell_sureness
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.engine import Engine
from train.audio.alarm_patterns import PATTERNS, PIECE_S, make_alarms
from train.audio.soundscapes import Scene, make_scenes
from train.base.arguments import Parser, numbers
from train.base.errors import TrainError
from train.base.exit_codes import exit_codes
from train.datasets import ClipSet, open_clips
from train.datasets.audioset import MEANS, columns_of
from train.datasets.progress import show_progress
from train.evaluation.event_metrics import Event, evaluate_events
from train.evaluation.listening import find_events, score
from train.evaluation.meanings import translate_events, translate_scores
from train.evaluation.metrics import interval_95
from train.evaluation.psds import Recording, measure_psds

SNR_DB = (0.0, 10.0, 20.0, 30.0)
ALARMS_SNR_DB = (-10.0, 0.0, 10.0, 20.0)

ALARMS = ("Smoke detector, smoke alarm", "Fire alarm")
LIKE_ALARMS = (*ALARMS, "Alarm", "Alarm clock", "Beep, bleep", "Buzzer", "Reversing beeps",
               "Car alarm", "Siren", "Civil defense siren")  # fmt: skip
"""What an alarm is called where it is not called a smoke alarm, and somebody would still go and
look."""


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parser().parse_args(arguments)
    for name in ("scenes", "alarms"):
        if getattr(options, name) < 0:
            raise UsageError(f"--{name} is {getattr(options, name)}, must be 0 or more")
    classifier = Classifier(Model(find_model(options.model), provider="cpu"))
    card = classifier.card
    if card.task != "multi-label" or ALARMS[0] not in card.labels:
        raise UsageError(f"{options.model}: has not AudioSet's labels; name a model of these")
    clips = open_clips(options.data, card.sample_rate, out=options.prepared)
    figures: dict[str, Any] = {}
    if clips.name not in MEANS:
        raise UsageError(f"--data: nothing says what the classes of {clips.name} mean")
    absent = sorted(set(options.folds) - set(clips.folds))
    if absent:
        raise UsageError(f"--folds: {clips.name} has no fold {absent[0]}")
    names = name_clips(classifier, clips.of_folds(options.folds))
    n_named = round(names["named"] * names["clips"])
    figures |= {
        "averaged_windows": names["named"],
        "clips": names["clips"],
        "interval_95": [round(end, 4) for end in interval_95(n_named, names["clips"])],
        "names": names,
    }
    if options.urbansound8k is not None:
        others = open_clips(options.urbansound8k, card.sample_rate, dataset="urbansound8k")
        figures["names_urbansound8k"] = name_clips(classifier, others)
    if options.scenes:
        scenes = list(make_scenes(clips.of_folds([options.scene_fold]), options.scenes,
                                  snr_db=SNR_DB))  # fmt: skip
        figures["soundscapes"] = judge_scenes(classifier, scenes, MEANS[clips.name])
        figures["soundscapes"]["fold"] = options.scene_fold
    if options.alarms:
        figures["alarms"] = judge_alarms(classifier, options.alarms)
    if options.output is not None:
        change = json.dumps({"accuracy": figures}, indent=1)
        try:
            options.output.write_text(change, encoding="utf-8")
        except OSError as error:
            raise TrainError(
                f"{options.output}: cannot be written: {error.strerror or error}"
            ) from error
    print(describe(figures))
    return 0


def name_clips(classifier: Classifier, clips: ClipSet) -> dict[str, Any]:
    """Parts of the clips that are named, of all and of each fold, and of each class."""
    means = MEANS[clips.name]
    columns = columns_of(classifier.card.labels, clips.labels, means)
    named = np.zeros(len(clips.clips), bool)
    with show_progress("naming", len(named), "clips") as update:
        for index, clip in enumerate(clips.clips):
            windows = score(classifier, clips.waveform(index))
            mean = np.mean([one.values for one in windows], axis=0)
            best = np.argmax([mean[own].max(initial=-1.0) for own in columns])
            named[index] = best == clip.target
            update(index + 1)
    folds = np.array([clip.fold for clip in clips.clips])
    targets = np.array([int(clip.target) for clip in clips.clips])
    return {
        "named": round(float(named.mean()), 4),
        "clips": len(named),
        "folds": {clips.fold_name(k): round(float(named[folds == k].mean()), 4)
                  for k in clips.folds},
        "classes": {label: round(float(named[targets == k].mean()), 3)
                    for k, label in enumerate(clips.labels) if (targets == k).any()},
        "protocol": "without training: the class of the label with the highest mean of the "
        "windows' scores, of labels that mean a class (train.datasets.audioset)",
    }  # fmt: skip


def judge_scenes(
    classifier: Classifier, scenes: Sequence[Scene], means: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Events of soundscapes by the card's thresholds, and by those for other precisions; PSDS1."""
    rate = classifier.card.sample_rate
    lengths = {scene.name: len(scene.waveform) / rate for scene in scenes}
    truth = [
        Event(scene.name, event.label, event.onset / rate, event.offset / rate)
        for scene in scenes
        for event in scene.events
    ]
    scores = {}
    with show_progress("listening", len(scenes), "scenes") as update:
        for number, scene in enumerate(scenes, start=1):
            scores[scene.name] = score(classifier, scene.waveform)
            update(number)
    result: dict[str, Any] = {}
    for name, settings in settings_by_precision(classifier.card):
        found = [
            event
            for source, own in scores.items()
            for event in find_events(classifier, own, source, settings)
        ]
        events, others = translate_events(found, means)
        judged = evaluate_events(truth, events, lengths)
        row = {
            "event_f1": judged["events"]["f1"],
            "event_precision": judged["events"]["precision"],
            "event_recall": judged["events"]["recall"],
            "segment_f1": judged["segments"]["f1"],
            "false_alarms_per_hour": judged["false_alarms_per_hour"],
            "other_labels_per_hour": round(others.total() / judged["hours"], 1),
            "other_labels": dict(others.most_common(8)),
        }
        if name == "default":
            result |= row | {"precisions": {}}
            result["event_f1_of_classes"] = {
                label: one["events"]["f1"] for label, one in judged["classes"].items()
            }
        else:
            result["precisions"][name] = {k: v for k, v in row.items() if k != "other_labels"}
    recordings = {
        name: _recording(own, classifier.card, means, lengths[name]) for name, own in scores.items()
    }
    psds = measure_psds(recordings, list(means), truth)
    return result | {
        "sureness": judge_sureness(classifier, scenes, scores, means),
        "psds1": psds["psds1"],
        "scenes": len(scenes),
        "protocol": "soundscapes of a minute, clips at known times over made noise at "
        f"{', '.join(f'{level:g}' for level in SNR_DB)} dB (train.audio.soundscapes); events of "
        "labels that mean a class, joined where they touch, as by sed_eval (onset within 1 s, "
        "offset within 1 s or half of the length); other_labels: events that mean no class; "
        "sureness: events by the word for their score, and how many are right: mean a class that "
        "sounds while they last",
    }


def judge_sureness(
    classifier: Classifier,
    scenes: Sequence[Scene],
    scores: Mapping[str, Sequence[Scores]],
    means: Mapping[str, tuple[str, ...]],
) -> dict[str, dict[str, int]]:
    """Count events by the words for how sure they are, and those that are right.

    Args:
        classifier: The model; its own thresholds count.
        scenes: The scenes.
        scores: What it says of each, by the scene's name.
        means: The labels that mean a class.
    """
    limits = find_sureness_limits(classifier.card)
    class_of = {label: name for name, labels in means.items() for label in labels}
    counts = {word: {"events": 0, "right": 0} for word in WORDS}
    for scene in scenes:
        for event in Engine(classifier, Settings()).judge(scores[scene.name]):
            if not isinstance(event, SoundEvent):
                continue
            word = tell_sureness(limits, event.label, event.score)
            if word is not None:
                counts[word]["events"] += 1
                counts[word]["right"] += any(
                    truth.label == class_of.get(event.label)
                    and truth.onset < event.offset
                    and truth.offset > event.onset
                    for truth in scene.events
                )
    return counts


def judge_alarms(classifier: Classifier, n_pieces: int) -> dict[str, Any]:
    """Alarms that are found in noise, by pattern and level, called smoke alarms or anything alike.

    Returns:
        ``smoke_alarm`` and ``any_alarm``: parts of the pieces in which such an event begins once
        the alarm sounds; ``before``: events of these labels in the noise before it, of all pieces.
    """
    rate, random = classifier.card.sample_rate, np.random.default_rng(11)
    result: dict[str, Any] = {"smoke_alarm": {}, "any_alarm": {}}
    before, called = 0, Counter[str]()
    for kind in PATTERNS:
        for snr_db in ALARMS_SNR_DB:
            named, alike = 0, 0
            for piece in make_alarms(random, kind, snr_db, n_pieces, rate):
                own = find_events(classifier, score(classifier, piece.waveform), "", Settings())
                heard = {event.label for event in own if event.offset > piece.onset_s}
                named += bool(heard.intersection(ALARMS))
                alike += bool(heard.intersection(LIKE_ALARMS))
                called.update(heard)
                before += sum(e.label in LIKE_ALARMS and e.offset <= piece.onset_s for e in own)
            for name, n in (("smoke_alarm", named), ("any_alarm", alike)):
                result[name].setdefault(kind, {})[f"{snr_db:g}"] = round(n / n_pieces, 3)
    return result | {
        "before": before,
        "called": dict(called.most_common(8)),
        "pieces": n_pieces,
        "protocol": f"alarms in {PIECE_S:g} s of made noise, by dB over it, {n_pieces} of each "
        "(train.audio.alarm_patterns), by the card's thresholds; any_alarm: also called "
        + ", ".join(LIKE_ALARMS[len(ALARMS) :]),
    }


def settings_by_precision(card: Card) -> Iterator[tuple[str, Settings]]:
    """The card's thresholds, and those for each precision, with their names."""
    yield "default", Settings()
    for name, thresholds in card.precisions.items():
        yield name, Settings(thresholds=thresholds)


def describe(figures: dict[str, Any]) -> str:
    """Describe the figures, in lines."""
    lines = []
    for name, title in (("names", "clips"), ("names_urbansound8k", "clips of UrbanSound8K")):
        if name in figures:
            row = figures[name]
            folds = ", ".join(f"{k}: {part:.1%}" for k, part in row["folds"].items())
            worst = sorted(row["classes"], key=lambda label: row["classes"][label])[:12]
            lines.append(f"{row['named']:.1%} of {row['clips']} {title} named (folds {folds})")
            lines.append("  worst: " + ", ".join(f"{k} {row['classes'][k]:.0%}" for k in worst))
    if "soundscapes" in figures:
        row = figures["soundscapes"]
        for name, one in {"default": row, **row["precisions"]}.items():
            lines.append(
                f"soundscapes, {name}: event F1 {one['event_f1']}, precision "
                f"{one['event_precision']}, recall {one['event_recall']}, segment F1 "
                f"{one['segment_f1']}, {one['false_alarms_per_hour']:g} false alarms an hour, "
                f"{one['other_labels_per_hour']:g} events of other labels an hour"
            )
        lines += [
            f"  {word}: {one['right']} of {one['events']} events right"
            for word, one in row["sureness"].items()
        ]
        lines.append(f"  PSDS1 {row['psds1']:.3f}; other labels: {row['other_labels']}")
    if "alarms" in figures:
        row = figures["alarms"]
        for name in ("smoke_alarm", "any_alarm"):
            for kind, levels in row[name].items():
                parts = ", ".join(f"{part:.0%} at {db} dB" for db, part in levels.items())
                lines.append(f"{name.replace('_', ' ')}, {kind}: {parts}")
        lines.append(f"  before the alarm: {row['before']}; called {row['called']}")
    return "\n".join(lines)


def _recording(
    scores: list[Scores], card: Card, means: Mapping[str, tuple[str, ...]], length_s: float
) -> Recording:
    """Scores of the classes; each stands for the time around its window's middle."""
    starts = np.array([one.position for one in scores]) / card.sample_rate
    middles = starts + card.window_s / 2
    edges = np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2,
                            [max(length_s, middles[-1])]])  # fmt: skip
    values = np.stack([one.values for one in scores])
    return Recording(edges, translate_scores(values, card.labels, means), length_s)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m train.named_sounds",
        description="Judge a model of AudioSet's labels on sets that it has not learned from.",
    )
    add = parser.add_argument
    add("model", help="a model file, or a bundled model's name")
    add("--data", type=Path, required=True, metavar="DIR", help="ESC-50's folder")
    add("--prepared", type=Path, help="where its prepared clips go")
    add("--folds", type=numbers(int), default=[1, 2, 3, 4], help="of the clips to name (1,2,3,4)")
    add("--urbansound8k", type=Path, metavar="DIR", help="name its clips, too")
    add("--scenes", type=int, default=40, metavar="N", help="soundscapes of a minute (40)")
    add("--scene-fold", type=int, default=4, metavar="N", help="fold of their clips (4)")
    add("--alarms", type=int, default=12, metavar="N", help="alarms in noise of each kind at each "
        "level (12)")  # fmt: skip
    add("-o", "--output", type=Path, metavar="FIGURES.json", help="a change of the card, for "
        "python -m export.restate")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
