r"""How well sounds are found that were taught from a few examples.

    python -m benchmarks.teaching --esc50 ESC50 --urbansound8k URBANSOUND8K --words FSDD \\
      --alarms --others PREPARED --cache FOLDER [--ear MODEL.onnx] [--ear yamnet=FILE]

Each class is taught by ``streamclf teach``'s own code from clips of one part of its set, of
different recordings where there are such, and looked for in soundscapes of the other part, over
noise at 5, 15 and 25 dB, half of them in made rooms. The past that it is told apart from are
soundscapes of the first part without the class, of its own set and of ESC-50, and half of the other
sounds, and the common sounds that come with the model. A found event is right if it overlaps a
true one or lies within half a second of it; the strict F1 asks for both ends, as
`train.evaluation.event_metrics` does. False events an hour are counted twice: in the soundscapes of
its own set, where other classes sound all the time, and in those of the other sets and the other
half of the other sounds. A recording among these whose name has a word of `OWN_WORDS`, or a class
that has, may hold the sound, so what is found in it counts neither way. "named" is the part of the
events of untaught classes that are taken for one of the taught ones, all of which listen at once.

``--ear yamnet=FILE`` and ``--ear mn04=FILE`` compare with the embeddings of others. ``--plain``
fits a plain logistic regression of scaled features instead of what `streamclf.teach.fit` does.
What a network heard is kept in ``--cache``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ears import RATE, Ear, open_ear
from benchmarks.teaching_material import (
    OtherPlaces,
    Place,
    TaughtSet,
    choose_examples,
    draw_others,
    draw_scenes,
    hear_example,
    hear_places,
    make_alarms,
    open_esc50,
    open_urbansound8k,
    open_words,
)
from streamclf.teach.backtest import Replay
from streamclf.teach.examples import Example
from streamclf.teach.fit import FIT, Fit
from streamclf.teach.lesson import Lesson, learn
from train.datasets.prepared import open_prepared
from train.evaluation.event_metrics import Event, count_events

PLAIN = Fit(shrinkage=1.0, decay=0.01, nearest=0.0)
NEAR_S = 0.5
ESC50 = (
    "rooster", "crow", "cat", "rain", "water_drops", "crying_baby", "coughing", "door_wood_knock",
    "vacuum_cleaner", "glass_breaking", "church_bells", "sneezing",
)  # fmt: skip
URBANSOUND8K = (
    "air_conditioner", "children_playing", "drilling", "gun_shot", "jackhammer", "street_music"
)  # fmt: skip
WORDS = tuple(f"word_{digit}" for digit in ("zero", "two", "three", "six", "eight"))
ALARMS = tuple(f"made_{kind}" for kind in (
    "alarm_clock", "car_alarm", "door_chime", "phone_bell", "reversing", "smoke_alarm"
))  # fmt: skip
OWN_WORDS = {
    "rooster": ("rooster", "cock"), "crow": ("crow", "raven"), "cat": ("cat", "meow"),
    "rain": ("rain",), "water_drops": ("drop", "drip"), "crying_baby": ("baby", "cry"),
    "coughing": ("cough",), "door_wood_knock": ("knock", "door"), "vacuum_cleaner": ("vacuum",),
    "glass_breaking": ("glass", "break"), "church_bells": ("bell",), "sneezing": ("sneez",),
    "air_conditioner": ("air_cond", "fan"), "children_playing": ("child", "kids"),
    "drilling": ("drill",), "gun_shot": ("gun", "shot", "shoot", "rifle", "musket", "cannon"),
    "jackhammer": ("jackhammer", "drill"), "street_music": ("music",),
    "word_zero": ("digit", "zero"), "word_two": ("digit", "two"), "word_three": ("digit", "three"),
    "word_six": ("digit", "six"), "word_eight": ("digit", "eight"),
    "made_alarm_clock": ("alarm", "clock"), "made_car_alarm": ("alarm", "siren"),
    "made_door_chime": ("chime", "doorbell"), "made_phone_bell": ("phone", "ring"),
    "made_reversing": ("reversing", "beep"), "made_smoke_alarm": ("alarm", "beep"),
}  # fmt: skip
"""Words in the names of recordings and classes that may hold a sound, in small letters."""
N_PAST, N_OWN_PAST, N_OTHERS_PAST = 40, 10, 40
HELD_FEW = 5
"""Number of examples at which all taught labels listen at once."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A set, heard: what its classes are told apart from, and where they are looked for."""

    material: TaughtSet
    classes: tuple[str, ...]
    past: list[Place]
    judged: list[Place]


@dataclass(frozen=True)
class Figures:
    """How one class was found."""

    label: str
    f1: float
    strict: float
    recall: float
    precision: float
    false_own: float
    false_others: float
    fit_s: float


def main() -> None:
    options = _parser().parse_args()
    sets = open_sets(options)
    for name in options.ear or ["pocket"]:
        ear = open_ear(name)
        stages, others = hear_all(ear, sets, options)
        for n_examples in (int(n) for n in options.examples.split(",")):
            report(ear, stages, others, n_examples, options)


