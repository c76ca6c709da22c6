"""Processing of several recordings at once, in one thread each, with results read in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from streamclf.core.errors import SinkError, SourceError
from streamclf.core.records import Average, Result, StreamStarted
from streamclf.core.stats import Statistics
from streamclf.pipeline.engine import Engine
from streamclf.runs.runner import run_stream
from streamclf.runs.spool import Spool
from streamclf.sinks.base import Sink
from streamclf.sources.recording.recording import open_recording

MAX_AHEAD_PER_JOB = 4
"""Most recordings per thread that may be started before their turn; their results wait in temporary
files."""

PROGRESS_S = 10.0
"""Seconds of audio between two averages that are kept for the progress bar, if no output needs all
averages."""

JOIN_TIMEOUT_S = 0.5
"""Longest wait, in seconds, for a thread to end, which may be running the network."""


@dataclass(eq=False)
class Job:
    """The processing of one recording.

    Attributes:
        path: Path of the recording.
        name: Name of the recording in results.
        duration_s: Duration according to its header, or None.
        results: The `StreamStarted` and the results in order, as they are found.
        statistics: Statistics of the recording, set when the results end.
        averages: Whether the results hold every average, besides events, gaps and notices.
        error: The error that ended the results; None at the end of the recording.
        whole: Whether the recording was processed to its end, set when the results end.
    """

    path: Path
    name: str = ""
    averages: bool = True
    duration_s: float | None = None
    results: Spool[StreamStarted | Result] = field(default_factory=Spool)
    statistics: Statistics = field(default_factory=Statistics)
    error: BaseException | None = None
    whole: bool = False
    _opened: SimpleQueue[bool] = field(default_factory=SimpleQueue)

    def wait(self) -> bool:
        """Wait until the recording is open; False if that failed. May be called only once."""
        return self._opened.get()

    def listen(
        self,
        engine: Engine,
        stopped: Callable[[], bool],
        audio_sinks: Callable[[], Sequence[Sink]] = tuple,
    ) -> None:
        """Run the engine over the recording; store any error for the reader of the results.

        Args:
            engine: Engine of this thread.
            stopped: Returns whether the batch has been stopped.
            audio_sinks: Makes the sinks that also need the recording's audio.
        """
        sinks: list[Sink] = []
        try:
            self._listen(engine, stopped, audio_sinks, sinks)
            self.whole = not stopped()
        except SourceError as error:
            self.error = error
            self.whole = not stopped()  # the rest of the recording cannot be read
        except OSError as error:
            reason = error.strerror or str(error)
            self.error = SourceError(f"{self.path}: {reason[:1].lower()}{reason[1:]}")
        except BaseException as error:  # noqa: BLE001, RUF100 - raised in the reader
            self.error = error
        finally:
            self.statistics = engine.statistics
            engine.statistics = Statistics(engine.card.sample_rate)
            self._end(sinks)
            self._opened.put(False)
            self.results.finish()

    def _end(self, sinks: Sequence[Sink]) -> None:
        """End the sinks of this thread; their error is raised in the reader, as any other."""
        try:
            for sink in reversed(sinks):  # a clip's sink tells the store's of its last clips
                sink.end(self.statistics, whole=self.whole)
                sink.close()
        except SinkError as error:
            self.error, self.whole = self.error or error, False

    def _listen(
        self,
        engine: Engine,
        stopped: Callable[[], bool],
        audio_sinks: Callable[[], Sequence[Sink]],
        sinks: list[Sink],
    ) -> None:
        with open_recording(self.path) as recording:
            self.name, self.duration_s = recording.name, recording.duration_s
            spool_sink = _SpoolSink(self, stopped, recording.stop)
            sinks += audio_sinks()
            self._opened.put(True)
            run_stream(engine, recording, [*sinks, spool_sink], say=lambda message: None)


class _SpoolSink(Sink):
    """Sink that puts a job's results into its spool, and stops the job with the batch."""

    def __init__(self, job: Job, stopped: Callable[[], bool], stop: Callable[[], None]) -> None:
        self._job, self._stopped, self._stop = job, stopped, stop
        self._progress_s = -PROGRESS_S
        self._rate = 1

    def begin(self, stream: StreamStarted) -> None:
        """Put the start of the stream into the spool, before its results."""
        self._rate = stream.sample_rate
        self._job.results.put(stream)

    def write(self, result: Result) -> None:
        """Put the result into the spool, if the reader needs it."""
        if self._is_wanted(result):
            self._job.results.put(result)
        if self._stopped():
            self._stop()

    def _is_wanted(self, result: Result) -> bool:
        if self._job.averages or not isinstance(result, Average):
            return True
        end_s = result.end / self._rate
        if end_s - self._progress_s < PROGRESS_S:
            return False
        self._progress_s = end_s
        return True

    def close(self) -> None:
        """Nothing to release."""


class Jobs:
    """Jobs over recordings, run by one thread per engine; iteration yields them in the given order.

    The threads share one model, as ONNX Runtime allows for a session. The reader waits only on
    SimpleQueue, so that signals are handled at once.

    Args:
        engines: One engine for each thread, with the same scorer.
        paths: The recordings.
        interrupted: Called before each recording and at each result; True ends the batch.
        audio_sinks: Makes the sinks of a recording that also need its audio.
        averages: Whether the jobs' results hold every average.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        paths: Sequence[Path],
        interrupted: Callable[[], bool],
        audio_sinks: Callable[[], list[Sink]] = list,
        *,
        averages: bool = True,
    ) -> None:
        self._averages = averages
        self._paths = iter(paths)
        self._interrupted = interrupted
        self._audio_sinks = audio_sinks
        self._closed = False
        self._lock = threading.Lock()
        self._started_jobs: deque[Job] = deque(maxlen=(MAX_AHEAD_PER_JOB + 1) * len(engines))
        self._jobs: SimpleQueue[Job | BaseException | None] = SimpleQueue()
        self._turns: SimpleQueue[None] = SimpleQueue()
        for _ in range(MAX_AHEAD_PER_JOB * len(engines)):
            self._turns.put(None)
        self._threads = [
            threading.Thread(target=self._work, args=(engine,), name="streamclf-job", daemon=True)
            for engine in engines
        ]

    def __iter__(self) -> Iterator[Job]:
        for thread in self._threads:
            thread.start()
        while (job := self._jobs.get()) is not None:
            if isinstance(job, BaseException):
                raise job
            yield job
            job.results.close()
            self._turns.put(None)

    def close(self) -> None:
        """End all running jobs; results that have not been read are lost."""
        self._closed = True
        for _ in self._threads:
            self._turns.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(JOIN_TIMEOUT_S)
        for job in self._started_jobs:
            job.results.close()

    def _stopped(self) -> bool:
        return self._closed or self._interrupted()

    def _work(self, engine: Engine) -> None:
        try:
            while (job := self._begin()) is not None:
                job.listen(engine, self._stopped, self._audio_sinks)
        except BaseException as error:  # noqa: BLE001, RUF100 - raised in the reader
            self._jobs.put(error)

    def _begin(self) -> Job | None:
        """Wait until the next recording may be started, and return its job; None after the last."""
        self._turns.get()
        with self._lock:
            path = None if self._stopped() else next(self._paths, None)
            job = None if path is None else Job(path, averages=self._averages)
            if job is not None:
                self._started_jobs.append(job)
            self._jobs.put(job)
            return job
