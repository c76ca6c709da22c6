"""Figures of a process that hears sources, for whoever watches it from outside.

`streamclf.runs.health` describes the same for people.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamclf.pipeline.engine import Engine
from streamclf.runs.health import SourceState, live_state
from streamclf.runs.tally import Delays, SourceTally, Totals
from streamclf.sinks.live.background import BackgroundLines
from streamclf.store.figures import StoreFigures


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """One source.

    Attributes:
        name: Its name.
        is_up: Whether it is neither lost, silent, failed nor ended.
        model: Name and version of its model.
        labels: Labels whose events are reported.
        hop_s: Seconds between two windows.
        requested_hop_s: The same, as requested.
        totals: Sums since the process began.
        counts: What its sinks have counted, see `streamclf.sinks.base.Sink.figures`.
        sound_to_result: From an event's onset to its begin being told.
        audio_to_scores: From a window's newest audio to its scores.
    """

    name: str
    is_up: bool
    model: str
    labels: Sequence[str]
    hop_s: float
    requested_hop_s: float
    totals: Totals
    counts: Mapping[str, int]
    sound_to_result: Delays
    audio_to_scores: Delays

    @classmethod
    def of(cls, name: str, state: SourceState, engine: Engine, tally: SourceTally) -> SourceFigures:
        """Take the figures of a source; any thread may do so while it is heard."""
        return cls(
            name=name,
            is_up=state not in ("lost", "silent", "failed", "ended"),
            model=f"{engine.card.name} {engine.card.version}".strip(),
            labels=[*engine.onset_thresholds] if engine.card.task != "regression" else [],
            hop_s=live_state(state, engine).hop_s,
            requested_hop_s=engine.hop_s,
            totals=tally.totals(),
            counts=tally.counts(),
            sound_to_result=tally.sound_to_result,
            audio_to_scores=tally.audio_to_scores,
        )


@dataclass(frozen=True, slots=True)
class LinesFigures:
    """One output of lines.

    Attributes:
        name: Its file, or ``standard output``.
        waiting_bytes: Bytes that wait to be written.
        n_lost: Lines that are lost.
    """

    name: str
    waiting_bytes: int
    n_lost: int

    @classmethod
    def of(cls, lines: BackgroundLines) -> LinesFigures:
        """Take the figures of an output."""
        return cls(lines.name, lines.waiting_bytes, lines.n_lost)


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """The whole process.

    Attributes:
        sources: Its sources.
        lines: Its outputs of lines.
        store: Its store; None where it is not known.
    """

    sources: Sequence[SourceFigures] = ()
    lines: Sequence[LinesFigures] = ()
    store: StoreFigures | None = None


class Pulse:
    """Whether a process still gives signs of life, as its watchdog would see it.

    Args:
        limit_s: Seconds after which no sign of life means that it hangs.
        now: Returns monotonic seconds.
    """

    def __init__(self, limit_s: float = 120.0, now: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._now = now
        self._beat_at = now()

    def beat(self) -> None:
        """Note a sign of life."""
        self._beat_at = self._now()

    @property
    def is_alive(self) -> bool:
        """Whether the last sign of life is recent enough."""
        return self._now() - self._beat_at < self._limit_s