def open_sets(options: argparse.Namespace) -> list[tuple[TaughtSet, tuple[str, ...], int]]:
    """Open the sets that are given, with the classes that are taught, and minutes to judge by."""
    sets = [(open_esc50(options.esc50), ESC50, 40)]
    if options.urbansound8k:
        sets.append((open_urbansound8k(options.urbansound8k), URBANSOUND8K, 25))
    if options.words:
        sets.append((open_words(options.words), WORDS, 15))
    if options.alarms:
        sets.append((make_alarms(), ALARMS, 20))
    if options.classes:
        chosen = options.classes.split(",")
        sets = [
            (each, tuple(label for label in chosen if label in each.examples.labels), minutes)
            for each, _, minutes in sets
        ]
    return sets


def hear_all(
    ear: Ear, sets: Sequence[tuple[TaughtSet, tuple[str, ...], int]], options: argparse.Namespace
) -> tuple[list[Stage], list[Place]]:
    """Hear the soundscapes of all sets, and the other sounds."""
    cache, seed = options.cache, options.seed
    common, others = [], []
    if options.others:
        clips = open_prepared(options.others)
        common = hear_places(
            ear, cache, f"others-past-{N_OTHERS_PAST}",
            lambda: draw_others(clips, N_OTHERS_PAST, 0),
        )  # fmt: skip
        others = hear_places(
            ear, cache, f"others-{options.minutes}",
            lambda: draw_others(clips, options.minutes, 1),
        )  # fmt: skip
    stages = []
    for each, classes, minutes in sets:

        def past(each: TaughtSet = each, n: int = N_OWN_PAST if stages else N_PAST):  # type: ignore[no-untyped-def]
            return draw_scenes(each.examples, n, seed + 1)

        def judged(each: TaughtSet = each, n: int = minutes):  # type: ignore[no-untyped-def]
            return draw_scenes(each.judged, n, seed)

        own = hear_places(ear, cache, f"{each.name}-past-{seed}", past)
        if not stages:
            common = [*common, *own]
        stages.append(Stage(
            each, classes, [*common, *(own if stages else [])],
            hear_places(ear, cache, f"{each.name}-judged-{seed}", judged),
        ))  # fmt: skip
    return stages, others


def report(
    ear: Ear, stages: Sequence[Stage], others: Sequence[Place], n: int, options: argparse.Namespace
) -> None:
    """Teach all classes from so many examples, and print a table."""
    fit = PLAIN if options.plain else FIT
    print(f"\n{ear.name}, {n} examples, {'plain' if options.plain else 'ours'}")
    print(f"{'class':<22} {'F1':>5} {'strict':>6} {'recall':>6} {'right':>6} {'false/h own':>11} "
          f"{'others':>6} {'fit s':>6}")  # fmt: skip
    every: list[Figures] = []
    for stage in stages:
        rows, lessons = [], {}
        elsewhere = [*others, *(p for each in stages if each is not stage for p in each.judged)]
        for label in stage.classes:
            lesson, took = teach(ear, stage, label, n, fit, options)
            if lesson is None:
                continue
            lessons[label] = lesson
            rows.append(judge(Replay(ear.card), lesson, stage.judged, elsewhere, label, took))
            print(_row(rows[-1]), flush=True)
        if rows:
            print(_row(median(f"MEDIAN {stage.material.name}", rows)))
        if n == HELD_FEW and rows:
            print(open_set(Replay(ear.card), lessons, stage.judged))
        every += rows
    hours = sum(place.seconds for place in others) / 3600
    more = sum(place.seconds for stage in stages for place in stage.judged) / 3600
    print(_row(median("MEDIAN of all", every)))
    good = sum(each.f1 > 0.6 and each.false_others < 1 for each in every)
    print(f"{good} of {len(every)} classes with F1 > 0.6 at less than one false event an hour in "
          f"others ({hours:.1f} h of other sounds, {more:.1f} h of soundscapes but their own)",
          flush=True)  # fmt: skip


def teach(
    ear: Ear, stage: Stage, label: str, n: int, fit: Fit, options: argparse.Namespace
) -> tuple[Lesson | None, float]:
    """Teach a class; None where the set has fewer examples."""
    clips = stage.material.examples
    chosen = choose_examples(clips, label, n, options.seed)
    if len(chosen) < n:
        return None, 0.0
    examples: list[Example] = [hear_example(ear, options.cache, clips, k) for k in chosen]
    began = time.process_time()
    lesson = learn(
        ear.card, examples, [], ear.common, OtherPlaces(stage.past, label),
        at_most=options.at_most, fit=fit,
    )  # fmt: skip
    return lesson, time.process_time() - began


