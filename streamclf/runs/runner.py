"""One run of an engine, from a source to sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

from streamclf.core.records import Average, Block, Gap, Notice, Result, StreamStarted
from streamclf.pipeline.engine import Engine
from streamclf.sinks.base import Sink
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
    """Process a source to its end, and write the results.

    Args:
        engine: The engine, which runs once.
        source: An open source; the caller closes it.
        sinks: Each gets the start of the stream, then its audio and every result.
        say: Called with each notice, as one line.
        on_start: Called when the first audio has arrived.
        on_average: Called at each window.
        on_audio: Called with the mono audio at the model's rate, and with gaps.

    Raises:
        SourceError: The source failed; all results before that are written.
        SinkError: A sink failed.
    """
    sinks = list(sinks)

    def hear(item: Block | Gap) -> None:
        on_audio(item)
        for sink in sinks:
            sink.hear(item)

    with closing(engine.run(source, on_start, on_audio=hear)) as results:
        write_results(results, sinks, say=say, on_average=on_average)


def write_results(
    results: Iterable[StreamStarted | Result],
    sinks: Iterable[Sink],
    *,
    say: Callable[[str], None],
    on_average: Callable[[Average], None] = lambda average: None,
) -> None:
    """Write the results of one stream.

    Args:
        results: The `StreamStarted` of the stream, then its results; there may be none at all.
        sinks: Each gets the start of the stream and every result.
        say: Called with each notice, as one line.
        on_average: Called at each window.

    Raises:
        SinkError: A sink failed.
    """
    source = ""
    for result in results:
        if isinstance(result, StreamStarted):
            source = result.source
            for sink in sinks:
                sink.begin(result)
            continue
        for sink in sinks:
            sink.write(result)
        if isinstance(result, Notice):
            prefix = "warning: " if result.level == "warning" else ""
            named = source in result.message
            say(prefix + (result.message if named else f"{source}: {result.message}"))
        elif isinstance(result, Average):
            on_average(result)
