"""False events an hour, in quiet, noise, recordings of one kind, and soundscapes.

    python -m benchmarks.false_alarms speech=SPEECH music=MUSIC [--model M] [--hours 2]

Quiet and noise are made (`train.audio.noise`), at -75 to -55 and -50 to -12 dB of full scale, in
pieces of twenty seconds. ``LABEL=FOLDER``, or ``LABEL:NAME=FOLDER``, are recordings whose events of
that label, and of labels that its card calls narrower or broader, are right, and all others false;
``LABEL+LABEL=FOLDER`` names several. Recordings shorter than a minute are joined, with a
second of faint noise in between. ``--busy ESC-50`` adds soundscapes full of sounds
(`benchmarks.begins`), where an event is false if its label does not sound at all while it lasts.
``--stand-in`` names a model file of the same recipe that was not trained on their fold. Each
recording is scored once; all thresholds are applied to the same scores.

``--write`` puts the figures into the model's card, where `streamclf info` shows them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.begins import RATE as SCENE_RATE
from benchmarks.begins import (
    ReportedEvents,
    collect_events,
    draw_scenes,
    score_windows,
    true_events,
)
from streamclf import ArraySource, Average, Classifier, Engine, Model, Settings, find_model
from streamclf.core.card import METADATA_KEY, Card, format_card, parse_card
from streamclf.core.errors import StreamclfError
from streamclf.core.records import Block, Scores, SoundEvent
from streamclf.core.thresholds import ThresholdOptions, choose_thresholds
from streamclf.pipeline.evidence import RULES
from streamclf.pipeline.mixdown import mix_down
from streamclf.pipeline.resample import resample
from streamclf.sources.recording.find_recordings import find_recordings
from streamclf.sources.recording.recording import Recording
from train.audio.noise import at_level, make_noise
from train.evaluation.event_metrics import evaluate_events

Waveform = npt.NDArray[np.float32]

PIECE_S = 20.0
JOINED_S = 60.0
PAUSE_S = 1.0
FAINT_DB = -65.0
PROTOCOL = (
    "events an hour of what does not sound: in made quiet (-75 to -55 dB) and noise (-50 to -12 "
    "dB), recordings of speech and of music that no threshold was chosen by (events of these names "
    "are right there), and soundscapes of a held-out fold's clips; by the card's thresholds, and "
    "by those for other parts of the events that should be right"
)


@dataclass
class ScoredRecordings:
    """Scores of the recordings of one kind.

    Attributes:
        seconds: Length of the audio.
        scores: Scores of each recording's windows.
    """

    seconds: float = 0.0
    scores: list[list[Scores]] = field(default_factory=list)


def main() -> None:
    options = _parser().parse_args()
    scorer = Classifier(Model(find_model(options.model), provider="cpu"))
    rate, kinds = scorer.card.sample_rate, {}
    random = np.random.default_rng(options.seed)
    made = {"quiet": (-75.0, -55.0), "noise": (-50.0, -12.0)}
    sources: dict[str, Iterator[Waveform]] = {
        name: make_pieces(random, options.hours, rate, *levels) for name, levels in made.items()
    }
    labels = dict.fromkeys(sources, "")
    for named in options.kinds:
        kind, _, folder = named.partition("=")
        label, _, name = kind.partition(":")
        kind = name or label
        labels[kind] = label
        sources[kind] = join_short(read_recordings(folder, rate), random, rate)
    for kind, waveforms in sources.items():
        kinds[kind] = score_recordings(scorer, waveforms, options.hop, options.hours)
        if not kinds[kind].seconds:
            raise SystemExit(f"{kind}: no recordings were found; name a folder that holds some")
    print(f"{options.model}, a window every {options.hop:g} s; false events an hour")
    figures: dict[str, dict[str, float]] = {}
    for kind, recordings in kinds.items():
        for settings, name in settings_to_compare(scorer.card, options):
            right = related_labels(scorer.card, labels[kind].split("+"))
            found = report(kind, right, name, recordings, Engine(scorer, settings))
            if settings.begin == "sure":
                figures.setdefault(kind, {})[name] = round(found, 1)
    if options.busy:
        figures["busy scenes"] = report_busy(options)
    if options.write:
        write_figures(find_model(options.model), figures)


def settings_to_compare(card: Card, options: argparse.Namespace) -> Iterator[tuple[Settings, str]]:
    """The settings to compare, each with the name of its thresholds."""
    chosen = {"default": card.thresholds}
    for precision in options.target_precision:
        chosen[f"{precision:g}"] = choose_thresholds(
            card, ThresholdOptions(target_precision=precision)
        )
    for name, thresholds in chosen.items():
        for begin in ("patient", *RULES):
            yield Settings(options.hop, thresholds=thresholds, begin=begin), name


def make_pieces(
    random: np.random.Generator, hours: float, rate: int, lowest_db: float, highest_db: float
) -> Iterator[Waveform]:
    """Made noises of `PIECE_S`, ``hours`` in total."""
    for _ in range(round(hours * 3600 / PIECE_S)):
        noise = make_noise(random, round(PIECE_S * rate), rate)
        yield at_level(noise, random.uniform(lowest_db, highest_db)).astype(np.float32)


def read_recordings(folder: str, rate: int) -> Iterator[Waveform]:
    """Each recording below a folder, mixed down, at a sample rate; broken ones are passed over."""
    paths = find_recordings([folder]).paths
    for path in paths:
        try:
            with Recording(path) as recording:
                items = resample(mix_down(recording.blocks(rate), None), rate)
                parts = [item.waveform[0] for item in items if isinstance(item, Block)]
        except StreamclfError as error:
            print(f"passed over: {error}")
            continue
        if parts:
            yield np.concatenate(parts)


def join_short(
    waveforms: Iterator[Waveform], random: np.random.Generator, rate: int
) -> Iterator[Waveform]:
    """Short recordings joined one behind the other, as a microphone would get them."""
    joined: list[Waveform] = []
    for waveform in waveforms:
        pause = at_level(make_noise(random, round(PAUSE_S * rate), rate), FAINT_DB)
        joined += [waveform, pause.astype(np.float32)]
        if sum(map(len, joined)) >= JOINED_S * rate:
            yield np.concatenate(joined)
            joined = []
    if joined:
        yield np.concatenate(joined)


def score_recordings(
    scorer: Classifier, waveforms: Iterator[Waveform], hop_s: float, hours: float
) -> ScoredRecordings:
    """Score all windows of the recordings, up to ``hours``."""
    recordings, rate = ScoredRecordings(), scorer.card.sample_rate
    for waveform in waveforms:
        results = Engine(scorer, Settings(hop_s)).run(ArraySource(waveform, rate))
        recordings.scores.append([r.scores for r in results if isinstance(r, Average)])
        recordings.seconds += len(waveform) / rate
        if recordings.seconds >= hours * 3600:
            break
    return recordings


def related_labels(card: Card, labels: list[str]) -> set[str]:
    """The labels, all that are broader than one of them, and all that are narrower."""
    broader = card.all_broader()
    related = set(labels)
    for label in labels:
        related |= broader.get(label, frozenset())
        related |= {other for other, above in broader.items() if label in above}
    return related


def report(
    kind: str, right: set[str], name: str, recordings: ScoredRecordings, engine: Engine
) -> float:
    """Print a line with false events an hour and their labels; return the former."""
    labels: Counter[str] = Counter()
    n_right = 0
    for scores in recordings.scores:
        for result in engine.judge(scores):
            if isinstance(result, SoundEvent):
                n_right += result.label in right
                labels.update([result.label] * (result.label not in right))
    hours = recordings.seconds / 3600
    often = ", ".join(f"{label} {n}" for label, n in labels.most_common(6))
    print(
        f"{kind:<16} {name:<8} {engine.settings.begin:<8} "
        f"{labels.total() / hours:>7.1f} (in {hours:.2f} h; {n_right / hours:.0f} right) {often}",
        flush=True,
    )
    return labels.total() / hours


def report_busy(options: argparse.Namespace) -> dict[str, float]:
    """Print lines for soundscapes; return false events an hour by thresholds."""
    scorer = Classifier(Model(find_model(options.stand_in or options.model), provider="cpu"))
    scenes = list(draw_scenes(options.busy, options.fold, 40, prepared=options.prepared))
    recordings = [score_windows(Engine(scorer, Settings(options.hop)), scene) for scene in scenes]
    lengths = {str(n): len(scene.waveform) / SCENE_RATE for n, scene in enumerate(scenes)}
    truth = true_events(scenes)
    figures = {}
    for settings, name in settings_to_compare(scorer.card, options):
        reported = ReportedEvents()
        for number, scores in enumerate(recordings):
            collect_events(Engine(scorer, settings), str(number), scores, reported)
        judged = evaluate_events(truth, reported.events, lengths)
        false = judged["false_alarms_per_hour"]
        print(
            f"{'busy':<16} {name:<8} {settings.begin:<8} {false:>7.1f} (in "
            f"{judged['hours']:.2f} h; {len(reported.events) / judged['hours']:.0f} events an hour)"
        )
        if settings.begin == "sure":
            figures[name] = round(false, 1)
    return figures


def write_figures(path: Path, figures: dict[str, dict[str, float]]) -> None:
    """Put figures into the card in a model file."""
    import onnx

    graph = onnx.load(path)
    for entry in graph.metadata_props:
        if entry.key == METADATA_KEY:
            card = parse_card(entry.value, str(path))
            entry_in_card = {"per_hour": figures, "protocol": PROTOCOL}
            accuracy = {**card.accuracy, "false_alarms": entry_in_card}
            entry.value = format_card(msgspec.structs.replace(card, accuracy=accuracy))
    onnx.save(graph, path)
    print(f"written into the card of {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="LABEL=FOLDER")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--hours", type=float, default=2.0, help="of each kind at most (2)")
    parser.add_argument("--hop", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--target-precision", type=float, nargs="*", default=[0.9])
    parser.add_argument("--busy", type=Path, metavar="ESC-50", help="soundscapes of its clips")
    parser.add_argument("--fold", type=int, default=4)
    parser.add_argument("--stand-in", metavar="MODEL", help="hears them instead")
    parser.add_argument("--prepared", type=Path, help="where prepared clips go")
    parser.add_argument("--write", action="store_true", help="into the model's card")
    return parser


if __name__ == "__main__":
    main()
