"""The interface of all sinks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from streamclf.core.records import Average, Block, Gap, Result, StreamStarted
from streamclf.core.stats import Statistics


class Sink(ABC):
    """Destination of results.

    `begin` is called first for each stream, before its audio (`hear`, `measure`) and its results
    (`write`).
    `end` is called after the results of a recording, `close` once at the end. A stream without any
    audio, gap or notice does not begin, such as an empty recording or a source that cannot be
    opened.
    """

    @property
    def n_lost(self) -> int:
        """Number of lines or rows that are lost."""
        return 0

    @property
    def figures(self) -> Mapping[str, int]:
        """Counts of what it did, by name: ``clips_written``. Empty in a sink that counts nothing.

        Any thread may read them.
        """
        return {}

    @property
    def measures(self) -> bool:
        """Whether `measure` wants the source's own audio."""
        return type(self).measure is not Sink.measure

    @abstractmethod
    def begin(self, stream: StreamStarted) -> None:
        """Note the stream whose audio and results follow."""

    def hear(self, item: Block | Gap) -> None:
        """Take mono audio at the model's rate, or a gap in it, before its results."""

    def measure(self, item: Block | Gap) -> None:
        """Take mono audio at the source's own rate, or a gap in it, soon after it has arrived.

        It runs ahead of `hear` and `write`: where a thread reads ahead it is called in that thread,
        while other methods run. Its calls follow each other, the first after `begin` and the last
        before `end`. An error that it raises ends the run. It costs nothing in a sink that does not
        override it.
        """

    @abstractmethod
    def write(self, result: Result) -> None:
        """Write a result; ignore kinds of results that this sink does not hold.

        Raises:
            SinkError: The result cannot be written.
        """

    def summarise(self, answer: Average) -> None:
        """Write the answer for a whole recording, if this sink holds such answers.

        Args:
            answer: The mean of all windows' scores.

        Raises:
            SinkError: The answer cannot be written.
        """

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """End the recording, after its last result.

        Args:
            statistics: Statistics of the recording.
            whole: Whether the recording was processed to its end.

        Raises:
            SinkError: The last lines of the recording cannot be written.
        """

    def reopen(self) -> None:
        """Reopen the file of this name, without waiting; a signal handler may call this."""

    def finish(self) -> None:
        """Begin to close, without waiting; no result may be written afterwards."""

    @abstractmethod
    def close(self) -> None:
        """Complete and release the file. Safe to call twice.

        Raises:
            SinkError: The file cannot be completed.
        """


class MemorySink(Sink):
    """Sink that keeps results in a list, for users of the library and for tests.

    Attributes:
        results: Pairs of a stream and a result.
    """

    def __init__(self) -> None:
        self.results: list[tuple[StreamStarted, Result]] = []
        self._stream: StreamStarted | None = None

    def begin(self, stream: StreamStarted) -> None:
        """Note the stream."""
        self._stream = stream

    def write(self, result: Result) -> None:
        """Append the result."""
        if self._stream is None:
            raise ValueError("begin() must be called before write()")
        self.results.append((self._stream, result))

    def close(self) -> None:
        """Nothing to release."""
