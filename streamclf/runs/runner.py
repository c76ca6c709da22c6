"""An engine run over a source into sinks."""

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
    """Listen to a source to its end and write what is found.

    Args:
        engine: Runs once here.
        source: Opened; the caller closes it.
        sinks: Each is told of the stream first, then shown its audio, and gets every result.
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
        write_results(results, sinks, say=say, on_average=on_average)


def write_results(
    results: Iterable[StreamStarted | Result],
    sinks: Iterable[Sink],
    *,
    say: Callable[[str], None],
    on_average: Callable[[Average], None] = lambda average: None,
) -> None:
    """Write a stream's results.

    Args:
        results: Of one stream, which begin with its `StreamStarted`; there may be none.
        sinks: Each is told of the stream, and gets every result.
        say: Told the notices, a line each.
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