def judge(
    replay: Replay, lesson: Lesson, places: Sequence[Place], others: Sequence[Place],
    label: str, took: float,
) -> Figures:  # fmt: skip
    """Look for a taught class."""
    truth, found, right = [], [], 0
    for place in places:
        true = true_spans(place, label)
        told = find(replay, lesson, place)
        truth += [Event(place.name, label, *span) for span in true]
        found += [Event(place.name, label, *span) for span in told]
        free = list(true)
        for span in told:
            hit = next((each for each in free if is_near(span, each)), None)
            if hit is not None:
                free.remove(hit)
                right += 1
    n_others = sum(len(find_other(replay, lesson, place, label)) for place in others)
    strict = count_events(truth, found).get(label)
    either = max(len(truth) + len(found), 1)
    hours = sum(place.seconds for place in places) / 3600
    hours_others = max(sum(place.seconds for place in others) / 3600, 1e-9)
    return Figures(
        label, 2 * right / either, 2 * (strict.right if strict else 0) / either,
        right / max(len(truth), 1), right / max(len(found), 1), (len(found) - right) / hours,
        n_others / hours_others, took,
    )  # fmt: skip


def true_spans(place: Place, label: str) -> list[tuple[float, float]]:
    """When a class sounds, in seconds."""
    return [(e.onset / RATE, e.offset / RATE) for e in place.events if e.label == label]


def find(replay: Replay, lesson: Lesson, place: Place) -> list[tuple[float, float]]:
    """When a taught class is found, in seconds."""
    events = replay.events(place.stream(lesson.head), lesson.threshold)
    return [(event.onset_s, event.offset_s) for event in events]


def find_other(
    replay: Replay, lesson: Lesson, place: Place, label: str
) -> list[tuple[float, float]]:
    """What is found of a class outside of all that may hold it by its name."""
    words = OWN_WORDS.get(label, tuple(label.split("_")))
    held = [
        (event.onset / RATE, event.offset / RATE) for event in place.events
        if any(word in event.label.lower() for word in words)
    ]  # fmt: skip
    found = find(replay, lesson, place)
    return [span for span in found if not any(is_near(span, each) for each in held)]


def is_near(span: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two spans overlap, or lie within `NEAR_S`."""
    return span[0] < other[1] + NEAR_S and other[0] - NEAR_S < span[1]


def open_set(replay: Replay, lessons: dict[str, Lesson], places: Sequence[Place]) -> str:
    """Let all taught classes of a set listen at once: what is not taught is to stay unnamed."""
    untaught = named = taught = right = wrong = 0
    for place in places:
        told = {label: find(replay, lesson, place) for label, lesson in lessons.items()}
        spans = [(event, (event.onset / RATE, event.offset / RATE)) for event in place.events]
        for event, span in spans:
            names = {
                label for label, found in told.items()
                if any(each[0] < span[1] and span[0] < each[1] for each in found)
            }  # fmt: skip
            # A long event of a neighbour that reaches into this one does not name it.
            near = {
                each.label for each, other in spans
                if each is not event and is_near((span[0] - 2, span[1] + 2), other)
            }  # fmt: skip
            if event.label in lessons:
                taught += 1
                right += event.label in names
                wrong += bool(names - near - {event.label})
            else:
                untaught += 1
                named += bool(names - near)
    return (
        f"open set, {len(lessons)} labels at once: of {untaught} events of untaught classes "
        f"{named / max(untaught, 1):.1%} named; of {taught} taught ones "
        f"{right / max(taught, 1):.1%} found, {wrong / max(taught, 1):.1%} also as another"
    )


def median(name: str, rows: Sequence[Figures]) -> Figures:
    """The median of each figure over classes."""
    columns = np.array([[v for k, v in vars(row).items() if k != "label"] for row in rows])
    return Figures(name, *np.median(columns, axis=0).tolist())


def _row(row: Figures) -> str:
    return (f"{row.label[:22]:<22} {row.f1:5.2f} {row.strict:6.2f} {row.recall:6.2f} "
            f"{row.precision:6.2f} {row.false_own:11.1f} {row.false_others:6.1f} "
            f"{row.fit_s:6.1f}")  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teaching")
    option = parser.add_argument
    option("--esc50", type=Path, required=True, help="ESC-50")
    option("--urbansound8k", type=Path, help="UrbanSound8K")
    option("--words", type=Path, help="the Free Spoken Digit Dataset")
    option("--alarms", action="store_true", help="also made alarms")
    option("--others", type=Path, help="a prepared folder of any sounds (train.datasets)")
    option("--minutes", type=int, default=600, help="of other sounds (600)")
    option("--cache", type=Path, required=True, help="where what was heard is kept")
    option("--ear", action="append", help="MODEL, yamnet=FILE or mn04=FILE; repeatable (pocket)")
    option("--plain", action="store_true", help="fit a plain logistic regression")
    option("--classes", help="labels, separated by commas; those of the module by default")
    option("--examples", default="1,3,5,10,20", help="numbers of examples (1,3,5,10,20)")
    option("--at-most", type=float, default=168.0, help="events a week in the past (168)")
    option("--seed", type=int, default=1, help="what is drawn (1)")
    return parser


if __name__ == "__main__":
    main()
