"""One source among several, heard in a thread of its own until it ends or is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamclf.core.errors import SourceError, StreamclfError
from streamclf.core.records import Block, Gap
from streamclf.core.settings import Settings
from streamclf.core.stats import Counts, Statistics
from streamclf.model.classifier import Classifier
from streamclf.notify.lost_sources import Presence
from streamclf.pipeline.engine import Engine
from streamclf.runs.engine_setup import describe_engine
from streamclf.runs.event_summary import summarise_events
from streamclf.runs.figures import SourceFigures
from streamclf.runs.health import LiveState, SourceHealth, SourceState, live_state
from streamclf.runs.outputs import close_sinks
from streamclf.runs.runner import run_stream
from streamclf.runs.serve.plan import StreamPlan
from streamclf.runs.tally import SourceTally
from streamclf.sinks.base import Sink
from streamclf.sources.backoff import BackOff
from streamclf.sources.clock import Clock, StopSignal, SystemClock
from streamclf.sources.retried import STEADY_AFTER_S, RetriedSource
from streamclf.store.sink import StoreSink


@dataclass(frozen=True, eq=False)
class Hearing:
    """What a source is heard with: an engine that has not run yet, and the sinks of its results.

    Attributes:
        plan: The plan that it was made from.
        engine: The engine.
        sinks: Open sinks besides the store's, which whoever hears closes.
    """

    plan: StreamPlan
    engine: Engine
    sinks: Sequence[Sink]

    @property
    def classifier(self) -> Classifier:
        """The model, which other streams may use as well."""
        scorer = self.engine.scorer
        assert isinstance(scorer, Classifier)
        return scorer

    def close(self) -> None:
        """Close the sinks."""
        close_sinks([*self.sinks])


class ServedStream:
    """A source that is heard in a thread of its own.

    Whatever fails in it is its own: it is told in a line, and tried again. Audio and gaps add up
    over all runs of its engine.

    Args:
        hearing: What it is heard with at first.
        source: The source, which the stream closes.
        memory: The store's sink, which the stream closes.
        views: Sinks of those who look on and are told, which the stream closes.
        tally: Sums of the source, which outlast the stream.
        report: Called with one line of text, without the stream's name.
        note_alive: Called with the stream whenever it has heard audio, or waits for lost audio.
        on_ended: Called with the stream, in its thread, when it has ended.
        clock: Clock of the pauses between two tries; the system's by default.

    Attributes:
        hearing: What it is heard with now.
        failed: Whether it ended because its source failed and is not tried again.
    """

    def __init__(
        self,
        hearing: Hearing,
        source: RetriedSource,
        memory: StoreSink,
        *,
        views: Sequence[Sink] = (),
        tally: SourceTally | None = None,
        report: Callable[[str], None],
        note_alive: Callable[[ServedStream], None] = lambda stream: None,
        on_ended: Callable[[ServedStream], None] = lambda stream: None,
        clock: Clock | None = None,
    ) -> None:
        self.hearing = hearing
        self.failed = False
        self._source = source
        self._memory = memory
        self._views = views
        self._tally = tally or SourceTally()
        self._tally.add_sinks([memory, *hearing.sinks])
        self._delays = self._tally.sink()
        self._report = report
        self._note_alive = note_alive
        self._on_ended = on_ended
        self._engine = hearing.engine
        self._signal = hearing.engine.signal  # which outlasts the engine, as the source does
        self._past = Statistics(hearing.engine.card.sample_rate)
        self._past_counts = Counts()
        self._stop = StopSignal(clock or SystemClock())
        self._next: Hearing | None = None
        self._lock = threading.Lock()
        self._n_lost = 0
        self._ended = False
        self._thread = threading.Thread(
            target=self._run, name=f"streamclf-{hearing.plan.name}", daemon=True
        )
        source.on_waiting = self._show_life

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.hearing.plan.name

    @property
    def state(self) -> SourceState:
        """Whether it is heard; may be read from any thread."""
        if self._ended:
            return "failed" if self.failed else "ended"
        if self._source.state not in ("listening", "stalled"):
            return "lost"
        if self._source.paused:
            return "paused"
        return "silent" if self._signal.is_silent else "heard"

    @property
    def presence(self) -> Presence:
        """Whether it is heard, and its signal; may be read from any thread."""
        signal = self._signal
        return Presence(self.state, signal.still_since_s, signal.signal_at_s)

    @property
    def paused(self) -> bool:
        """Whether somebody paused it, even while it is lost; may be read from any thread."""
        return self._source.paused

    @property
    def n_lost(self) -> int:
        """Number of results that could not be written."""
        sinks = [self._memory, *self.hearing.sinks]
        return self._n_lost + sum(sink.n_lost for sink in sinks)

    @property
    def counts(self) -> Counts:
        """Figures so far; may be read from any thread."""
        return self._past_counts + Counts.of(self._engine.statistics)

    @property
    def statistics(self) -> Statistics:
        """Statistics over all runs, once the stream has ended."""
        return self._past

    @property
    def live_state(self) -> LiveState:
        """How the source fares at this moment; may be read from any thread."""
        return live_state(self.state, self._engine, self.hearing.plan.served.calibration_db)

    @property
    def health(self) -> SourceHealth:
        """How the source has fared so far; may be read from any thread."""
        totals = self._tally.totals()
        return SourceHealth.of(self.name, self.state, self._engine, totals, self.n_lost)

    @property
    def figures(self) -> SourceFigures:
        """Figures of the source since the process began; may be read from any thread."""
        return SourceFigures.of(self.name, self.state, self._engine, self._tally)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Let it end soon, as if its source had ended; safe to call from any thread."""
        self._stop.set()
        self._source.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait until it has ended; returns whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def tune(self, plan: StreamPlan, settings: Settings) -> None:
        """Change hop, average and thresholds from the next audio on.

        Raises:
            UsageError: The settings do not fit the model.
        """
        with self._lock:
            target = self._next or self.hearing
            target.engine.change(settings)
            changed = Hearing(plan, target.engine, target.sinks)
            if self._next is None:
                self.hearing = changed
            else:
                self._next = changed

    def pause(self, *, paused: bool) -> None:
        """Hear the source no more, or again; what is not heard is recorded as missing."""
        self._source.paused = paused

    def change(self, hearing: Hearing) -> None:
        """Hear the same source with something else from the next audio on; no audio is lost."""
        with self._lock:
            unused, self._next = self._next, hearing
        if unused is not None:
            unused.close()
        self._source.cut()

    def summarise(self) -> str:
        """Describe what was heard in one line, once the stream has ended."""
        if not self._past.delivered_samples:
            return "nothing was heard"
        engine = self.hearing.engine
        found = summarise_events(self._past, engine.card, engine.onset_thresholds)
        return "; ".join(part for part in (self._past.summary(), found) if part)

    # The methods below run in the thread.

    def _run(self) -> None:
        try:
            self._hear_to_the_end()
        finally:
            self._source.close()
            with self._lock:
                unused, self._next = self._next, None
            if unused is not None:
                unused.close()
            self.hearing.close()
            self._memory.close()
            self._tally.drop_sinks([self._memory, *self.hearing.sinks])
            for view in self._views:
                view.close()
            self._ended = True
            self._on_ended(self)

    def _hear_to_the_end(self) -> None:
        back_off = BackOff()
        while not (self._stop.is_set() or self._source.has_ended):
            self._take_over()
            try:
                self._hear()
            except SourceError as error:  # it is not to be tried again
                self.failed = True
                self._report(f"error: {error}")
                return
            except Exception as error:  # any error: it must not end the other streams
                self._report(f"error: {describe_error(error)}; listening begins anew")
                if self._engine.statistics.audio_s >= STEADY_AFTER_S:
                    back_off.reset()
                self._show_life()
                self._stop.sleep(back_off.next_s())
                self._renew_engine()

    def _take_over(self) -> None:
        """Take what was given to `change` since the last run."""
        with self._lock:
            following, self._next = self._next, None
            if following is None:
                return
            before, self.hearing = self.hearing, following
            self._engine = following.engine
        self._tally.add_sinks(following.sinks)
        before.close()
        self._tally.drop_sinks(before.sinks)
        self._n_lost += sum(sink.n_lost for sink in before.sinks)

    def _renew_engine(self) -> None:
        """Make the engine anew, as one that failed cannot be trusted."""
        with self._lock:
            hearing = self.hearing
            self._engine = Engine(hearing.engine.scorer, hearing.engine.settings)
            self.hearing = Hearing(hearing.plan, self._engine, hearing.sinks)

    def _hear(self) -> None:
        engine = self._engine
        engine.signal = self._signal
        sinks = [self._memory, *self.hearing.sinks, *self._views, self._delays]
        self._memory.calibration_db = self.hearing.plan.served.calibration_db
        self._tally.begin_run(engine)
        try:
            run_stream(
                engine, self._source, sinks, say=self._report, on_start=self._report_start,
                on_audio=self._note_audio,
            )  # fmt: skip
        finally:
            self._past.add(engine.statistics)
            self._past_counts = Counts.of(self._past)
            self._tally.end_run(engine)

    def _report_start(self) -> None:
        hearing = self.hearing
        self._report(f"listening with {describe_engine(hearing.engine, hearing.classifier.model)}")

    def _note_audio(self, item: Block | Gap) -> None:
        self._show_life()

    def _show_life(self) -> None:
        self._note_alive(self)


def describe_error(error: Exception) -> str:
    """Describe an error in a line; one that is not our own is a mistake in streamclf."""
    if isinstance(error, StreamclfError):
        return str(error)
    return f"a mistake in streamclf itself: {type(error).__name__}: {error}"
