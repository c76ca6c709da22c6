"""Replay of the past with a taught label: when it would have been heard.

The kept windows go through the same averaging and the same detection of events as live ones do.
Nearly all of them are far below every threshold, and an average is never above the highest of its
windows. So only stretches around windows that reach the threshold are replayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card, Threshold, Thresholds
from streamclf.core.records import Gap, Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.model.classifier import Array, activate
from streamclf.pipeline.engine import Engine
from streamclf.teach.past import PastStream, begin_us

AROUND_S = 15.0
"""Seconds around a window that reaches the threshold that are replayed: more than an average and a
search for an onset look back."""


@dataclass(frozen=True)
class PastEvent:
    """An event that would have been.

    Attributes:
        source: Name of the source; of a recording its path.
        onset_s: Seconds from the stream's start.
        offset_s: Likewise.
        onset_us: Begin in microseconds UTC; None where it is unknown.
        score: Highest averaged score.
    """

    source: str
    onset_s: float
    offset_s: float
    onset_us: int | None
    score: float


class _CardScorer:
    """A scorer that only has a card: scores are there already."""

    def __init__(self, card: Card) -> None:
        self.card = card

    def score(self, waveforms: Array) -> Array:
        raise NotImplementedError


class Replay:
    """Detection of one label's events in logits.

    Args:
        card: Card of the model, whose window and pauses hold.
        settings: How it is listened; its hop is that of the kept windows.
    """

    def __init__(self, card: Card, settings: Settings | None = None) -> None:
        self._card, self._settings = card, settings or Settings()

    def events(
        self, stream: PastStream, threshold: Threshold, bar: float = 0.0, gain: float = 1.0
    ) -> Iterator[PastEvent]:
        """Find the events in a stream.

        Args:
            stream: Its windows.
            threshold: Averaged scores at which an event begins and ends.
            bar: Taken from the logits first.
            gain: Factor of the difference.
        """
        logits = np.float32(gain) * (stream.logits - np.float32(bar))
        scores = activate(logits[:, np.newaxis], "sigmoid")[:, 0]
        engine = self._engine(stream, threshold)
        for begin, end in _stretches(stream, scores, threshold):
            items = _items(stream, scores, begin, end)
            for result in engine.judge(items):
                if isinstance(result, SoundEvent):
                    index = begin + int(
                        np.searchsorted(stream.positions[begin:end], result.onset, "right")
                    )
                    yield PastEvent(
                        stream.source,
                        result.onset / stream.sample_rate,
                        result.offset / stream.sample_rate,
                        begin_us(stream, max(index - 1, begin), result.onset),
                        result.score,
                    )

    def _engine(self, stream: PastStream, threshold: Threshold) -> Engine:
        limits = self._card.thresholds
        card = Card(
            name=self._card.name,
            labels=["taught"],
            task="multi-label",
            activation="sigmoid",
            sample_rate=stream.sample_rate,
            window_samples=self._card.window_samples,
            thresholds=Thresholds(threshold.on, threshold.off, limits.min_duration, limits.max_gap),
        )
        settings = replace(self._settings, hop_s=stream.every_s, thresholds=None, labels=None)
        return Engine(_CardScorer(card), settings)


def _stretches(
    stream: PastStream, scores: npt.NDArray[np.float32], threshold: Threshold
) -> Iterator[tuple[int, int]]:
    """Find the stretches to replay, as indices from and to."""
    around = round(AROUND_S / stream.every_s)
    sounding = np.flatnonzero(scores >= threshold.off)
    if not sounding.size:
        return
    breaks = np.flatnonzero(np.diff(sounding) > 2 * around) + 1
    for group in np.split(sounding, breaks):
        if scores[group].max() >= threshold.on:
            yield max(int(group[0]) - around, 0), min(int(group[-1]) + around, scores.size)


def _items(
    stream: PastStream, scores: npt.NDArray[np.float32], begin: int, end: int
) -> Iterator[Scores | Gap]:
    """Yield the scores of a stretch, with a gap where audio was missing or a run began anew."""
    expected: int | None = None
    reach = round(1.5 * stream.every_s * stream.sample_rate)
    for index in range(begin, end):
        position = int(stream.positions[index])
        if expected is not None and not 0 < position - expected <= reach:
            yield Gap(expected, max(position - expected, 1), stream.sample_rate, "source")
        yield Scores(position, int(stream.lengths[index]), scores[index : index + 1])
        expected = position
