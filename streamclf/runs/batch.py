"""Processing of many recordings in order; a failing recording does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.core.card import Card
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import SourceError
from streamclf.core.records import Average
from streamclf.core.stats import Statistics
from streamclf.core.text_format import format_count, format_length, format_pace
from streamclf.pipeline.engine import Engine
from streamclf.runs.console import Bars
from streamclf.runs.runner import run_stream, write_results
from streamclf.sinks.base import Sink
from streamclf.sources.recording.recording import Recording, open_recording

if TYPE_CHECKING:
    from streamclf.runs.jobs import Job


@dataclass
class BatchReport:
    """Result of a batch.

    Attributes:
        statistics: Statistics, summed over the recordings.
        n_recordings: Number of recordings in the batch.
        n_done: Number of recordings that were read to the end that their headers state.
        failures: Errors of recordings, one line each.
    """

    statistics: Statistics
    n_recordings: int = 0
    n_done: int = 0
    failures: list[str] = field(default_factory=list)

    def summary(self, *, events: bool = True) -> str:
        """Describe the batch in one line for people.

        Args:
            events: Include the number of events.
        """
        total = self.statistics
        what = format_count(self.n_recordings, "recording")
        if self.n_done != self.n_recordings:
            what = f"{self.n_done} of {what}"
        speed = total.audio_s / total.elapsed_s if total.elapsed_s else 0.0
        gaps = f", {total.describe_gaps()}" if total.n_gaps else ""
        found = f", {format_count(total.n_events, 'event')}" if events else ""
        return (
            f"{what}, {format_length(total.audio_s)} of audio in "
            f"{format_length(total.elapsed_s)} ({format_pace(speed)} real time), "
            f"{format_count(total.n_windows, 'window')}{found}{gaps}"
        )


def run_recordings(
    engines: Sequence[Engine],
    paths: Sequence[Path],
    sinks_for: Callable[[Path], list[Sink]],
    bars: Bars,
    *,
    interrupted: Callable[[], bool] = lambda: False,
    on_end: Callable[[Path, Statistics], None] = lambda path, statistics: None,
    audio_sinks: Callable[[], list[Sink]] = list,
    averages: bool = True,
) -> BatchReport:
    """Process recordings, and write their results in the order of the paths.

    Args:
        engines: Engines with the same scorer; each processes one recording at a time.
        paths: The recordings.
        sinks_for: Returns the sinks for a recording's results.
        bars: Progress bars, which also log notices.
        interrupted: Called after each recording; True leaves out the rest.
        on_end: Called when a recording has been read to its end, damaged or not, and its results
            are written; with what was heard of it.
        audio_sinks: Makes the sinks of a recording that also need its audio. They are used in the
            thread that processes it.
        averages: Whether the sinks need every average. If not, only events, gaps, notices and a few
            averages for the progress bar are stored for recordings that wait for their turn.

    Returns:
        The report of the batch.

    Raises:
        SinkError: Results cannot be written, which ends the batch.
    """
    report = BatchReport(Statistics(engines[0].card.sample_rate), len(paths))
    if len(engines) == 1:
        _run_in_turn(
            engines[0],
            paths,
            sinks_for,
            audio_sinks,
            bars,
            report,
            interrupted,
            on_end,
        )
        return report
    from streamclf.runs.jobs import Jobs

    began = time.perf_counter()
    with closing(Jobs(engines, paths, interrupted, audio_sinks, averages=averages)) as jobs:
        for job in jobs:
            sinks = _write_job(job, engines[0], sinks_for, bars, report, began)
            _end(sinks, job.statistics, whole=job.whole)
            if job.whole:
                on_end(job.path, job.statistics)
            elif interrupted():
                break
    report.statistics.elapsed_s = time.perf_counter() - began
    return report


def _run_in_turn(
    engine: Engine,
    paths: Sequence[Path],
    sinks_for: Callable[[Path], list[Sink]],
    audio_sinks: Callable[[], list[Sink]],
    bars: Bars,
    report: BatchReport,
    interrupted: Callable[[], bool],
    on_end: Callable[[Path, Statistics], None],
) -> None:
    for path in paths:
        if interrupted():
            break
        sinks: list[Sink] = []
        own: list[Sink] = []
        try:
            with open_recording(path) as recording:
                bars.begin(recording.name, recording.duration_s)
                sinks, own = sinks_for(path), audio_sinks()
                _run_alone(engine, recording, [*sinks, *own], bars, interrupted)
        except SourceError as error:
            report.failures.append(str(error))
        else:
            report.n_done += not interrupted()
        finally:
            statistics = engine.statistics
            report.statistics.add(statistics, str(path))
            engine.statistics = Statistics(engine.card.sample_rate)
            bars.end(report.n_done + len(report.failures))
        whole = not interrupted()
        _end(sinks, statistics, whole=whole)
        # As far as one of them has something to tell another, it is the later one that tells.
        for sink in reversed(own):
            sink.end(statistics, whole=whole)
            sink.close()
        if whole:
            on_end(path, statistics)


def _run_alone(
    engine: Engine,
    recording: Recording,
    sinks: list[Sink],
    bars: Bars,
    interrupted: Callable[[], bool],
) -> None:
    def advance(average: Average) -> None:
        _advance(bars, average, engine.card, engine.statistics.elapsed_s)

    def end_if_interrupted() -> None:
        if interrupted():  # the signal may have come before the engine had the recording
            recording.stop()

    run_stream(
        engine, recording, sinks, say=bars.say, on_start=end_if_interrupted, on_average=advance
    )


def _end(sinks: Sequence[Sink], statistics: Statistics, *, whole: bool) -> None:
    for sink in sinks:
        sink.end(statistics, whole=whole)


def _write_job(
    job: Job,
    engine: Engine,
    sinks_for: Callable[[Path], list[Sink]],
    bars: Bars,
    report: BatchReport,
    began: float,
) -> list[Sink]:
    """Write the results of a job, as they come, until they end.

    Returns:
        The sinks of the recording.
    """
    heard_s = report.statistics.audio_s
    sinks: list[Sink] = []
    if job.wait():
        bars.begin(job.name, job.duration_s)
        sinks = sinks_for(job.path)
        write_results(
            job.results,
            sinks,
            say=bars.say,
            on_average=lambda average: _advance(
                bars, average, engine.card, time.perf_counter() - began, heard_s
            ),
        )
    else:
        job.results.wait()
    report.statistics.add(job.statistics, job.name)
    if isinstance(job.error, SourceError):
        report.failures.append(str(job.error))
    elif job.error is not None:
        raise job.error
    elif job.whole:
        report.n_done += 1
    bars.end(report.n_done + len(report.failures))
    return sinks


def _advance(
    bars: Bars, average: Average, card: Card, elapsed_s: float, before_s: float = 0.0
) -> None:
    seconds = average.end / card.sample_rate
    speed = f"{format_pace((before_s + seconds) / elapsed_s)} real time" if elapsed_s else ""
    bars.advance_to(seconds, speed)


def count_jobs(asked: int | None, n_recordings: int) -> int:
    """Return the number of recordings to process at once: as requested, or one for each core."""
    return max(1, min(asked or count_cores(), n_recordings))


def has_spare_core(provider: str, n_threads: int) -> bool:
    """Whether a core is free for reading ahead; without one, reading ahead slows the run down.

    Args:
        provider: Execution provider of the network.
        n_threads: Threads of the network; 0 means all cores.
    """
    return provider != "cpu" or 0 < n_threads < count_cores()
