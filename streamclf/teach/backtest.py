"""Replay of the past with a taught label: when it would have been heard.

The kept windows go through the same averaging and the same detection of events as live ones do.
Nearly all of them are far below every threshold. So only stretches in which an event can begin are
replayed, which is found for all windows at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card, Threshold, Thresholds
from streamclf.core.records import Gap, Scores, SoundEvent
from streamclf.core.settings import Settings
from streamclf.model.classifier import Array, activate
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.evidence import RULES
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
        label: Label of the event; empty where only one is looked for.
        is_recording: Whether the source is a recording.
        sample_rate: Rate of the stream's positions in Hz.
    """

    source: str
    onset_s: float
    offset_s: float
    onset_us: int | None
    score: float
    label: str = ""
    is_recording: bool = False
    sample_rate: int = 1


class CardScorer:
    """A scorer that only has a card: scores are there already."""

    def __init__(self, card: Card) -> None:
        self.card = card

    def score(self, waveforms: Array) -> Array:
        """Refuse: there is no network."""
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
        for begin, end in _stretches(stream, scores, threshold, self._settings):
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
                        is_recording=stream.is_recording,
                        sample_rate=stream.sample_rate,
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
        return Engine(CardScorer(card), settings)


def _stretches(
    stream: PastStream,
    scores: npt.NDArray[np.float32],
    threshold: Threshold,
    settings: Settings,
) -> Iterator[tuple[int, int]]:
    """Find the stretches to replay, as indices from and to.

    An event can begin where the average reaches the threshold, where a single window leaves no
    doubt (`streamclf.pipeline.evidence`), or behind a gap, where an average has few windows. It
    goes on as long as windows reach ``off``.
    """
    around = round(AROUND_S / stream.every_s)
    possible = _can_begin(stream, scores, threshold, settings)
    if not possible.size:
        return
    sounding = np.flatnonzero(scores >= threshold.off)
    pauses = np.flatnonzero(np.diff(sounding) > around)
    ends = np.append(sounding[pauses], sounding[-1] if sounding.size else scores.size - 1)
    end = 0
    begin = -1
    for index in possible:
        if begin < 0 or index - around > end:
            if begin >= 0:
                yield begin, end
            begin = max(int(index) - around, end)
        if index + around > end or end == 0:
            after = int(np.searchsorted(ends, index))
            lasts = int(ends[after]) if after < ends.size else int(index)
            end = min(max(lasts, int(index)) + around, scores.size)
    yield begin, end


def _can_begin(
    stream: PastStream,
    scores: npt.NDArray[np.float32],
    threshold: Threshold,
    settings: Settings,
) -> npt.NDArray[np.intp]:
    n_average = max(1, round(settings.average_s / stream.every_s))
    sums = np.concatenate([np.zeros(n_average), np.cumsum(scores, dtype=np.float64)])
    averages = (sums[n_average:] - sums[:-n_average]) / n_average
    steps = np.diff(stream.positions, prepend=stream.positions[:1] - 1)
    broken = np.flatnonzero(steps > _reach(stream))
    fresh = np.zeros(scores.size, bool)
    for index in (0, *broken.tolist()):
        fresh[index : index + n_average] = True
    possible = (averages >= threshold.on - 1e-6) | (fresh & (scores >= threshold.on))
    rule = RULES.get(settings.begin)
    if rule is not None:
        odds = threshold.on / (1 - threshold.on) * math.exp(rule.margin)
        possible |= scores >= odds / (1 + odds)
    return np.flatnonzero(possible)


def _reach(stream: PastStream) -> int:
    """Largest distance of two windows between which no audio is missing, in samples.

    One window begins in each half second, early or late in it.
    """
    return round(2 * stream.every_s * stream.sample_rate) - 1


def _items(
    stream: PastStream, scores: npt.NDArray[np.float32], begin: int, end: int
) -> Iterator[Scores | Gap]:
    """Yield the scores of a stretch, with a gap where audio was missing or a run began anew."""
    expected: int | None = None
    reach = _reach(stream)
    for index in range(begin, end):
        position = int(stream.positions[index])
        if expected is not None and not 0 < position - expected <= reach:
            yield Gap(expected, max(position - expected, 1), stream.sample_rate, "source")
        yield Scores(position, int(stream.lengths[index]), scores[index : index + 1])
        expected = position
