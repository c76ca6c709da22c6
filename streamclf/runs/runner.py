"""An engine run over a source into sinks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

from streamclf.core.records import Average, Block, Gap, Notice, Result
from streamclf.pipeline.engine import Engine
from streamclf.sinks.base import Sink, StreamInfo
from streamclf.sources.base import Source


def run_stream(
    engine: Engine,
    source: Source,
    sinks: Iterable[Sink],
    *,
    say: Callable[[str], None],
    on_start: Callable[[], None] = lambda: None,
    on_average: Callable[[Average], None] = lambda average: None,
    on_audio: Callable[[Block | Gap], None] = lambda item: None,
) -> None:
    """Listen to a source to its end and write what is found.

    Args:
        engine: Runs once here.
        source: Opened; the caller closes it.
        sinks: Each is shown the audio and gets every result.
        say: Told the notices, a line each.
        on_start: Called when the first audio has arrived.
        on_average: Called at each window.
        on_audio: Shown the mono audio at the model's rate, and what is missing.

    Raises:
        SourceError: After all results before it were written.
        SinkError: A sink failed.
    """
    sinks = list(sinks)

    def hear(item: Block | Gap) -> None:
        on_audio(item)
        for sink in sinks:
            sink.hear(item)

    with closing(engine.run(source, on_start, on_audio=hear)) as results:
        write_results(
            results, lambda: stream_info(engine, source), sinks, say=say, on_average=on_average
        )


def write_results(
    results: Iterable[Result],
    info: Callable[[], StreamInfo],
    sinks: Iterable[Sink],
    *,
    say: Callable[[str], None],
    on_average: Callable[[Average], None] = lambda average: None,
) -> None:
    """Write a stream's results.

    Args:
        results: Of one stream.
        info: Asked for the stream once its first result is there.
        sinks: Each gets every result.
        say: Told the notices, a line each.
        on_average: Called at each window.

    Raises:
        SinkError: A sink failed.
    """
    stream: StreamInfo | None = None
    for result in results:
        if stream is None:
            stream = info()
            for sink in sinks:
                sink.begin(stream)
        for sink in sinks:
            sink.write(result)
        if isinstance(result, Notice):
            prefix = "warning: " if result.level == "warning" else ""
            named = stream.source in result.message
            say(prefix + (result.message if named else f"{stream.source}: {result.message}"))
        elif isinstance(result, Average):
            on_average(result)


def stream_info(engine: Engine, source: Source) -> StreamInfo:
    """What sinks need to know of the stream that the engine is listening to."""
    info = describe_stream(engine, source.name, source.started)
    if not source.live:
        return info
    clock = engine.clock
    started = clock.moment(0)
    return replace(info, started=started, clock=clock, live=True, run=_name_run(started))


def describe_stream(engine: Engine, name: str, started: datetime | None) -> StreamInfo:
    """What sinks need to know of a recording, by what the engine listens with."""
    card, chosen = engine.card, engine.settings.labels
    return StreamInfo(
        name,
        card.sample_rate,
        card.labels,
        card.task,
        started,
        card.unknown,
        display_names={label: card.display_name(label) for label in card.labels},
        thresholds={
            label: engine.thresholds.of(label).on
            for label in card.labels
            if chosen is None or label in chosen
        },
        temperature=card.temperature if card.activation == "softmax" else 1.0,
    )


def _name_run(started: datetime | None) -> str:
    """When a live stream began, and something that differs where a clock begins anew each time."""
    moment = (started or datetime.now()).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
