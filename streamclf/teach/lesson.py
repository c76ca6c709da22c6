"""A lesson: from examples of a sound to a layer with a threshold that means something.

A layer's raw values are measured in spreads of the background. Where the *bar* lies on that scale,
at which a window counts, `streamclf.teach.bar` chooses. It weighs what is found of the examples
against what is false: each example in turn is left out, the layer is fitted without it, and hears
its scenes; and the past is replayed, to which common sounds are added.

Where the wanted number of false events and the examples contradict each other, the examples win,
and the report says how often it would have been heard: what was heard may well have been the sound
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card, Threshold
from streamclf.core.errors import UsageError
from streamclf.teach.backtest import PastEvent, Replay
from streamclf.teach.bar import THRESHOLD, Heard, choose_bar
from streamclf.teach.examples import HOP_S, Example, Features
from streamclf.teach.fit import FIT, Background, Fit
from streamclf.teach.past import Past
from streamclf.teach.taught_graph import Head

MOST_BACKGROUND = 4000
"""Windows of the past that the layer is fitted to."""
ALIKE = 0.25
"""Part of the examples' windows whose values a window of the past exceeds that may be the sound."""
MOST_ALIKE = 0.2
"""Largest part of the past that is left out as such; where more is like the examples, they say too
little of the sound."""
MOST_LEFT_OUT = 8
"""Examples that are left out in turn."""
LEFT_OUT_DISCOUNT = 0.12
"""Part of the values of an example that was left out which the next such sound lacks: it comes
while others sound, and from farther than the examples of one day or one place."""
ENOUGH = 5
"""Number of examples from which on that part is taken off whole. The fewer there are, the more
leaving one out takes off by itself."""
OWN_DISCOUNT = 0.65
"""Factor of the values of an example that was not left out, as the only one."""
WEEK_S = 7 * 86_400.0


@dataclass(frozen=True, eq=False)
class Lesson:
    """What was learned.

    Attributes:
        head: The layer, on features as they are kept.
        threshold: Averaged scores at which events begin and end.
        n_found: Scenes of examples in which the sound is found, by layers fitted without them.
        n_scenes: Number of those scenes.
        past_events: Events that would have been in the past, the earliest first.
        past_s: Seconds of the past.
        heard_as: Labels that the model has given the examples, with the number of examples.
    """

    head: Head
    threshold: Threshold
    n_found: int
    n_scenes: int
    past_events: list[PastEvent] = field(default_factory=list)
    past_s: float = 0.0
    heard_as: list[tuple[str, int]] = field(default_factory=list)


def learn(
    card: Card,
    examples: Sequence[Example],
    against: Sequence[Example],
    common: Features,
    past: Past | None,
    *,
    at_most: float,
    fit: Fit = FIT,
) -> Lesson:
    """Learn a sound from examples.

    Args:
        card: Card of the model.
        examples: Examples of the sound.
        against: Examples of sounds that are not it.
        common: Features of common sounds, ``(windows, size)``; may be empty.
        past: Kept features; None where there are none.
        at_most: Events a week that the past may have.
        fit: How strongly the layer's fit is held back.

    Raises:
        UsageError: There are no examples.
    """
    if not examples:
        raise UsageError("no examples are given: name recordings of the sound, three or more")
    background = _background(examples, against, common, past, fit)
    layer = _fit(background, [each.windows for each in examples])
    scenes = _hold_out(background, examples, layer)
    streams = list(past.score(layer.head)) if past is not None else []
    none = np.zeros(0, np.float32)
    heard = Heard(
        scenes,
        [(stream.logits, stream.every_s) for stream in streams],
        layer.values(common) if len(common) else none,
        HOP_S,
    )
    bar = choose_bar(heard, at_most * 3600 / WEEK_S)
    replay = Replay(card)
    events = [
        event
        for stream in streams
        for event in replay.events(stream, THRESHOLD, -bar.constant / bar.gain, bar.gain)
    ]
    events.sort(key=lambda event: (event.onset_us is None, event.onset_us or 0, event.onset_s))
    return Lesson(
        Head(layer.head.weights * np.float32(bar.gain), bar.gain * layer.head.bias + bar.constant),
        THRESHOLD,
        sum(bar.is_found(values, HOP_S) for values in scenes),
        len(scenes),
        events,
        past.seconds if past is not None else 0.0,
        _heard_as(card, examples),
    )


@dataclass(frozen=True, eq=False)
class _Layer:
    """A direction whose values are measured in spreads of the background."""

    head: Head

    def values(self, features: Features) -> npt.NDArray[np.float32]:
        return self.head.logits(features)


@dataclass(frozen=True, eq=False)
class _Apart:
    """What examples are told apart from."""

    background: Background
    windows: Features


def _background(
    examples: Sequence[Example],
    against: Sequence[Example],
    common: Features,
    past: Past | None,
    fit: Fit,
) -> _Apart:
    """Collect other sounds: common ones, the noise of the examples' scenes, and the past.

    What sounds in the past as the examples do may be the sound itself, so it is left out: a first
    layer, which knows common sounds alone, says which windows these are.
    """
    parts = [scene.features[scene.holds <= 0] for each in examples for scene in each.scenes]
    if len(common):
        parts.append(common)
    confused = np.concatenate([each.windows for each in against]) if against else None
    if past is not None and past.n_windows:
        heard = past.sample(MOST_BACKGROUND)
        first = np.concatenate(parts) if len(common) else np.concatenate([*parts, heard])
        layer = _fit(_Apart(Background(first, confused, fit), first), [e.windows for e in examples])
        own = np.concatenate([layer.values(each.windows) for each in examples])
        alike = layer.values(heard) >= np.quantile(own, ALIKE)
        if alike.mean() <= MOST_ALIKE:
            heard = heard[~alike]
        parts.append(heard)
    windows = np.concatenate(parts)
    return _Apart(Background(windows, confused, fit), windows)


def _fit(apart: _Apart, examples: Sequence[Features]) -> _Layer:
    weights, constant = apart.background.fit(examples)
    values = Head(weights, constant).logits(apart.windows)
    spread = max(float(values.std()), 1e-12)
    return _Layer(Head(np.asarray(weights / np.float32(spread)), constant / spread))


def _hold_out(
    apart: _Apart, examples: Sequence[Example], layer: _Layer
) -> list[npt.NDArray[np.float32]]:
    """Values that such sounds may have later, by the windows of each example's scenes.

    They are those of a layer that was fitted without the example, with a discount.
    """
    if len(examples) == 1:
        return [
            layer.values(scene.features) * np.float32(OWN_DISCOUNT) for scene in examples[0].scenes
        ]
    kept = np.float32(1 - LEFT_OUT_DISCOUNT * min(1.0, (len(examples) - 1) / (ENOUGH - 1)))
    held_out = []
    for number, example in enumerate(examples[:MOST_LEFT_OUT]):
        others = [each.windows for k, each in enumerate(examples) if k != number]
        without = _fit(apart, others)
        held_out += [without.values(scene.features) * kept for scene in example.scenes]
    return held_out


def _heard_as(card: Card, examples: Sequence[Example]) -> list[tuple[str, int]]:
    """Count the labels that the model itself is sure of in the examples."""
    counts: dict[str, int] = {}
    for example in examples:
        highest = example.plain.scores.mean(axis=0)
        index = int(np.argmax(highest))
        label = card.labels[index]
        if highest[index] >= card.thresholds.of(label).on:
            counts[label] = counts.get(label, 0) + 1
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))
