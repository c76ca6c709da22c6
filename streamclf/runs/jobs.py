"""Several recordings at once: a thread each listens, one reader takes the results in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue

from streamclf.core.errors import SourceError
from streamclf.core.records import Average, Result
from streamclf.core.stats import Statistics
from streamclf.pipeline.engine import Engine
from streamclf.runs.runner import run_stream
from streamclf.runs.spool import Spool
from streamclf.sinks.base import Sink, StreamInfo
from streamclf.sources.recording.recording import open_recording

AHEAD = 4
"""Recordings a job that may be done before their turn; their results wait in temporary files."""

PROGRESS_S = 10.0
"""Of averages that no output wants one is kept for so many seconds of audio, to tell progress."""

PATIENCE_S = 0.5
"""How long the end waits for a thread that is inside the network."""


@dataclass(eq=False)
class Job:
    """A recording that is listened to.

    Attributes:
        path: Of the recording.
        name: What results call it.
        duration_s: As its header tells.
        started: When it began, as it tells itself.
        results: As they are found.
        statistics: Once the results have ended.
        averages: Whether the results hold every average, not only events, gaps and notices.
        error: What ended them, if it was not the end of the recording.
        whole: Whether all of it was listened to, once the results have ended.
    """

    path: Path
    name: str = ""
    averages: bool = True
    duration_s: float | None = None
    started: datetime | None = None
    results: Spool[Result] = field(default_factory=Spool)
    statistics: Statistics = field(default_factory=Statistics)
    error: BaseException | None = None
    whole: bool = False
    _opened: SimpleQueue[bool] = field(default_factory=SimpleQueue)

    def wait(self) -> bool:
        """Wait until the recording is open; False if it cannot be opened. To be asked once."""
        return self._opened.get()

    def listen(
        self,
        engine: Engine,
        stopped: Callable[[], bool],
        hearers: Callable[[], Sequence[Sink]] = tuple,
    ) -> None:
        """Run the engine; whatever goes wrong is kept for the reader, who is never left waiting."""
        try:
            self._listen(engine, stopped, hearers)
            self.whole = not stopped()
        except SourceError as error:
            self.error = error
            self.whole = not stopped()  # no more of it can be had
        except OSError as error:
            reason = error.strerror or str(error)
            self.error = SourceError(f"{self.path}: {reason[:1].lower()}{reason[1:]}")
        except BaseException as error:  # noqa: BLE001, RUF100 - raised in the reader
            self.error = error
        finally:
            self.statistics = engine.statistics
            engine.statistics = Statistics(engine.card.sample_rate)
            self._opened.put(False)
            self.results.finish()

    def _listen(
        self,
        engine: Engine,
        stopped: Callable[[], bool],
        hearers: Callable[[], Sequence[Sink]],
    ) -> None:
        with open_recording(self.path) as recording:
            self.name, self.duration_s = recording.name, recording.duration_s
            self.started = recording.started
            keeping = _Keeping(self, stopped, recording.stop)
            sinks = [*hearers(), keeping]
            self._opened.put(True)
            run_stream(engine, recording, sinks, say=lambda message: None)


class _Keeping(Sink):
    """Keeps a job's results for its reader, and ends it when all is to end."""

    def __init__(self, job: Job, stopped: Callable[[], bool], stop: Callable[[], None]) -> None:
        self._job, self._stopped, self._stop = job, stopped, stop
        self._told_s = -PROGRESS_S
        self._rate = 1

    def begin(self, stream: StreamInfo) -> None:
        """Take note of the rate."""
        self._rate = stream.sample_rate

    def write(self, result: Result) -> None:
        """Put it into the spool, if anybody wants it."""
        if self._is_wanted(result):
            self._job.results.put(result)
        if self._stopped():
            self._stop()

    def _is_wanted(self, result: Result) -> bool:
        if self._job.averages or not isinstance(result, Average):
            return True
        end_s = result.end / self._rate
        if end_s - self._told_s < PROGRESS_S:
            return False
        self._told_s = end_s
        return True

    def close(self) -> None:
        """Nothing to release."""


class Jobs:
    """Runs engines over recordings, each in a thread; iterates over the jobs in the paths' order.

    Threads may share a model: ONNX Runtime lets them share a session. All waiting is on
    SimpleQueue, so that a signal is handled at once.

    Args:
        engines: One for each recording at a time, over one scorer.
        paths: The recordings.
        interrupted: Asked before each recording and at each result; True leaves the rest.
        hearers: Makes the sinks of a recording that need its audio as well.
        averages: Whether the jobs' results hold every average.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        paths: Sequence[Path],
        interrupted: Callable[[], bool],
        hearers: Callable[[], list[Sink]] = list,
        *,
        averages: bool = True,
    ) -> None:
        self._averages = averages
        self._paths = iter(paths)
        self._interrupted = interrupted
        self._hearers = hearers
        self._closed = False
        self._lock = threading.Lock()
        self._begun: deque[Job] = deque(maxlen=(AHEAD + 1) * len(engines))
        self._jobs: SimpleQueue[Job | BaseException | None] = SimpleQueue()
        self._turns: SimpleQueue[None] = SimpleQueue()
        for _ in range(AHEAD * len(engines)):
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
        """End all that still run; what nobody has read of their results is lost."""
        self._closed = True
        for _ in self._threads:
            self._turns.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(PATIENCE_S)
        for job in self._begun:
            job.results.close()

    def _stopped(self) -> bool:
        return self._closed or self._interrupted()

    def _work(self, engine: Engine) -> None:
        try:
            while (job := self._begin()) is not None:
                job.listen(engine, self._stopped, self._hearers)
        except BaseException as error:  # noqa: BLE001, RUF100 - raised in the reader
            self._jobs.put(error)

    def _begin(self) -> Job | None:
        """The next recording's job, once it may be begun; None where no more are to be."""
        self._turns.get()
        with self._lock:
            path = None if self._stopped() else next(self._paths, None)
            job = None if path is None else Job(path, averages=self._averages)
            if job is not None:
                self._begun.append(job)
            self._jobs.put(job)
            return job
