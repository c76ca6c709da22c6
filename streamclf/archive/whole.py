"""Hearing of a whole recording in one pass, as one record of all that its results need.

`Heard` is the same whether a recording was heard in one pass or in pieces
(`streamclf.archive.piece`).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC

import numpy as np
import numpy.typing as npt

from streamclf.core.errors import SourceError
from streamclf.core.event_id import event_id
from streamclf.core.records import (
    Average,
    Block,
    EventBegan,
    Gap,
    Notice,
    Result,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.stats import Statistics
from streamclf.model.classifier import Classifier
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.levels import LevelMeter, LevelPiece, Levels
from streamclf.sources.recording.recording import Recording
from streamclf.store.minutes import Minute, MinuteCounter


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of a recording beside its events, gaps and notices.

    Attributes:
        levels: Levels of each minute. Without them minutes only say how long was heard.
        averages: Averaged scores of each window.
        features: Features of each window; the engine's classifier must give them.
    """

    levels: bool = True
    averages: bool = False
    features: bool = False


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """An event from its begin to its end.

    Attributes:
        label: One of the model's labels.
        onset: Position of its first sample.
        offset: Position just after its last sample.
        score: The highest averaged score while it lasted, 0..1.
        short: Whether it was found in audio shorter than the model's window.
        began_score: Score of its `EventBegan`.
        began_at: Position just after the last sample that had been scored when it began.
    """

    label: str
    onset: int
    offset: int
    score: float
    short: bool
    began_score: float
    began_at: int

    @property
    def id(self) -> str:
        """Name of the event, unique within the recording."""
        return event_id(self.label, self.onset)


@dataclass(frozen=True, slots=True)
class HeardMinute:
    """What was heard in one minute of the local clock, as a store's table ``levels`` has it.

    Attributes:
        position: Position of its first sample.
        heard_samples: Samples heard in it.
        minute_us: Full minute of the clock, in microseconds UTC; None where the time is unknown.
        utc_offset_min: Offset from UTC in minutes; None where the time is unknown.
        levels: Its levels in dBFS; None if none were measured.
    """

    position: int
    heard_samples: int
    minute_us: int | None
    utc_offset_min: int | None
    levels: Levels | None


@dataclass(frozen=True, eq=False)
class HeardWindows:
    """What is kept of each window, in order.

    Attributes:
        positions: ``(windows,)`` int64, first sample of each.
        ends: ``(windows,)`` int64, position just after its last sample of audio.
        averages: ``(windows, labels)`` float32, averaged scores; None unless asked for.
        features: ``(windows, size)`` float32; None unless asked for. Rows of windows without
            features (silence) are not a number.
    """

    positions: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    averages: npt.NDArray[np.float32] | None
    features: npt.NDArray[np.float32] | None


@dataclass(eq=False)
class Heard:
    """All that was heard in a recording. Positions are in samples at the model's rate.

    Attributes:
        stream: Description of the stream: source, rate, labels, start time. It turns positions
            into seconds and local times.
        source_rate: Sample rate of the recording in Hz; 0 where no audio arrived.
        promised_s: Length in seconds that the header states; None where it states none.
        events: Events, in the order in which they ended, as `streamclf file` writes them.
        gaps: Gaps, in order.
        notices: Notices, in order.
        spans: Begin and end of each stretch of audio without a gap.
        minutes: Minutes in which something was heard.
        windows: Averages and features of each window; None unless asked for.
        statistics: Counts of the recording. ``delivered_samples + gap_samples`` is
            ``elapsed_samples``.
        fault: Why the recording could not be read to its end, in one line; empty where it could.
    """

    stream: StreamStarted
    source_rate: int
    promised_s: float | None
    events: list[HeardEvent] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    minutes: list[HeardMinute] = field(default_factory=list)
    windows: HeardWindows | None = None
    statistics: Statistics = field(default_factory=Statistics)
    fault: str = ""


def settle(engine: Engine) -> str:
    """Let the scores of an engine's classifier not depend on what it has heard before.

    A classifier gives the first windows to the whole graph, and the others to its two halves
    (`streamclf.model.classifier.WHOLE_FIRST`). Here it is cut at once. Further calls cost nothing.

    Returns:
        A notice about the classifier, which belongs to no recording; empty for none.
    """
    if not isinstance(engine.scorer, Classifier):
        return ""
    engine.scorer.split()
    return engine.scorer.take_notice()


def hear_whole(engine: Engine, recording: Recording, keep: Keep | None = None) -> Heard:
    """Hear a recording in one pass.

    Args:
        engine: The engine. Scores do not depend on what it heard before.
        recording: An open recording; the caller closes it. If it is stopped meanwhile, what is
            returned is what was heard until then.
        keep: What is kept.

    Returns:
        What was heard. A fault of the recording does not raise: it is in ``fault``.

    Raises:
        OSError: The recording could not be read, by a disk or network that may work again.
    """
    settle(engine)
    keep = keep or Keep()
    hearing = Hearing(keep)
    meter = LevelMeter()

    def take_source_audio(item: Block | Gap) -> None:
        if isinstance(item, Block):
            hearing.source_rate = item.sample_rate
        if keep.levels:
            hearing.measure(meter.add(item))

    fault = ""
    run = engine.run(recording, on_audio=hearing.hear, on_source_audio=take_source_audio)
    try:
        with closing(run) as results:
            for result in results:
                if isinstance(result, StreamStarted):
                    hearing.begin(result)
                else:
                    hearing.take(result)
    except SourceError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        fault = str(error)
    hearing.measure(meter.end())
    statistics, engine.statistics = engine.statistics, Statistics(engine.card.sample_rate)
    if not hearing.has_begun:  # nothing arrived at all
        hearing.begin(engine.announce(recording))
    return hearing.heard(recording.duration_s, statistics, fault)


