"""The contract that every sink keeps, and what all of them derive from positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from streamclf.core.card import Task, Unknown
from streamclf.core.local_clock import LocalClock
from streamclf.core.records import Average, Block, Gap, Result
from streamclf.core.stats import Statistics


@dataclass(frozen=True)
class StreamInfo:
    """What a sink needs to know of the stream whose results follow.

    Attributes:
        source: Its name.
        sample_rate: The model's, in Hz, at which positions count.
        labels: The model's.
        task: The model's.
        started: Local time of its first sample; of recordings as they tell it, with or without an
            offset from UTC.
        unknown: How the model's unknown sounds are told, if they are.
        clock: Tells when the samples of a live stream sounded.
        live: Whether its audio came at the pace of the clock.
        display_names: What people read in place of each label; a label without one is shown itself.
        thresholds: Averaged score at which an event begins, for the labels whose events count.
        temperature: Of the scores, see `streamclf.core.temperature`.
        run: Tells one run over a live source from the next; empty of recordings, whose events
            are the same each time.
    """

    source: str
    sample_rate: int
    labels: list[str]
    task: Task
    started: datetime | None = None
    unknown: Unknown | None = None
    clock: LocalClock | None = None
    live: bool = False
    display_names: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    run: str = ""

    def display_name(self, label: str) -> str:
        """What people read in place of a label."""
        return self.display_names.get(label, label)

    def event_id(self, record_id: str) -> str:
        """What an event is called where results of several runs may meet.

        Args:
            record_id: Unique within the stream, from the event's records.
        """
        return f"{record_id}@{self.run}" if self.run else record_id

    def seconds(self, position: int) -> float:
        """A position in seconds from the stream's start, to the microsecond."""
        return round(position / self.sample_rate, 6)

    def moment(self, position: int) -> datetime | None:
        """When a sample sounded, in local time; None where nothing tells it."""
        if self.clock is not None:
            return self.clock.moment(position)
        if self.started is None:
            return None
        return self.started + timedelta(seconds=position / self.sample_rate)

    def wall_clock(self, position: int) -> tuple[str, str]:
        """A position as local time without an offset, and that offset from UTC (``+02:00``).

        Both have one form in every row of a table; they are empty where nothing tells them.
        """
        moment = self.moment(position)
        if moment is None:
            return "", ""
        text, plain = moment.isoformat(timespec="milliseconds"), moment.replace(tzinfo=None)
        wall = plain.isoformat(timespec="milliseconds")
        return wall, text.removeprefix(wall)

    def time(self, position: int) -> str | None:
        """A position as local time, ISO 8601, with its offset from UTC where that is known."""
        moment = self.moment(position)
        return moment.isoformat(timespec="milliseconds") if moment is not None else None


class Sink(ABC):
    """Somewhere results go.

    `begin` is called before the results of each stream, `end` behind those of a recording, `close`
    once at the end.
    """

    @property
    def n_lost(self) -> int:
        """Lines or rows that could not be written, and will not be."""
        return 0

    @abstractmethod
    def begin(self, stream: StreamInfo) -> None:
        """Take note of the stream whose results follow."""

    def hear(self, item: Block | Gap) -> None:
        """Be shown mono audio at the model's rate, or that it is missing, before its results.

        The first audio of a stream comes before `begin`: what a stream is, its first result tells.
        """

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
        self.results: list[tuple[StreamInfo, Result]] = []
        self._stream: StreamInfo | None = None

    def begin(self, stream: StreamInfo) -> None:
        """Take note of the stream."""
        self._stream = stream

    def write(self, result: Result) -> None:
        """Append the result."""
        if self._stream is None:
            raise ValueError("begin() must be called before write()")
        self.results.append((self._stream, result))

    def close(self) -> None:
        """Nothing to release."""
