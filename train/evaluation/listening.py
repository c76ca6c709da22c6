"""What a model file says of waveforms, by the engine that listens."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Average, Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.pipeline.engine import Engine
from streamclf.sources.array import ArraySource
from train.evaluation.event_metrics import Event


def score(classifier: Classifier, waveform: npt.NDArray[np.float32]) -> list[Scores]:
    """Scores of a waveform's windows, ``(samples,)`` at the model's rate, as the engine cuts them.

    The waveform is rounded to 16 bits, as a file would hold it.
    """
    samples = np.rint(np.clip(waveform, -1, 1) * 32767).astype(np.int16)
    results = Engine(classifier, Settings()).run(ArraySource(samples, classifier.card.sample_rate))
    return [result.scores for result in results if isinstance(result, Average)]


def find_events(
    classifier: Classifier, scores: Iterable[Scores], source: str, settings: Settings
) -> list[Event]:
    """The events that the engine finds in a waveform's scores, by settings, in seconds."""
    rate = classifier.card.sample_rate
    return [
        Event(source, result.label, result.onset / rate, result.offset / rate)
        for result in Engine(classifier, settings).judge(scores)
        if isinstance(result, SoundEvent)
    ]
