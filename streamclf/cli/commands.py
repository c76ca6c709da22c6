"""What the commands `listen` and `file` do, once their options are read."""

from __future__ import annotations

import math
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.cli import screen as ui
from streamclf.cli.screen import ScreenOptions
from streamclf.core.card import Card
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import FAILED, INTERRUPTED, OK, UsageError
from streamclf.core.records import Average
from streamclf.core.settings import Settings
from streamclf.core.standard_streams import is_terminal
from streamclf.core.stats import Statistics, describe_counts
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs.background_log import in_background
from streamclf.runs.batch import BatchReport, count_jobs, leaves_core, run_recordings
from streamclf.runs.console import Bars, has_terminal, say
from streamclf.runs.engine_setup import ModelOptions, ThresholdOptions, open_engine
from streamclf.runs.found_summary import describe_found
from streamclf.runs.interrupts import Interrupts
from streamclf.runs.outputs import (
    OutputOptions,
    check_clips,
    check_outputs,
    make_clips,
    open_sinks,
    reopen,
    write_stats,
)
from streamclf.runs.runner import describe_stream, run_stream
from streamclf.runs.systemd import Service
from streamclf.sinks.factory import Format
from streamclf.sinks.per_recording_files import OwnFiles, is_template
from streamclf.sources.factory import SourceOptions, open_source
from streamclf.sources.recording.find_recordings import find_recordings

if TYPE_CHECKING:
    from streamclf.runs.resume import Resumption


def listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    screen: ScreenOptions | None = None,
    *,
    duration_s: float | None = None,
) -> int:
    """Listen to a live source until it ends, or is interrupted. Returns the exit code."""
    _check_duration(duration_s)
    check_outputs(outputs, [])
    screen = screen or ScreenOptions(ui=False)
    if screen.web is not None:
        return ui.serve(screen)
    # Who asks for a format asks for lines; a pipe leaves no keyboard to the dashboard.
    lines = outputs.format is not None or outputs.top > 0 or source_options.source == "-"
    if screen.wanted(by_default=not lines):
        code, statistics = ui.show(
            screen,
            lambda model, settings: open_engine(model, settings, thresholds, live=True),
            lambda device: open_source(ui.with_device(source_options, device)),
            model,
            settings,
            outputs,
            duration_s=duration_s,
        )
        say(statistics.summary())
        write_stats(outputs.stats, statistics)
        return code
    with in_background():
        return _listen(source_options, model, settings, thresholds, outputs, duration_s)


def check_listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    screen: ScreenOptions | None = None,
    *,
    duration_s: float | None = None,
) -> int:
    """Check what `listen` is given, the model and the thresholds; opens and creates nothing else.

    Raises:
        StreamclfError: It could not begin.
    """
    _check_duration(duration_s)
    check_outputs(replace(outputs, overwrite=True, append=False), [])
    open_engine(model, settings, thresholds, live=True)
    return OK


def _check_duration(duration_s: float | None) -> None:
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise UsageError(f"--duration {duration_s}: must be above 0 seconds")


def _listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    duration_s: float | None,
) -> int:
    engine, opened = open_engine(model, settings, thresholds, live=True)
    check_clips(outputs, engine.card)
    with (
        open_source(source_options) as source,
        open_sinks(
            outputs, outputs.files, default="jsonl", upkeep=outputs.upkeep(say, source.stop)
        ) as sinks,
        Interrupts(source.stop, None if has_terminal() else lambda: reopen(sinks)) as interrupts,
        Service(lambda: f"{source.name}: {describe_counts(engine.statistics)}") as service,
    ):
        source.on_waiting = service.alive

        def say_start() -> None:
            say(f"listening to {source.name} with {_describe(engine, opened)}; Ctrl-C ends")

        def say_aloud(message: str) -> None:
            say(message)
            service.tell(message.removeprefix("warning: "))
            service.alive()

        def end_in_time(average: Average) -> None:
            if duration_s is not None and average.end >= duration_s * engine.card.sample_rate:
                engine.stop()

        try:
            run_stream(
                engine, source, sinks, say=say_aloud, on_start=say_start, on_average=end_in_time,
                on_audio=service.hear,
            )  # fmt: skip
        finally:
            if engine.statistics.delivered_samples:
                _say_found(engine.statistics, engine)
                say(engine.statistics.summary())
            write_stats(outputs.stats, engine.statistics)
    if interrupts.happened:
        return INTERRUPTED
    return FAILED if any(sink.n_lost for sink in sinks) else OK


