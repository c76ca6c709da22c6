"""Reminder: whoever changes how events are made must raise `EVENT_RULES`.

An archive's run is begun by one streamclf and may be finished by another. The version is part of
its name, so the two do not mix unnoticed. What this cannot see: rules that none of these sounds
and scores meets.
"""

import hashlib
import json

import numpy as np
import toys

from streamclf.core.card import Card, Threshold, Thresholds
from streamclf.core.event_id import event_id
from streamclf.core.records import Gap, Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.core.sound_kinds import BROADER, KINDS
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.event_rules import EVENT_RULES
from streamclf.sources.array import ArraySource

MADE_BY = {
    1: "13996cdbdb75ba2f",
}
"""Hash of all that is made here, by the event rules. Add a line, and leave those before."""

HOP = 10
CARD = Card(
    name="yard", labels=["Dog", "Bark", "Canidae, dogs, wolves", "Animal", "Rain"],
    sample_rate=100, window_samples=30, task="multi-label", activation="sigmoid",
    thresholds=Thresholds(
        on=0.5, off=0.25, min_duration=0.2, max_gap=0.2, classes={"Bark": Threshold(0.25, 0.125)}
    ),
    broader={"Bark": ["Dog"], "Dog": ["Animal"], "Canidae, dogs, wolves": ["Animal"]},
)  # fmt: skip
CHOICES = (
    {},
    {"broader": True},
    {"average_s": 0.4},
    # No such average comes so near to these that another machine's exponential decides.
    {"average_s": 0.4, "average_kind": "exponential", "thresholds": Thresholds(on=0.47, off=0.21)},
    {"labels": frozenset({"Bark", "Rain"})},
    {"max_duration_s": 1.0},
    {"name_unknown": True},
)


class Scorer:
    card = CARD


def judge(**settings):
    """Events in scores that rise, fall, fail and are interrupted; floats hold them exactly."""
    random = np.random.default_rng(5)
    steps = np.repeat(random.integers(0, 9, (60, 5)) * (random.random((60, 5)) < 0.4), 4, axis=0)
    scores: list[Scores | Gap] = []
    position = 0
    for number, row in enumerate((steps / 8).astype(np.float32)):
        if number == 100:
            row = np.full(5, np.nan, np.float32)
        if number == 150:
            scores.append(Gap(position, 500, 100, "overflow"))
            position += 500
        scores.append(Scores(position, 12 if number == 239 else 30, row))
        position += HOP
    engine = Engine(Scorer(), Settings(**{"hop_s": 0.1, "average_s": 0.0, **settings}))
    return [found(event) for event in engine.judge_raw(scores) if isinstance(event, SoundEvent)]


def hear(model):
    """Events in tones at another rate, of two channels: short, long, quiet, and cut by the end."""
    rate = 22_050
    levels = {"low": 0.3, "middle": 0.6, "high": 0.15}
    sounds = [toys.silence(0.7, rate)]
    for seconds in (0.4, 1.0, 2.3, 4.1):
        for name, level in levels.items():
            sounds += [toys.tone(toys.TONES[name], seconds, rate, level), toys.silence(0.9, rate)]
    sounds.append(toys.tone(toys.TONES["low"], 2.0, rate, 0.5))
    mono = np.concatenate(sounds)
    source = ArraySource(np.stack([mono, mono * np.float32(0.5)]), rate)
    engine = Engine(Classifier(Model(model, provider="cpu", n_threads=1)), Settings(hop_s=0.25))
    with source:
        return [found(event)[:-1] for event in engine.run(source) if isinstance(event, SoundEvent)]


def found(event):
    return (
        event_id(event.label, event.onset), event.label, event.onset, event.offset, event.short,
        round(float(event.score), 3),
    )  # fmt: skip


def test_events_are_those_of_their_rules(tone_model):
    judged = [judge(**settings) for settings in CHOICES]
    heard = hear(tone_model)
    assert all(len(events) > 5 for events in (*judged, heard))
    made = [judged, heard, {name: list(kinds) for name, kinds in KINDS.items()}, dict(BROADER)]
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
    assert MADE_BY.get(EVENT_RULES) == digest, (
        "events are made by other rules than before: raise EVENT_RULES in "
        f"streamclf/pipeline/event_rules.py, and add its hash {digest} to MADE_BY here"
    )
    assert max(MADE_BY) == EVENT_RULES
