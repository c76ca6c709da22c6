"""Recordings, one after the other: what one cannot deliver does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamclf.console import Bars
from streamclf.engine import Engine
from streamclf.errors import SourceError
from streamclf.records import Average
from streamclf.runner import run_stream
from streamclf.sinks.base import Sink
from streamclf.sources.recording import Recording
from streamclf.stats import Statistics, count, format_length


@dataclass
class BatchReport:
    """How a batch went.

    Attributes:
        statistics: Summed over the recordings.
        n_recordings: That were to be done.
        n_done: That were read to their end.
        failures: What went wrong, a line each.
    """

    statistics: Statistics
    n_recordings: int = 0
    n_done: int = 0
    failures: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line for people."""
        total = self.statistics
        what = count(self.n_recordings, "recording")
        speed = total.audio_s / total.elapsed_s if total.elapsed_s else 0.0
        gaps = f", {count(total.n_gaps, 'gap')}" if total.n_gaps else ""
        return (
            f"{what}, {format_length(total.audio_s)} of audio in "
            f"{format_length(total.elapsed_s)} ({speed:.0f}x real time), "
            f"{count(total.n_windows, 'window')}, {count(total.n_events, 'event')}{gaps}"
        )


def run_recordings(
    engine: Engine,
    paths: Sequence[Path],
    sinks_for: Callable[[Path], list[Sink]],
    bars: Bars,
    *,
    interrupted: Callable[[], bool] = lambda: False,
) -> BatchReport:
    """Listen to recordings.

    Args:
        engine: Runs once a recording.
        paths: The recordings.
        sinks_for: The sinks that a recording's results go to.
        bars: Progress, and where notices are said.
        interrupted: Asked after each recording; True leaves the rest.

    Raises:
        SinkError: Results cannot be written; no recording after it would fare better.
    """
    report = BatchReport(Statistics(engine.card.sample_rate), len(paths))
    for path in paths:
        if interrupted():
            break
        try:
            with Recording(path) as recording:
                bars.begin(recording.name, recording.duration_s)
                run_stream(
                    engine,
                    recording,
                    sinks_for(path),
                    say=bars.say,
                    on_average=lambda average: _advance(bars, engine, average),
                )
        except SourceError as error:
            report.failures.append(str(error))
        else:
            report.n_done += 1
        finally:
            report.statistics.add(engine.statistics)
            engine.statistics = Statistics(engine.card.sample_rate)
            bars.end(report.n_done + len(report.failures))
    return report


def _advance(bars: Bars, engine: Engine, average: Average) -> None:
    seconds = average.end / engine.card.sample_rate
    elapsed = engine.statistics.elapsed_s
    bars.advance_to(seconds, f"{seconds / elapsed:.0f}x real time" if elapsed else "")


def output_for(template: Path, recording: Path) -> Path:
    """Fill ``{stem}`` (the recording's name without ending) and ``{dir}`` (its folder) in."""
    text = str(template).replace("{stem}", recording.stem).replace("{dir}", str(recording.parent))
    return Path(text)


def is_template(path: Path) -> bool:
    """Whether a name stands for a file a recording."""
    return "{stem}" in str(path) or "{dir}" in str(path)
