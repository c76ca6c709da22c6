"""The command `listen`: a live source, heard until it ends."""

from __future__ import annotations

from dataclasses import replace

from streamclf.cli import screen as ui
from streamclf.cli.reports import say_found
from streamclf.core.errors import FAILED, INTERRUPTED, OK
from streamclf.core.records import Average
from streamclf.core.settings import Settings
from streamclf.core.stats import describe_counts
from streamclf.core.thresholds import ThresholdOptions
from streamclf.dashboard.options import ScreenOptions
from streamclf.model.model_file import Model
from streamclf.model.options import ModelOptions
from streamclf.pipeline.engine import Engine
from streamclf.runs.background_log import log_in_background
from streamclf.runs.console import has_terminal, say
from streamclf.runs.engine_setup import describe_engine, open_engine
from streamclf.runs.interrupts import Interrupts
from streamclf.runs.outputs import (
    check_clips,
    check_outputs,
    open_sinks,
    reopen,
    write_stats,
)
from streamclf.runs.runner import run_stream
from streamclf.runs.systemd_notifier import SystemdNotifier
from streamclf.sinks.options import OutputOptions
from streamclf.sources.factory import open_source
from streamclf.sources.options import SourceOptions


def listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    screen: ScreenOptions | None = None,
) -> int:
    """Listen to a live source until it ends, or is interrupted. Returns the exit code."""
    outputs = replace(outputs, begins=True)
    check_outputs(outputs, [])
    screen = screen or ScreenOptions(ui=False)
    if screen.web is not None:
        return ui.serve(screen)
    # Who asks for a format asks for lines; a pipe leaves no keyboard to the dashboard.
    lines = outputs.format is not None or outputs.updates or source_options.source == "-"
    if screen.wanted(by_default=not lines):
        code, statistics = ui.show(
            screen,
            lambda model, settings: _open_engine(model, settings, thresholds),
            lambda device: open_source(ui.with_device(source_options, device), settings.channel),
            model,
            settings,
            outputs,
            duration_s=source_options.duration_s,
        )
        say(statistics.summary())
        write_stats(outputs.stats, statistics)
        return code
    with log_in_background():
        return _listen(source_options, model, settings, thresholds, outputs)


def check_listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    screen: ScreenOptions | None = None,
) -> int:
    """Check what `listen` is given, the model and the thresholds; opens and creates nothing else.

    Raises:
        StreamclfError: It could not begin.
    """
    check_outputs(replace(outputs, overwrite=True, append=False), [])
    engine, _ = _open_engine(model, settings, thresholds)
    check_clips(outputs, engine.card)
    return OK


def _open_engine(
    model: ModelOptions, settings: Settings, thresholds: ThresholdOptions
) -> tuple[Engine, Model]:
    """Open what listens live, and try what runs the model where that is asked for."""
    opened = open_engine(model, settings, thresholds, live=True)
    if model.self_check:
        from streamclf.checks.self_check import self_check  # which few ask for

        say(self_check(model))
    return opened


def _listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
) -> int:
    duration_s = source_options.duration_s
    engine, opened = _open_engine(model, settings, thresholds)
    check_clips(outputs, engine.card)
    with (
        open_source(source_options, settings.channel) as source,
        open_sinks(
            outputs,
            outputs.files,
            default="jsonl",
            live_outputs=outputs.live_outputs(say, source.stop),
        ) as sinks,
        Interrupts(source.stop, None if has_terminal() else lambda: reopen(sinks)) as interrupts,
        SystemdNotifier(lambda: f"{source.name}: {describe_counts(engine.statistics)}") as service,
    ):
        source.on_waiting = service.alive

        def say_start() -> None:
            say(f"listening to {source.name} with {describe_engine(engine, opened)}; Ctrl-C ends")

        def say_aloud(message: str) -> None:
            say(message)
            service.set_status(message.removeprefix("warning: "))
            service.alive()

        def end_in_time(average: Average) -> None:
            if duration_s is not None and average.end >= duration_s * engine.card.sample_rate:
                engine.stop()

        try:
            run_stream(
                engine, source, sinks, say=say_aloud, on_start=say_start, on_average=end_in_time,
                on_audio=service.note_audio,
            )  # fmt: skip
        finally:
            if engine.statistics.delivered_samples:
                say_found(engine.statistics, engine)
                say(engine.statistics.summary())
            write_stats(outputs.stats, engine.statistics)
    if interrupts.happened:
        return INTERRUPTED
    return FAILED if any(sink.n_lost for sink in sinks) else OK
