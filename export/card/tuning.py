"""Averaging, thresholds and lengths under which most events are right, found on soundscapes.

The network hears each scene once; after that only averages and events are made anew, as
`streamclf.pipeline.engine.Engine.judge` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.card.temperature import AVERAGE_S
from streamclf.core.card import Thresholds
from streamclf.core.records import Block, Scores, SoundEvent
from streamclf.pipeline.average import average
from streamclf.pipeline.events import Timing, detect
from streamclf.pipeline.windows import slide
from train.audio.scenes import Scene
from train.judging.event_metrics import Event, judge_events
from train.nets.inference import HOP_S, softmax

CHOICES = {
    "on": [round(0.1 + 0.05 * k, 2) for k in range(18)],
    "off_ratio": [0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    "max_gap": [0.0, 0.5, 1.0, 1.5],
    "min_duration": [0.0, 0.5, 1.0],
}
"""What is tried of each setting, one after another. No longer least duration: a single bark
becomes an event about as long as a window, and must not be dropped for longer sounds' sake. No
lower ``off``: at 0.1 the bundled network gained 0.02 of event F1, at 0.05 it lost 0.1, where what
is left of any class's score keeps an event on."""

N_ROUNDS = 3


@dataclass(frozen=True)
class Listening:
    """The settings that are tuned; seconds, and averaged scores."""

    on: float = 0.5
    off_ratio: float = 0.6
    average_s: float = AVERAGE_S
    max_gap: float = 1.0
    min_duration: float = 0.0

    @property
    def thresholds(self) -> Thresholds:
        """For the card."""
        off = round(self.on * self.off_ratio, 3)
        return Thresholds(on=self.on, off=off, min_duration=self.min_duration, max_gap=self.max_gap)


@dataclass(frozen=True, eq=False)
class HeardScene:
    """A scene as a network heard it.

    Attributes:
        scene: With its events.
        positions: Of the windows.
        n_samples: Of real audio in each.
        logits: ``(windows, classes)``.
    """

    scene: Scene
    positions: list[int]
    n_samples: list[int]
    logits: npt.NDArray[np.float32]


def hear_scenes(
    network: nn.Module, scenes: Iterable[Scene], window_samples: int, hop_s: float = HOP_S
) -> list[HeardScene]:
    """Run a network over the windows of scenes, as the engine cuts them."""
    network.eval()
    heard = []
    for scene in scenes:
        block = Block(0, scene.waveform[np.newaxis], scene.sample_rate)
        windows = list(slide([block], window_samples, round(hop_s * scene.sample_rate)))
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack([window.waveform for window in windows]))
            logits = network(batch).float().numpy()
        positions = [window.position for window in windows]
        heard.append(HeardScene(scene, positions, [w.n_samples for w in windows], logits))
    return heard


def find_events(
    heard: HeardScene,
    labels: Sequence[str],
    window_samples: int,
    temperature: float,
    listening: Listening,
    hop_s: float = HOP_S,
) -> list[Event]:
    """The events that the engine would find in a scene."""
    rate = heard.scene.sample_rate
    scores = softmax(heard.logits, temperature).astype(np.float32)
    timing = Timing(
        window=window_samples,
        hop=round(hop_s * rate),
        average=round(listening.average_s * rate),
        min_duration=round(listening.min_duration * rate),
        max_gap=round(listening.max_gap * rate),
    )
    items = map(Scores, heard.positions, heard.n_samples, scores)
    averages = average(items, timing.average, temperature=temperature)
    found = detect(averages, list(labels), listening.thresholds, timing)
    return [
        Event(heard.scene.name, event.label, event.onset / rate, event.offset / rate)
        for event in found
        if isinstance(event, SoundEvent)
    ]


class Tuner:
    """Judges settings on scenes, and finds good ones.

    Args:
        heard: The scenes as heard.
        labels: Of the network.
        window_samples: Of the network.
        temperature: Of the scores.
    """

    def __init__(
        self,
        heard: Sequence[HeardScene],
        labels: Sequence[str],
        window_samples: int,
        temperature: float,
    ) -> None:
        self._heard, self._labels = heard, labels
        self._window_samples, self._temperature = window_samples, temperature

    def judge(self, listening: Listening, snr_db: float | None = None) -> dict:
        """Judge the events of one level's scenes, or of all (`judge_events`)."""
        own = [h for h in self._heard if snr_db is None or h.scene.snr_db == snr_db]
        found = [
            event
            for heard in own
            for event in find_events(
                heard, self._labels, self._window_samples, self._temperature, listening
            )
        ]
        scenes = [heard.scene for heard in own]
        truth = [
            Event(s.name, e.label, e.onset / s.sample_rate, e.offset / s.sample_rate)
            for s in scenes
            for e in s.events
        ]
        lengths = {scene.name: len(scene.waveform) / scene.sample_rate for scene in scenes}
        return judge_events(truth, found, lengths)

    def tune(self, averages_s: Sequence[float] = (AVERAGE_S,)) -> Listening:
        """The settings with the best event F1, each tried in turn with the others kept.

        Args:
            averages_s: Lengths of averages to choose from. The card holds none, so that others
                than the engine's own are for whoever sets it when listening.
        """
        choices = {**CHOICES, "average_s": averages_s}
        best = Listening(average_s=averages_s[0])
        best_f1 = self._f1(best)
        for _ in range(N_ROUNDS):
            before = best
            for name, values in choices.items():
                for value in values:
                    tried = replace(best, **{name: value})
                    if value != asdict(best)[name] and (f1 := self._f1(tried)) > best_f1:
                        best, best_f1 = tried, f1
            if best == before:
                break
        return best

    def _f1(self, listening: Listening) -> float:
        return self.judge(listening)["events"]["f1"] or 0.0
