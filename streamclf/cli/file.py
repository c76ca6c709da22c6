"""The command `file`: sound events in recordings."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.cli import screen as ui
from streamclf.cli.reports import say_found
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import FAILED, INTERRUPTED, OK, UsageError
from streamclf.core.settings import Settings
from streamclf.core.standard_streams import is_terminal
from streamclf.core.thresholds import ThresholdOptions
from streamclf.dashboard.options import ScreenOptions
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import ModelOptions
from streamclf.pipeline.engine import Engine
from streamclf.runs.batch import BatchReport, count_jobs, has_spare_core, run_recordings
from streamclf.runs.console import Bars, say
from streamclf.runs.engine_setup import describe_provider, open_engine
from streamclf.runs.interrupts import Interrupts
from streamclf.runs.outputs import (
    ClipTally,
    check_clips,
    check_features,
    check_outputs,
    make_audio_sinks,
    open_batch_store,
    open_sinks,
    write_stats,
)
from streamclf.sinks.file_names import Format, is_template
from streamclf.sinks.options import OutputOptions
from streamclf.sinks.per_recording_files import PerRecordingFiles
from streamclf.sources.recording.find_recordings import find_recordings

if TYPE_CHECKING:
    from streamclf.runs.resume import Resumption


def file(
    names: list[str],
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    screen: ScreenOptions | None = None,
    *,
    jobs: int | None = None,
    features: Path | None = None,
) -> int:
    """Listen to recordings, several at once. Returns the exit code."""
    check_features(features)
    if settings.ongoing_s is not None:
        outputs = replace(outputs, begins=True)
    found = find_recordings(names)
    paths, missing = found.paths, found.errors
    for note in found.notes:
        say(note)
    screen = screen or ScreenOptions()
    if screen.wanted(by_default=False):
        if missing:
            raise missing[0]
        if features is not None:
            raise UsageError("--features is written by lines, not by the dashboard: leave out --ui")
        return _show_recording(screen, paths, model, settings, thresholds, outputs)
    check_outputs(outputs, paths)
    resumption = _resume(outputs, model)
    if resumption is not None:
        paths = resumption.select_remaining(paths)
        if not (paths or missing):
            return OK
    engines, opened = _open_engines(
        count_jobs(jobs, len(paths)), model, settings, thresholds, features=features is not None
    )
    card = engines[0].card
    check_clips(outputs, card)
    if outputs.store is not None:
        from streamclf.store.last_model import describe_other_models

        for line in describe_other_models(outputs.store, [(None, card.name)]):
            say(line)
    if resumption is not None:
        resumption.remove_stale_rows()

    tally = ClipTally()

    def stop() -> None:
        for each in engines:
            each.stop()

    with (
        Bars(len(paths)) as bars,
        open_batch_store(outputs) as store,
        open_sinks(outputs, outputs.shared, default=_default_format(), bars=bars) as sinks,
        Interrupts(stop) as interrupts,
        closing(_own_files(outputs)) as files,
    ):
        report = run_recordings(
            engines,
            paths,
            lambda path: [*sinks, *files.open(path)],
            bars,
            interrupted=lambda: interrupts.happened,
            on_end=files.publish,
            audio_sinks=lambda: make_audio_sinks(outputs, store, tally, features),
            averages=outputs.needs_averages(card),
        )
    for partial in files.unfinished:
        say(f"not heard to its end: what was found is in {partial}")
    report.failures[:0] = [str(error) for error in missing]
    report.n_recordings += len(missing)
    _say_report(report, engines[0], opened, outputs)
    if withheld := tally.describe():
        say(f"{outputs.clips}: {withheld}")
    _say_failures(report.failures, report.n_recordings)
    for failure in files.failures:
        say(f"error: {failure}")
    write_stats(outputs.stats, report.statistics)
    if interrupts.happened:
        return INTERRUPTED
    return FAILED if report.failures or files.failures else OK


def _show_recording(
    screen: ScreenOptions,
    paths: list[Path],
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
) -> int:
    """Show a recording in the dashboard."""
    if outputs.n_best:
        raise UsageError("--summary is written when a recording has ended: leave out --ui")
    return ui.show_recording(
        screen,
        paths,
        lambda model, settings: open_engine(model, settings, thresholds, live=False),
        model,
        settings,
        outputs,
    )


def _say_report(report: BatchReport, engine: Engine, opened: Model, outputs: OutputOptions) -> None:
    """Say what a batch heard, and what it found."""
    if report.n_recordings > 1 or not report.failures:
        heard = report.summary(events=not outputs.n_best)
        say(f"{heard}; {engine.card.name} on {describe_provider(opened)}")
    # Text has said by itself where there was none.
    if not outputs.n_best and (report.statistics.n_events or _format(outputs) != "text"):
        say_found(report.statistics, engine)


def _resume(outputs: OutputOptions, model: ModelOptions) -> Resumption | None:
    """Return what an earlier run has left to do, if this run continues it."""
    if not outputs.resume:
        return None
    from streamclf.runs.resume import Resumption  # which few need

    return Resumption(outputs, find_model(model.name))


def _own_files(outputs: OutputOptions) -> PerRecordingFiles:
    """The files of each recording's own."""
    own = [path for path in outputs.files if is_template(path)]
    return PerRecordingFiles(
        own,
        overwrite=outputs.overwrite or outputs.resume,
        n_best=outputs.n_best,
        begins=outputs.begins,
    )


def _open_engines(
    n_jobs: int,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    *,
    features: bool,
) -> tuple[list[Engine], Model]:
    """An engine for each recording at a time, all over one model."""
    if n_jobs > 1 and not model.n_threads:
        # They share the session; together they shall keep every core busy, once.
        model = replace(model, n_threads=max(1, count_cores() // n_jobs))
    first, opened = open_engine(model, settings, thresholds, live=False, features=features)
    first.read_ahead = n_jobs == 1 and has_spare_core(opened.provider, opened.n_threads)
    others = [Engine(first.scorer, first.settings) for _ in range(n_jobs - 1)]
    return [first, *others], opened


def _format(outputs: OutputOptions) -> Format:
    """Format of standard output."""
    return outputs.format or _default_format()


def _default_format() -> Format:
    return "text" if is_terminal(sys.stdout) else "jsonl"


def _say_failures(failures: list[str], n_recordings: int) -> None:
    if n_recordings == 1:
        for failure in failures:
            say(f"error: {failure}")
    elif failures:
        say(f"error: {len(failures)} of {n_recordings} failed:")
        for failure in failures:
            say(f"error: {failure}")
