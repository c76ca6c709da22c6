"""The contract that every sink keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod

from streamclf.core.records import Average, Block, Gap, Result, StreamStarted
from streamclf.core.stats import Statistics


class Sink(ABC):
    """Somewhere results go.

    `begin` is called first for each stream, before its audio (`hear`) and its results (`write`);
    `end` behind the results of a recording, `close` once at the end. A stream without any audio,
    gap or notice does not begin: a source that cannot be opened, an empty recording.
    """

    @property
    def n_lost(self) -> int:
        """Lines or rows that could not be written, and will not be."""
        return 0

    @abstractmethod
    def begin(self, stream: StreamStarted) -> None:
        """Take note of the stream whose audio and results follow."""

    def hear(self, item: Block | Gap) -> None:
        """Be shown mono audio at the model's rate, or that it is missing, before its results."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Write a result, or leave it, if it is of a kind that this sink does not hold.

        Raises:
            SinkError: It cannot be written.
        """

    def summarise(self, answer: Average) -> None:
        """Write the one answer of the stream, where this sink holds such answers.

        Args:
            answer: The mean of all its windows' scores.

        Raises:
            SinkError: It cannot be written.
        """

    def end(self, statistics: Statistics, *, whole: bool = True) -> None:
        """Be told that no more results of the recording will come.

        Args:
            statistics: Of the recording, every window counted.
            whole: Whether it was heard to its end.

        Raises:
            SinkError: What is to be written there cannot be.
        """

    def reopen(self) -> None:
        """Open the file of this name anew. Called by a signal handler: does not wait."""

    def finish(self) -> None:
        """Begin to end, where that takes time; does not wait. Nothing is written afterwards."""

    @abstractmethod
    def close(self) -> None:
        """Finish and release the file. Safe to call twice.

        Raises:
            SinkError: The file cannot be finished.
        """


class MemorySink(Sink):
    """Keeps results in a list, for the library's users and for tests.

    Attributes:
        results: Pairs of a stream and a result.
    """

    def __init__(self) -> None:
        self.results: list[tuple[StreamStarted, Result]] = []
        self._stream: StreamStarted | None = None

    def begin(self, stream: StreamStarted) -> None:
        """Take note of the stream."""
        self._stream = stream

    def write(self, result: Result) -> None:
        """Append the result."""
        if self._stream is None:
            raise ValueError("begin() must be called before write()")
        self.results.append((self._stream, result))

    def close(self) -> None:
        """Nothing to release."""