def _by_its_own_clock(stream: StreamStarted) -> StreamStarted:
    """Return a stream whose minutes are the same in each worker's time zone.

    A start time without an offset is counted as if it were UTC, and not as this machine's.
    """
    started = stream.started
    if started is None or started.tzinfo is not None:
        return stream
    return replace(stream, started=started.replace(tzinfo=UTC))


class Hearing:
    """What is heard of a recording, as it comes.

    Args:
        keep: What is kept.

    Attributes:
        source_rate: Sample rate of the recording in Hz; 0 before any audio.
        has_begun: Whether the stream is known.
    """

    def __init__(self, keep: Keep) -> None:
        self.source_rate = 0
        self.has_begun = False
        self._keep = keep
        self._events: list[HeardEvent] = []
        self._begun: dict[tuple[str, int], EventBegan] = {}
        self._gaps: list[Gap] = []
        self._notices: list[Notice] = []
        self._spans: list[tuple[int, int]] = []
        self._minutes: dict[int, Minute] = {}
        self._measured: deque[LevelPiece] = deque()  # maybe from the thread that reads ahead
        self._positions, self._ends = array("q"), array("q")
        self._averages: list[npt.NDArray[np.float32]] = []
        self._features: list[npt.NDArray[np.float32] | None] = []

    def begin(self, stream: StreamStarted) -> None:
        """Take the description of the stream, before any audio."""
        self.has_begun = True
        self._stream = stream
        self._counter = MinuteCounter(_by_its_own_clock(stream))

    def measure(self, pieces: Iterable[LevelPiece]) -> None:
        """Take levels of the recording's own audio, before that audio is heard or soon after."""
        self._measured.extend(pieces)

    def hear(self, item: Block | Gap) -> None:
        """Take audio at the model's rate, or a gap."""
        if isinstance(item, Gap):
            self._gaps.append(item)
            return
        if self._spans and self._spans[-1][1] == item.position:
            self._spans[-1] = self._spans[-1][0], item.end
        else:
            self._spans.append((item.position, item.end))
        self._place_levels()
        self._note_minutes(self._counter.add(item))

    def take(self, result: Result) -> None:
        """Take a result of the engine."""
        if isinstance(result, Average):
            self._add_window(result)
        elif isinstance(result, EventBegan):
            self._begun[result.label, result.onset] = result
        elif isinstance(result, SoundEvent):
            began = self._begun.pop((result.label, result.onset))
            self._events.append(
                HeardEvent(
                    result.label,
                    result.onset,
                    result.offset,
                    result.score,
                    result.short,
                    began.score,
                    began.position,
                )
            )
        elif isinstance(result, Notice):
            self._notices.append(result)

    def heard(self, promised_s: float | None, statistics: Statistics, fault: str = "") -> Heard:
        """Return what was heard, when nothing follows.

        Args:
            promised_s: Length that the header states.
            statistics: Counts of the recording.
            fault: Why it could not be read to its end; empty where it could.
        """
        self._place_levels()
        minutes = [
            HeardMinute(
                minute.position,
                minute.heard,
                minute.minute_us,
                minute.utc_offset_min,
                minute.levels(),
            )
            for _, minute in sorted(self._minutes.items())
        ]
        return Heard(
            self._stream,
            self.source_rate,
            promised_s,
            self._events,
            self._gaps,
            sorted(self._notices, key=lambda notice: notice.position),
            self._spans,
            minutes,
            self._windows(),
            statistics,
            fault,
        )

    def _place_levels(self) -> None:
        while self._measured:
            self._note_minutes(self._counter.measure(self._measured.popleft()))

    def _note_minutes(self, minutes: Iterable[Minute]) -> None:
        for minute in minutes:
            self._minutes[minute.position] = minute

    def _add_window(self, average: Average) -> None:
        if not (self._keep.averages or self._keep.features):
            return
        self._positions.append(average.position)
        self._ends.append(average.end)
        if self._keep.averages:
            self._averages.append(average.values)
        if self._keep.features:
            self._features.append(average.scores.features)

    def _windows(self) -> HeardWindows | None:
        if not (self._keep.averages or self._keep.features):
            return None
        n_labels = len(self._stream.labels)
        return HeardWindows(
            np.array(self._positions, dtype=np.int64),
            np.array(self._ends, dtype=np.int64),
            as_rows(self._averages, n_labels) if self._keep.averages else None,
            as_rows(self._features, self._n_features) if self._keep.features else None,
        )

    @property
    def _n_features(self) -> int:
        return self._stream.features.size if self._stream.features else 0


def as_rows(rows: Iterable[npt.NDArray[np.float32] | None], size: int) -> npt.NDArray[np.float32]:
    """Stack rows to ``(rows, size)`` float32; those that are None become not a number."""
    missing = np.full(size, np.nan, dtype=np.float32)
    stacked = [missing if row is None else row for row in rows]
    return np.stack(stacked) if stacked else np.zeros((0, size), dtype=np.float32)
