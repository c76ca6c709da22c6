"""Tuning of averaging, thresholds and lengths for most right events, on soundscapes.

The network runs over each scene once. After that only averages and events are computed again, as by
`streamclf.pipeline.engine.Engine.judge`.
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
from train.evaluation.event_metrics import Event, evaluate_events
from train.nets.inference import HOP_S, softmax

CHOICES = {
    "on": [round(0.1 + 0.05 * k, 2) for k in range(18)],
    "off_ratio": [0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    "max_gap": [0.0, 0.5, 1.0, 1.5],
    "min_duration": [0.0, 0.5, 1.0],
}
"""Values that are tried for each setting, one setting after another. A longer minimum duration is
not tried: a single bark makes an event about as long as a window, and must not be dropped in favour
of longer sounds. A lower ``off`` is not tried: at 0.1 the bundled network gained 0.02 of event F1,
but at 0.05 it lost 0.1, as the low scores that remain in any class keep an event on."""

N_ROUNDS = 3


@dataclass(frozen=True)
class EventSettings:
    """The settings that are tuned: averaged scores, and durations in seconds."""

    on: float = 0.5
    off_ratio: float = 0.6
    average_s: float = AVERAGE_S
    max_gap: float = 1.0
    min_duration: float = 0.0

    @property
    def thresholds(self) -> Thresholds:
        """The settings as thresholds for the card."""
        off = round(self.on * self.off_ratio, 3)
        return Thresholds(on=self.on, off=off, min_duration=self.min_duration, max_gap=self.max_gap)


@dataclass(frozen=True, eq=False)
class SceneLogits:
    """The logits of a network for a scene.

    Attributes:
        scene: The scene, with its events.
        positions: Position of each window.
        n_samples: Samples of real audio in each window.
        logits: ``(windows, classes)``.
    """

    scene: Scene
    positions: list[int]
    n_samples: list[int]
    logits: npt.NDArray[np.float32]


def run_scenes(
    network: nn.Module, scenes: Iterable[Scene], window_samples: int, hop_s: float = HOP_S
) -> list[SceneLogits]:
    """Run a network over the windows of scenes, as the engine cuts them."""
    network.eval()
    found = []
    for scene in scenes:
        block = Block(0, scene.waveform[np.newaxis], scene.sample_rate)
        windows = list(slide([block], window_samples, round(hop_s * scene.sample_rate)))
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack([window.waveform for window in windows]))
            logits = network(batch).float().numpy()
        positions = [window.position for window in windows]
        found.append(SceneLogits(scene, positions, [w.n_samples for w in windows], logits))
    return found


def find_events(
    scene_logits: SceneLogits,
    labels: Sequence[str],
    window_samples: int,
    temperature: float,
    settings: EventSettings,
    hop_s: float = HOP_S,
) -> list[Event]:
    """Find the events that the engine would find in a scene."""
    rate = scene_logits.scene.sample_rate
    scores = softmax(scene_logits.logits, temperature).astype(np.float32)
    timing = Timing(
        window=window_samples,
        hop=round(hop_s * rate),
        average=round(settings.average_s * rate),
        min_duration=round(settings.min_duration * rate),
        max_gap=round(settings.max_gap * rate),
    )
    items = map(Scores, scene_logits.positions, scene_logits.n_samples, scores)
    averages = average(items, timing.average, temperature=temperature)
    found = detect(averages, list(labels), settings.thresholds, timing)
    return [
        Event(scene_logits.scene.name, event.label, event.onset / rate, event.offset / rate)
        for event in found
        if isinstance(event, SoundEvent)
    ]


class Tuner:
    """Evaluates settings on scenes, and finds good ones.

    Args:
        scenes: Logits of the scenes.
        labels: Labels of the network.
        window_samples: Length of the network's input.
        temperature: Temperature of the scores.
    """

    def __init__(
        self,
        scenes: Sequence[SceneLogits],
        labels: Sequence[str],
        window_samples: int,
        temperature: float,
    ) -> None:
        self._scenes, self._labels = scenes, labels
        self._window_samples, self._temperature = window_samples, temperature

    def evaluate(self, settings: EventSettings, snr_db: float | None = None) -> dict:
        """Evaluate the events of one level's scenes, or of all (`evaluate_events`)."""
        own = [h for h in self._scenes if snr_db is None or h.scene.snr_db == snr_db]
        found = [
            event
            for scene_logits in own
            for event in find_events(
                scene_logits, self._labels, self._window_samples, self._temperature, settings
            )
        ]
        scenes = [scene_logits.scene for scene_logits in own]
        truth = [
            Event(s.name, e.label, e.onset / s.sample_rate, e.offset / s.sample_rate)
            for s in scenes
            for e in s.events
        ]
        lengths = {scene.name: len(scene.waveform) / scene.sample_rate for scene in scenes}
        return evaluate_events(truth, found, lengths)

    def tune(self, averages_s: Sequence[float] = (AVERAGE_S,)) -> EventSettings:
        """Find the settings with the best event F1; each is tried in turn with the others fixed.

        Args:
            averages_s: Lengths of averages to choose from. The card has none: other lengths than
                the engine's own are for users who set it when listening.
        """
        choices = {**CHOICES, "average_s": averages_s}
        best = EventSettings(average_s=averages_s[0])
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

    def _f1(self, settings: EventSettings) -> float:
        return self.evaluate(settings)["events"]["f1"] or 0.0
