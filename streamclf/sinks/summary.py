"""One answer for each recording in place of its events: the mean of all windows' scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamclf.core.records import Average, Block, Gap, Notice, Result, Scores, StreamStarted
from streamclf.core.stats import Statistics
from streamclf.core.temperature import temper, untemper
from streamclf.sinks.base import Sink


class RecordingMean:
    """Mean of all windows' scores, with the temperature applied to the mean.

    Args:
        temperature: Temperature of the scores.
        n_taught: Number of last classes that have no temperature.

    Attributes:
        n_windows: Number of windows so far.
    """

    def __init__(self, temperature: float = 1.0, n_taught: int = 0) -> None:
        self._temperature, self._n_taught = temperature, n_taught
        self._total: npt.NDArray[np.float64] | None = None
        self.n_windows = 0
        self._end = 0
        self._short = True

    def add(self, average: Average) -> None:
        """Add the scores of a window."""
        plain = average.scores.values.astype(np.float64)
        values = untemper(plain, self._temperature, self._n_taught)
        self._total = values if self._total is None else self._total + values
        self.n_windows += 1
        self._end = average.end
        self._short &= average.scores.short

    def compute(self) -> Average | None:
        """Return the mean as the average of one long window, or None if there are no windows."""
        if self._total is None:
            return None
        mean = self._total / self.n_windows
        scores = Scores(0, self._end, mean.astype(np.float32), self._short)
        tempered = temper(mean, self._temperature, self._n_taught)
        return Average(scores, tempered.astype(np.float32))


class SummarySink(Sink):
    """Sink that passes one answer for each recording on, and its gaps, but not its events.

    Args:
        sink: The sink that writes them.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._mean = RecordingMean()

    @property
    def n_lost(self) -> int:
        """Number of lines that are lost."""
        return self._sink.n_lost

    def begin(self, stream: StreamStarted) -> None:
        """Begin the mean of a new stream."""
        self._mean = RecordingMean(stream.temperature, stream.n_taught)
        self._sink.begin(stream)

    def hear(self, item: Block | Gap) -> None:
        """Pass the audio on."""
        self._sink.hear(item)

    def write(self, result: Result) -> None:
        """Add a window to the mean; pass gaps and notices on."""
        if isinstance(result, Average):
            self._mean.add(result)
        elif isinstance(result, Gap | Notice):
            self._sink.write(result)

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """Write the answer, if the recording was processed to its end."""
        answer, self._mean = self._mean.compute(), RecordingMean()
        if answer is not None and whole:
            self._sink.summarise(answer)
        self._sink.end(statistics, whole=whole)

    def reopen(self) -> None:
        """Reopen the file of the sink."""
        self._sink.reopen()

    def finish(self) -> None:
        """Begin to close the sink, without waiting."""
        self._sink.finish()

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
