"""How well sounds are found that were taught from a few examples.

    python -m benchmarks.teaching DATA --examples-from 1,2,3 --test-fold 4 [--model M]

For each class and number of examples, ``streamclf teach`` learns from clips of some folds, of
different recordings where there are such. The past that it is told apart from are soundscapes of
those folds without the class. The sounds are then looked for in soundscapes of the test fold over
noise at 5, 15 and 25 dB, half of them in made rooms. A found event is right if it overlaps a true
one or lies within half a second of it; the strict F1 asks for both ends, as
`train.evaluation.event_metrics` does. All other classes of the set sound in these scenes as well:
false events an hour are those of a very busy place. Classes that the model was trained on say
little: name others by ``--classes``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamclf import ArraySource, Average, Classifier, Engine, Model, Settings, find_model
from streamclf.core.records import Waveform
from streamclf.teach.backtest import Replay
from streamclf.teach.common_sounds import read_common_sounds
from streamclf.teach.examples import Example, ExampleReader, Features
from streamclf.teach.lesson import Lesson, learn
from streamclf.teach.past import PastStream
from streamclf.teach.taught_graph import Head
from train.audio.soundscapes import Scene, make_scenes
from train.datasets import ClipSet, open_clips
from train.evaluation.event_metrics import Event, count_events

SNR_DB = (5.0, 15.0, 25.0)
NEAR_S = 0.5
HOP_S = 0.5


@dataclass(frozen=True, eq=False)
class HeardScene:
    """A soundscape and the features of its windows.

    Attributes:
        scene: The soundscape.
        features: ``(windows, size)``.
        positions: ``(windows,)``.
        lengths: ``(windows,)``.
    """

    scene: Scene
    features: Features
    positions: np.ndarray
    lengths: np.ndarray

    def stream(self, head: Head, keep: np.ndarray | None = None) -> PastStream:
        """The windows with the logits of a label."""
        kept = np.ones(len(self.positions), bool) if keep is None else keep
        return PastStream(
            self.scene.name, self.scene.sample_rate, np.zeros(kept.sum(), np.int64),
            self.positions[kept], self.lengths[kept], head.logits(self.features[kept]), HOP_S,
        )  # fmt: skip

    def without(self, label: str) -> np.ndarray:
        """Which windows hold nothing of a label."""
        free = np.ones(len(self.positions), bool)
        for event in self.scene.events:
            if event.label == label:
                free &= (self.positions >= event.offset) | (
                    self.positions + self.lengths <= event.onset
                )
        return free


class OtherScenes:
    """The past of a class: soundscapes without it (`streamclf.teach.past.Past`)."""

    def __init__(self, scenes: Sequence[HeardScene], label: str) -> None:
        self._scenes = [(scene, scene.without(label)) for scene in scenes]
        self.n_windows = int(sum(free.sum() for _, free in self._scenes))
        self.seconds = self.n_windows * HOP_S

    def sample(self, n_most: int) -> Features:
        """Features of windows, ``(windows, size)``."""
        every = np.concatenate([scene.features[free] for scene, free in self._scenes])
        return every[:: max(1, -(-len(every) // n_most))]

    def score(self, head: Head) -> Iterator[PastStream]:
        """The windows of each scene with the logits of a label."""
        for scene, free in self._scenes:
            yield scene.stream(head, free)


def main() -> None:
    options = _parser().parse_args()
    model = Model(find_model(options.model), provider="cpu")
    classifier = Classifier(model, features=True)
    rate = model.card.sample_rate
    clips = open_clips(options.data, rate, dataset=options.dataset, out=options.prepared)
    from_folds = [int(fold) for fold in options.examples_from.split(",")]
    known = clips.of_folds(from_folds)
    classes = options.classes.split(",") if options.classes else list(clips.labels)
    n_scenes = options.scenes
    past = hear_scenes(classifier, known, n_scenes, options.seed + 1)
    tests = hear_scenes(classifier, clips.of_folds([options.test_fold]), n_scenes, options.seed)
    common = read_common_sounds(model.features.digest if model.features else "")
    reader, heard = ExampleReader(classifier), dict[int, Example]()
    print(f"{model.card.name}: {len(classes)} classes of {clips.name}, {n_scenes} scenes of a "
          f"minute, at most {options.at_most:g} a week")  # fmt: skip
    print(f"{'class':<18} {'n':>2} {'F1':>5} {'strict':>6} {'recall':>6} {'right':>6} "
          f"{'false/h':>7} {'fit s':>6}")  # fmt: skip
    for n_examples in (int(n) for n in options.examples.split(",")):
        rows = []
        for label in classes:
            chosen = choose_examples(known, label, n_examples, options.seed)
            for index in chosen:
                if index not in heard:
                    heard[index] = reader.hear(known.clips[index].filename, known.waveform(index))
            began = time.process_time()
            lesson = learn(
                model.card, [heard[index] for index in chosen], [], common,
                OtherScenes(past, label), at_most=options.at_most,
            )  # fmt: skip
            took = time.process_time() - began
            rows.append((*judge(Replay(model.card), lesson, tests, label), took))
            print(f"{label[:18]:<18} {n_examples:>2} " + _row(rows[-1]), flush=True)
        print(f"{'MEDIAN':<18} {n_examples:>2} " + _row(np.median(np.array(rows), axis=0)))


def _row(row: Sequence[float]) -> str:
    f1, strict, recall, precision, false, took = row
    return (f"{f1:5.2f} {strict:6.2f} {recall:6.2f} {precision:6.2f} {false:7.1f} "
            f"{took:6.1f}")  # fmt: skip


def choose_examples(clips: ClipSet, label: str, n: int, seed: int) -> list[int]:
    """Draw clips of a class, of different recordings first."""
    target = clips.labels.index(label)
    own = [k for k, clip in enumerate(clips.clips) if clip.target == target]
    drawn = np.random.default_rng(seed).permutation(own).tolist()
    first = list({clips.clips[k].source: k for k in reversed(drawn)}.values())
    return [*first, *(k for k in drawn if k not in first)][:n]


def hear_scenes(
    classifier: Classifier, clips: ClipSet, n_scenes: int, seed: int
) -> list[HeardScene]:
    """Make soundscapes, every other three of them in a made room, and hear them."""
    engine = Engine(classifier, Settings(HOP_S, average_s=0.0))
    random = np.random.default_rng(seed)
    scenes = []
    for number, scene in enumerate(make_scenes(clips, n_scenes, seed=seed, snr_db=SNR_DB)):
        waveform = add_room(scene.waveform, random) if number // 3 % 2 else scene.waveform
        source = ArraySource(waveform, scene.sample_rate)
        heard = [item.scores for item in engine.run(source) if isinstance(item, Average)]
        kept = [(each, each.features) for each in heard if each.features is not None]
        scenes.append(HeardScene(
            scene, np.stack([features for _, features in kept]),
            np.array([each.position for each, _ in kept]),
            np.array([each.n_samples for each, _ in kept], np.uint32),
        ))  # fmt: skip
    return scenes


def add_room(waveform: Waveform, random: np.random.Generator) -> Waveform:
    """Add the reverberation of a made room, at the same level."""
    n_tail = round(random.uniform(0.25, 0.8) * 16_000)
    tail = random.standard_normal(n_tail) * 10 ** (-3 * np.arange(n_tail) / n_tail)
    tail *= random.uniform(0.3, 1.2) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = 1 << (waveform.size + n_tail).bit_length()
    spectrum = np.fft.rfft(waveform, size) * np.fft.rfft(tail, size)
    heard = np.fft.irfft(spectrum, size)[: waveform.size]
    heard *= np.sqrt(np.mean(waveform**2) / np.mean(heard**2))
    return np.clip(heard, -1, 1).astype(np.float32)


def judge(
    replay: Replay, lesson: Lesson, scenes: Sequence[HeardScene], label: str
) -> tuple[float, float, float, float, float]:
    """F1, strict F1, recall, precision, and false events an hour."""
    truth, found, right = [], [], 0
    for heard in scenes:
        name, rate = heard.scene.name, heard.scene.sample_rate
        true = [(e.onset / rate, e.offset / rate) for e in heard.scene.events if e.label == label]
        told = list(replay.events(heard.stream(lesson.head), lesson.threshold))
        truth += [Event(name, label, *span) for span in true]
        found += [Event(name, label, event.onset_s, event.offset_s) for event in told]
        free = list(true)
        for event in told:
            for span in free:
                if event.onset_s < span[1] + NEAR_S and span[0] - NEAR_S < event.offset_s:
                    free.remove(span)
                    right += 1
                    break
    strict = count_events(truth, found).get(label)
    n_strict = strict.right if strict else 0
    either, hours = max(len(truth) + len(found), 1), len(scenes) / 60
    return (
        2 * right / either, 2 * n_strict / either, right / max(len(truth), 1),
        right / max(len(found), 1), (len(found) - right) / hours,
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teaching")
    option = parser.add_argument
    option("data", type=Path, help="a data set with folds")
    option("--dataset", default="esc50", help="its kind (esc50)")
    option("--prepared", type=Path, help="where it is prepared")
    option("--model", default="pocket", help="a model whose card names features (pocket)")
    option("--examples-from", default="1,2,3", help="folds of the examples (1,2,3)")
    option("--test-fold", type=int, default=4, help="fold of the scenes (4)")
    option("--classes", help="labels, separated by commas; all by default")
    option("--examples", default="1,3,5,10", help="numbers of examples (1,3,5,10)")
    option("--scenes", type=int, default=60, help="scenes of a minute (60)")
    option("--at-most", type=float, default=3.0, help="events a week in the past (3)")
    option("--seed", type=int, default=1, help="what is drawn (1)")
    return parser


if __name__ == "__main__":
    main()