def file(
    names: list[str],
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    screen: ScreenOptions | None = None,
    *,
    jobs: int | None = None,
) -> int:
    """Listen to recordings, several at once. Returns the exit code."""
    found = find_recordings(names)
    paths, missing = found.paths, found.errors
    for note in found.notes:
        say(note)
    screen = screen or ScreenOptions()
    if screen.web is not None or screen.wanted(by_default=False):
        if missing:
            raise missing[0]
        return _show_recording(screen, paths, model, settings, thresholds, outputs)
    check_outputs(outputs, paths)
    resumption = _resume(outputs)
    if resumption is not None:
        paths = resumption.leave_out_done(paths)
        if not (paths or missing):
            return OK
    engines, opened = _open_engines(count_jobs(jobs, len(paths)), model, settings, thresholds)
    card = engines[0].card
    check_clips(outputs, card)
    if resumption is not None:
        resumption.make_room()

    def stop() -> None:
        for each in engines:
            each.stop()

    with (
        Bars(len(paths)) as bars,
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
            on_end=files.keep,
            hearers=lambda: make_clips(outputs),
            averages=outputs.needs_averages(card),
        )
    for partial in files.unfinished:
        say(f"not heard to its end: what was found is in {partial}")
    report.failures[:0] = [str(error) for error in missing]
    report.n_recordings += len(missing)
    _say_report(report, engines[0], opened, outputs)
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
        raise UsageError("--summary is written when a recording has ended: leave out --ui, --web")
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
        say(f"{heard}; {engine.card.name} on {_describe_provider(opened)}")
    # Text has said by itself where there was none.
    if not outputs.n_best and (report.statistics.n_events or _format(outputs) != "text"):
        _say_found(report.statistics, engine)


def _resume(outputs: OutputOptions) -> Resumption | None:
    """What an earlier run left, where it is to be gone on with."""
    if not outputs.resume:
        return None
    from streamclf.runs.resume import Resumption  # which few need

    return Resumption(outputs)


def _own_files(outputs: OutputOptions) -> OwnFiles:
    """The files of each recording's own."""
    own = [path for path in outputs.files if is_template(path)]
    return OwnFiles(
        own,
        overwrite=outputs.overwrite or outputs.resume,
        n_best=outputs.n_best,
        begins=outputs.begins,
    )


def _say_found(statistics: Statistics, engine: Engine) -> None:
    """Say what was found, or what came nearest."""
    thresholds = describe_stream(engine, "", None).thresholds
    if found := describe_found(statistics, engine.card, thresholds):
        say(found)


def _open_engines(
    n_jobs: int, model: ModelOptions, settings: Settings, thresholds: ThresholdOptions
) -> tuple[list[Engine], Model]:
    """An engine for each recording at a time, all over one model."""
    if n_jobs > 1 and not model.n_threads:
        # They share the session; together they shall keep every core busy, once.
        model = replace(model, n_threads=max(1, count_cores() // n_jobs))
    first, opened = open_engine(model, settings, thresholds, live=False)
    first.read_ahead = n_jobs == 1 and leaves_core(opened.provider, opened.n_threads)
    others = [Engine(first.scorer, first.settings) for _ in range(n_jobs - 1)]
    return [first, *others], opened


def _describe_provider(model: Model) -> str:
    return f"{model.provider} ({model.provider_reason})"


def _describe(engine: Engine, model: Model) -> str:
    card: Card = engine.card
    settings = engine.settings
    average = f"averaged over {settings.average_s:g} s" if settings.average_s else "not averaged"
    return (
        f"{card.name} ({len(card.labels)} labels) on {_describe_provider(model)}, "
        f"a window of {card.window_s:g} s every {engine.hop_s:g} s, {average}"
    )


def _format(outputs: OutputOptions) -> Format:
    """Of standard output."""
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
