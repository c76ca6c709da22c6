"""One answer a recording in place of its events: the mean of all its windows' scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Average, Block, Gap, Notice, Result, Scores
from streamclf.core.stats import Statistics
from streamclf.core.temperature import temper, untemper
from streamclf.sinks.base import Sink, StreamInfo


class WholeMean:
    """The mean of the windows' scores, with the temperature of an average.

    Args:
        temperature: Of the scores.

    Attributes:
        n_windows: So many were taken.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        self._temperature = temperature
        self._total: npt.NDArray[np.float64] | None = None
        self.n_windows = 0
        self._end = 0
        self._short = True

    def add(self, average: Average) -> None:
        """Take a window."""
        values = untemper(average.scores.values.astype(np.float64), self._temperature)
        self._total = values if self._total is None else self._total + values
        self.n_windows += 1
        self._end = average.end
        self._short &= average.scores.short

    def take(self) -> Average | None:
        """The mean of what was taken, as an average of one long window; None of nothing."""
        if self._total is None:
            return None
        mean = self._total / self.n_windows
        scores = Scores(0, self._end, mean.astype(np.float32), self._short)
        return Average(scores, temper(mean, self._temperature).astype(np.float32))


class SummarySink(Sink):
    """Hands a sink one answer a recording, and what is missing of it, in place of its events.

    Args:
        sink: Writes it.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._mean = WholeMean()

    @property
    def n_lost(self) -> int:
        """Lines that could not be written, and will not be."""
        return self._sink.n_lost

    def begin(self, stream: StreamInfo) -> None:
        """Take note of the stream."""
        self._mean = WholeMean(stream.temperature)
        self._sink.begin(stream)

    def hear(self, item: Block | Gap) -> None:
        """Hand it on."""
        self._sink.hear(item)

    def write(self, result: Result) -> None:
        """Take a window; hand on what is missing."""
        if isinstance(result, Average):
            self._mean.add(result)
        elif isinstance(result, Gap | Notice):
            self._sink.write(result)

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """Write the answer, if all was heard."""
        answer, self._mean = self._mean.take(), WholeMean()
        if answer is not None and whole:
            self._sink.summarise(answer)
        self._sink.end(statistics, whole=whole)

    def reopen(self) -> None:
        """Hand it on."""
        self._sink.reopen()

    def finish(self) -> None:
        """Hand it on."""
        self._sink.finish()

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
