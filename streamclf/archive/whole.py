"""Hearing of a whole recording in one pass, as one record of all that its results need.

`Heard` is the same whether a recording was heard in one pass or in pieces
(`streamclf.archive.piece`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streamclf.core.event_id import event_id
from streamclf.core.records import Gap, Notice, StreamStarted
from streamclf.core.stats import Statistics
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.levels import Levels
from streamclf.sources.recording.recording import Recording


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of a recording beside its events, gaps and notices.

    Attributes:
        levels: Levels of each minute.
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
        levels: Its levels in dBFS; None if nothing was measured.
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
        minutes: Minutes of levels; None unless asked for.
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
    minutes: list[HeardMinute] | None = None
    windows: HeardWindows | None = None
    statistics: Statistics = field(default_factory=Statistics)
    fault: str = ""


def hear_whole(engine: Engine, recording: Recording, keep: Keep | None = None) -> Heard:
    """Hear a recording in one pass.

    Args:
        engine: The engine. Scores do not depend on what it heard before.
        recording: An open recording; the caller closes it. If it is stopped meanwhile, what is
            returned is what was heard until then.
        keep: What is kept.

    Returns:
        What was heard. A fault of the recording does not raise: it is in ``fault``.
    """
    raise NotImplementedError
