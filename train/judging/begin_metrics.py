"""How soon, and how rightly, events are told of: begins against the true events.

A begin is right if its label sounds: it became known no sooner than the true event began and no
later than `LATE_S` after it ended, and places its onset before the true end. Each true event takes
one begin, the first; a second one is false. The delay is from the true onset to when the begin was
known, so that it holds all of it: the part of the sound that a window needs, the windows and
averages that are waited for, and, live, the time that all of it took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from train.judging.event_metrics import Event

LATE_S = 3.0
"""After the end of a sound its begin still counts: as long as an average looks back."""


@dataclass(frozen=True)
class Begin:
    """A begin as it was told, in seconds from the recording's start.

    Attributes:
        source: The recording.
        label: The event's.
        onset: Where the event was said to begin.
        known: When that was said.
    """

    source: str
    label: str
    onset: float
    known: float


@dataclass
class BeginFigures:
    """What begins are worth.

    Attributes:
        delays: Of the right ones, in seconds.
        n_told: Begins.
        n_true: True events.
    """

    delays: list[float] = field(default_factory=list)
    n_told: int = 0
    n_true: int = 0

    @property
    def precision(self) -> float:
        """Right ones of those told."""
        return len(self.delays) / self.n_told if self.n_told else float("nan")

    @property
    def recall(self) -> float:
        """True events that were told of."""
        return len(self.delays) / self.n_true if self.n_true else float("nan")

    def delay(self, percent: float) -> float:
        """A percentile of the delays, in seconds."""
        return float(np.percentile(self.delays, percent)) if self.delays else float("nan")


def judge_begins(truth: Iterable[Event], begins: Iterable[Begin]) -> BeginFigures:
    """Pair begins with true events of the same source and label, in the order of time."""
    figures = BeginFigures()
    waiting: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in sorted(truth, key=lambda event: event.onset):
        figures.n_true += 1
        waiting[event.source, event.label].append(event)
    for begin in sorted(begins, key=lambda begin: begin.known):
        figures.n_told += 1
        own = waiting[begin.source, begin.label]
        for event in own:
            in_time = event.onset <= begin.known <= event.offset + LATE_S
            if in_time and begin.onset <= event.offset:
                own.remove(event)
                figures.delays.append(begin.known - event.onset)
                break
    return figures
