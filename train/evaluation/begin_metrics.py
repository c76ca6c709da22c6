"""Delay and precision of begins: reported begins of events against the true events.

A begin is right if its label sounds: it became known no sooner than the true event began and no
later than `LATE_S` after its end, and its onset lies before the true end. Each true event takes one
begin, the first; a second one is false. The delay is from the true onset to when the begin was
known. It contains everything: the part of the sound that a window needs, the windows and averages
that are waited for, and, live, the time of the computation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from train.evaluation.event_metrics import Event

LATE_S = 3.0
"""Seconds after the end of a sound in which its begin still counts: the length of an average."""


@dataclass(frozen=True)
class Begin:
    """A reported begin, in seconds from the recording's start.

    Attributes:
        source: The recording.
        label: Label of the event.
        onset: Reported onset of the event.
        known: Time of the report.
    """

    source: str
    label: str
    onset: float
    known: float


@dataclass
class BeginFigures:
    """Figures of reported begins.

    Attributes:
        delays: Delays of the right ones, in seconds.
        n_reported: Number of reported begins.
        n_true: Number of true events.
    """

    delays: list[float] = field(default_factory=list)
    n_reported: int = 0
    n_true: int = 0

    @property
    def precision(self) -> float:
        """Part of the reported begins that are right."""
        return len(self.delays) / self.n_reported if self.n_reported else float("nan")

    @property
    def recall(self) -> float:
        """Part of the true events that were reported."""
        return len(self.delays) / self.n_true if self.n_true else float("nan")

    def delay(self, percent: float) -> float:
        """A percentile of the delays, in seconds."""
        return float(np.percentile(self.delays, percent)) if self.delays else float("nan")


def evaluate_begins(truth: Iterable[Event], begins: Iterable[Begin]) -> BeginFigures:
    """Pair begins with true events of the same source and label, in the order of time."""
    figures = BeginFigures()
    waiting: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in sorted(truth, key=lambda event: event.onset):
        figures.n_true += 1
        waiting[event.source, event.label].append(event)
    for begin in sorted(begins, key=lambda begin: begin.known):
        figures.n_reported += 1
        own = waiting[begin.source, begin.label]
        for event in own:
            in_time = event.onset <= begin.known <= event.offset + LATE_S
            if in_time and begin.onset <= event.offset:
                own.remove(event)
                figures.delays.append(begin.known - event.onset)
                break
    return figures
