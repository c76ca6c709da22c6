"""What the page and Prometheus are told of the one source of `listen`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamclf.core.redaction import one_line
from streamclf.pipeline.engine import Engine
from streamclf.runs.figures import ProcessFigures, Pulse, SourceFigures
from streamclf.runs.health import LiveState, ProcessHealth, SourceHealth, SourceState, live_state
from streamclf.runs.tally import SourceTally
from streamclf.sinks.base import Sink
from streamclf.sources.base import Source


class ListenedSource:
    """How a source fares; any thread may ask. There is none to tell of until `begin`.

    Args:
        engine: The engine that hears it.
        store: The store that remembers it; None for none.

    Attributes:
        pulse: Sign of life of the process.
    """

    def __init__(self, engine: Engine, store: Path | None) -> None:
        self.pulse = Pulse()
        self._engine = engine
        self._process = ProcessHealth(store)
        self._tally = SourceTally()
        self._source: Source | None = None
        self._sinks: Sequence[Sink] = ()

    def begin(self, source: Source, sinks: Sequence[Sink]) -> None:
        """Tell of a source from now on.

        Args:
            source: The source, open.
            sinks: Where its results go; what they lose is counted.
        """
        self._tally.begin_run(self._engine)
        self._tally.add_sinks(sinks)
        self._source, self._sinks = source, sinks

    def tally_sink(self) -> Sink:
        """Make the sink that measures how soon results come."""
        return self._tally.sink()

    def live_state(self) -> LiveState | None:
        """Tell how it fares at this moment; None before `begin`."""
        source = self._source
        return None if source is None else live_state(self._state_of(source), self._engine)

    def describe_health(self) -> dict[str, Any]:
        """Describe how the process and the source fare, see `ProcessHealth.describe`."""
        source = self._source
        if source is None:
            return self._process.describe([])
        n_lost = sum(sink.n_lost for sink in self._sinks)
        name, totals = one_line(source.result_name), self._tally.totals()
        health = SourceHealth.of(name, self._state_of(source), self._engine, totals, n_lost)
        return self._process.describe([health])

    def figures(self) -> ProcessFigures:
        """Figures of the process and the source."""
        source = self._source
        if source is None:
            return ProcessFigures([])
        name, state = one_line(source.result_name), self._state_of(source)
        return ProcessFigures([SourceFigures.of(name, state, self._engine, self._tally)])

    def _state_of(self, source: Source) -> SourceState:
        if source.state not in ("listening", "stalled"):
            return "lost"
        return "silent" if self._engine.signal.is_silent else "heard"
