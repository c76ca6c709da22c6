"""Sums of a source that only grow while the process lives, whatever becomes of its runs.

A run ends where settings change or something fails, and its statistics end with it. Whoever reads
sums again and again, such as Prometheus, takes one that falls for the start of another process.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from streamclf.core.records import Average, EventBegan, Gap, Result, StreamStarted
from streamclf.core.stats import Statistics
from streamclf.pipeline.engine import Engine
from streamclf.sinks.base import Sink

_N = TypeVar("_N", int, float)
RESULT_BOUNDS_S = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Upper bounds of the classes of `SourceTally.sound_to_result`, in seconds."""
WINDOW_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of `SourceTally.audio_to_scores`, in seconds."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over runs of one source.

    Attributes:
        heard_s: Seconds of audio heard.
        lost_s: Seconds of audio lost, by cause.
        n_gaps: Number of gaps, by cause.
        n_windows: Windows scored.
        n_skipped: Windows left out because of overload.
        n_undefined: Windows whose scores were not finite.
        n_events: Events found, by label.
        scoring_s: Seconds spent in the model.
    """

    heard_s: float = 0.0
    lost_s: Mapping[str, float] = field(default_factory=dict)
    n_gaps: Mapping[str, int] = field(default_factory=dict)
    n_windows: int = 0
    n_skipped: int = 0
    n_undefined: int = 0
    n_events: Mapping[str, int] = field(default_factory=dict)
    scoring_s: float = 0.0

    @classmethod
    def of(cls, run: Statistics) -> Totals:
        """Take the sums of one run; any thread may do so while it goes on."""
        gaps = [*run.gaps.by_cause.items()]
        return cls(
            run.audio_s,
            {cause: n_samples / run.sample_rate for cause, (_, n_samples) in gaps},
            {cause: n_gaps for cause, (n_gaps, _) in gaps},
            run.n_windows,
            run.n_skipped,
            run.n_non_finite,
            dict([*run.events_by_label.items()]),
            run.scoring_s,
        )

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.heard_s + other.heard_s,
            _add(self.lost_s, other.lost_s),
            _add(self.n_gaps, other.n_gaps),
            self.n_windows + other.n_windows,
            self.n_skipped + other.n_skipped,
            self.n_undefined + other.n_undefined,
            _add(self.n_events, other.n_events),
            self.scoring_s + other.scoring_s,
        )


class Delays:
    """Numbers of delays, counted by length; one thread at a time adds to them.

    Args:
        bounds_s: Upper bounds of the classes, in seconds, rising.
    """

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self._counted = (0,) * (len(bounds_s) + 1), 0.0

    def add(self, delay_s: float) -> None:
        """Count a delay; one below zero, which a clock that was set makes, counts as none."""
        delay_s = max(delay_s, 0.0)
        counts, sum_s = self._counted
        at = bisect_left(self.bounds_s, delay_s)
        # Replaced at once, because others read it meanwhile.
        self._counted = (*counts[:at], counts[at] + 1, *counts[at + 1 :]), sum_s + delay_s

    def read(self) -> tuple[tuple[int, ...], float]:
        """Return the number in each class (the last is above all bounds), and the sum in s."""
        return self._counted


class SourceTally:
    """Sums of one source over all its runs and all its sinks. Any thread may read it.

    Attributes:
        sound_to_result: From an event's onset to its begin being told.
        audio_to_scores: From a window's newest audio to its scores. What a gap cut off, and so
            is known only once the gap is over, counts in neither.
    """

    def __init__(self) -> None:
        self.sound_to_result = Delays(RESULT_BOUNDS_S)
        self.audio_to_scores = Delays(WINDOW_BOUNDS_S)
        self._lock = threading.Lock()
        self._past = Totals()
        self._runs: list[Engine] = []
        self._past_counts: Counter[str] = Counter()
        self._sinks: list[Sink] = []
        self._told: dict[str, int] = {}

    def begin_run(self, engine: Engine) -> None:
        """Count what an engine hears from now on."""
        with self._lock:
            self._runs.append(engine)

    def end_run(self, engine: Engine) -> None:
        """Keep what an engine has heard, whose statistics begin anew."""
        with self._lock:
            self._past += Totals.of(engine.statistics)
            self._runs = [each for each in self._runs if each is not engine]
            engine.statistics = Statistics(engine.card.sample_rate)

    def add_sinks(self, sinks: Iterable[Sink]) -> None:
        """Count what sinks do from now on."""
        with self._lock:
            self._sinks += sinks

    def drop_sinks(self, sinks: Iterable[Sink]) -> None:
        """Keep what sinks have done, which are closed."""
        with self._lock:
            for sink in [each for each in sinks if each in self._sinks]:
                self._past_counts.update(sink.figures)
                self._sinks.remove(sink)

    def totals(self) -> Totals:
        """Sums of all runs so far."""
        with self._lock:
            return sum((Totals.of(engine.statistics) for engine in self._runs), self._past)

    def counts(self) -> dict[str, int]:
        """What all sinks have counted so far, see `Sink.figures`; nothing of it ever falls."""
        with self._lock:
            counts = Counter(self._past_counts)
            for sink in self._sinks:
                counts.update(sink.figures)
            for name, number in counts.items():
                self._told[name] = max(number, self._told.get(name, 0))
            return dict(self._told)

    def sink(self, now: Callable[[], float] = time.time) -> Sink:
        """Make a sink that counts the delays of a live stream.

        Args:
            now: Returns the seconds of the system's clock.
        """
        return _DelaySink(self, now)


class _DelaySink(Sink):
    def __init__(self, tally: SourceTally, now: Callable[[], float]) -> None:
        self._tally = tally
        self._now = now
        self._stream: StreamStarted | None = None
        self._newest: list[tuple[Delays, float]] = []  # those of the newest window

    def begin(self, stream: StreamStarted) -> None:
        self._add_newest()
        self._stream = stream if stream.live else None

    def write(self, result: Result) -> None:
        if isinstance(result, Average):
            self._add_newest()
            self._measure(self._tally.audio_to_scores, result.end)
        elif isinstance(result, EventBegan):
            self._measure(self._tally.sound_to_result, result.onset)
        elif isinstance(result, Gap):
            self._newest.clear()

    def _measure(self, delays: Delays, position: int) -> None:
        moment = self._stream.moment(position) if self._stream is not None else None
        if moment is not None:
            self._newest.append((delays, self._now() - moment.timestamp()))

    def _add_newest(self) -> None:
        for delays, delay_s in self._newest:
            delays.add(delay_s)
        self._newest.clear()

    def close(self) -> None:
        self._add_newest()
        self._stream = None


def _add(one: Mapping[str, _N], other: Mapping[str, _N]) -> Mapping[str, _N]:
    """Add number by number; `_N` is int or float."""
    summed = dict(one)
    for key, number in other.items():
        summed[key] = summed[key] + number if key in summed else number
    return summed
