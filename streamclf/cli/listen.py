"""The command `listen`: a live source, heard until it ends."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from streamclf.cli import screen as ui
from streamclf.cli.listened import ListenedSource
from streamclf.cli.page import NO_PAGE, Told, check_page, make_hub, open_page, store_of_page
from streamclf.cli.reports import say_found
from streamclf.core.errors import FAILED, INTERRUPTED, OK, UsageError
from streamclf.core.records import Average
from streamclf.core.redaction import one_line
from streamclf.core.settings import Settings
from streamclf.core.standard_streams import is_terminal
from streamclf.core.stats import Counts
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
    check_features,
    check_outputs,
    open_sinks,
    reopen,
    write_stats,
)
from streamclf.runs.runner import run_stream
from streamclf.runs.serve.options import EMPTY_NAME
from streamclf.runs.systemd_notifier import SystemdNotifier
from streamclf.sinks.base import Sink
from streamclf.sinks.options import OutputOptions
from streamclf.sources.base import Source
from streamclf.sources.factory import open_source
from streamclf.sources.options import SourceOptions
from streamclf.store.features.options import FeatureLimits
from streamclf.web.options import DEFAULT_PORT, HIGHEST_PORT, PageOptions


def listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    screen: ScreenOptions | None = None,
    page: PageOptions = NO_PAGE,
    features: Path | None = None,
    name: str | None = None,
) -> int:
    """Listen to a live source until it ends, or is interrupted. Returns the exit code."""
    _check_name(name)
    outputs = replace(outputs, begins=True)
    check_outputs(outputs, [])
    screen = screen or ScreenOptions(ui=False)
    page = replace(page, port=_port_of(screen))
    # Who asks for a format asks for lines; a pipe leaves no keyboard to the dashboard.
    lines = outputs.format is not None or outputs.updates or source_options.source == "-"
    check_features(features)
    if features is not None and screen.ui:
        raise UsageError("--features is written by lines, not by the dashboard: leave out --ui")
    if screen.wanted(by_default=not lines and features is None):
        code, statistics = ui.show(
            screen,
            lambda model, settings: _open_engine(model, settings, thresholds),
            # A microphone that is chosen in the dashboard is another one, by its own name.
            lambda device: _open_source(
                ui.with_device(source_options, device), settings, name if device is None else None
            ),
            model,
            settings,
            outputs,
            duration_s=source_options.duration_s,
        )
        say(statistics.summary())
        write_stats(outputs.stats, statistics)
        return code
    # Who looks at the page has no use for lines in a terminal, unless they are asked for.
    prints = lines or not page.port or not is_terminal(sys.stdout)
    with log_in_background():
        if not page.port:
            return _listen(
                source_options, model, settings, thresholds, outputs, features=features, name=name
            )
        with store_of_page(outputs.store) as (store, keys):
            check_page(page, keys)
            taught = () if outputs.store is None else (model,)  # beside a store that stays
            outputs = replace(outputs, store=store)
            return _listen(
                source_options, model, settings, thresholds, outputs, page, keys, taught,
                prints=prints, features=features, name=name,
            )  # fmt: skip


def check_listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    screen: ScreenOptions | None = None,
    page: PageOptions = NO_PAGE,
    features: Path | None = None,
    name: str | None = None,
) -> int:
    """Check what `listen` is given, the model and the thresholds; opens and creates nothing else.

    Raises:
        StreamclfError: It could not begin.
    """
    _check_name(name)
    check_outputs(replace(outputs, overwrite=True, append=False), [])
    page = replace(page, port=_port_of(screen))
    if page.port:
        with store_of_page(outputs.store) as (_, keys):
            check_page(page, keys)
    check_features(features)
    engine, _ = _open_engine(model, settings, thresholds, features=features is not None)
    check_clips(outputs, engine.card)
    return OK


def _port_of(screen: ScreenOptions | None) -> int:
    """The page's port; 0 for no page.

    Raises:
        UsageError: It is no port.
    """
    if screen is None or screen.web is None:
        return 0
    if not 1 <= screen.web <= HIGHEST_PORT:
        raise UsageError(
            f"--web {screen.web}: must lie between 1 and {HIGHEST_PORT} ({DEFAULT_PORT} is usual)"
        )
    return screen.web


def _check_name(name: str | None) -> None:
    """Refuse a name that is empty.

    Raises:
        UsageError: It is.
    """
    if name is not None and not name:
        raise UsageError(EMPTY_NAME)


def _open_source(options: SourceOptions, settings: Settings, name: str | None) -> Source:
    """Open a source, and give it its name in results; None for its own."""
    source = open_source(options, settings.channel)
    source.alias = name
    return source


def _open_engine(
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    *,
    features: bool = False,
) -> tuple[Engine, Model]:
    """Open what listens live, and try what runs the model where that is asked for."""
    opened = open_engine(model, settings, thresholds, live=True, features=features)
    if model.self_check:
        from streamclf.checks.self_check import self_check  # which few ask for

        say(self_check(model))
    return opened


def _keep_features(folder: Path, name: str, kept: ExitStack) -> Sink:
    """Return what keeps the features of a source in a folder, until ``kept`` ends."""
    # Few ask for it, and it takes its time to load.
    from streamclf.store.features.sink import LiveFeatureSink
    from streamclf.store.features.writer import FeatureWriter

    writer = kept.enter_context(closing(FeatureWriter(say)))
    return LiveFeatureSink(folder, name, writer, FeatureLimits())


def _listen(
    source_options: SourceOptions,
    model: ModelOptions,
    settings: Settings,
    thresholds: ThresholdOptions,
    outputs: OutputOptions,
    page: PageOptions = NO_PAGE,
    keys: Path | None = None,
    taught: tuple[ModelOptions, ...] = (),
    *,
    prints: bool = True,
    features: Path | None = None,
    name: str | None = None,
) -> int:
    duration_s = source_options.duration_s
    engine, opened = _open_engine(model, settings, thresholds, features=features is not None)
    check_clips(outputs, engine.card)
    if outputs.store is not None:
        from streamclf.store.last_model import describe_other_models

        for line in describe_other_models(outputs.store, [(None, engine.card.name)]):
            say(line)
    hub = make_hub(page)
    listened = ListenedSource(engine, outputs.store)
    told = Told(
        listened.describe_health,
        listened.figures,
        lambda: listened.pulse.is_alive,
        lambda: taught,
    )
    with (
        ExitStack() as kept,
        _open_source(source_options, settings, name) as source,
        open_page(page, outputs.store, keys, hub, told) as say_page,
        open_sinks(
            outputs,
            outputs.files,
            default="jsonl",
            live_outputs=outputs.live_outputs(say, source.stop),
            prints=prints,
        ) as sinks,
        Interrupts(source.stop, None if has_terminal() else lambda: reopen(sinks)) as interrupts,
        SystemdNotifier(
            lambda: f"{source.result_name}: {Counts.of(engine.statistics).describe()}"
        ) as service,
    ):

        def note_life() -> None:
            listened.pulse.beat()
            service.alive()

        if features is not None:
            sinks.append(_keep_features(features, source.result_name, kept))
        source.on_waiting = note_life
        listened.begin(source, [*sinks])
        if hub is not None:
            hub.state_of = lambda name: listened.live_state()
            hub.may_be_heard = lambda name: outputs.privacy is None
            sinks += [hub.sink(one_line(source.result_name)), listened.tally_sink()]

        def say_start() -> None:
            heard = source.name if name is None else f"{source.name} as {name}"
            say(f"listening to {heard} with {describe_engine(engine, opened)}; Ctrl-C ends")

        def say_aloud(message: str) -> None:
            say(message)
            service.set_status(message.removeprefix("warning: "))
            note_life()

        def end_in_time(average: Average) -> None:
            if duration_s is not None and average.end >= duration_s * engine.card.sample_rate:
                engine.stop()

        say_page()
        try:
            run_stream(
                engine, source, sinks, say=say_aloud, on_start=say_start, on_average=end_in_time,
                on_audio=lambda item: note_life(),
            )  # fmt: skip
        finally:
            if engine.statistics.delivered_samples:
                say_found(engine.statistics, engine)
                say(engine.statistics.summary())
            write_stats(outputs.stats, engine.statistics)
    if interrupts.happened:
        return INTERRUPTED
    return FAILED if any(sink.n_lost for sink in sinks) else OK
