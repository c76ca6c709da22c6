"""One run of an engine, from a source to sinks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
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
    measuring = [sink for sink in sinks if sink.measures]
    held = _HeldAudio(measuring) if measuring else None

    def hear(item: Block | Gap) -> None:
        if held is not None:
            held.release()
        on_audio(item)
        for sink in sinks:
            sink.hear(item)

    run = engine.run(
        source, on_start, on_audio=hear, on_source_audio=held.take if held is not None else None
    )
    try:
        with closing(run) as results:
            write_results(results, sinks, say=say, on_average=on_average)
    finally:
        if held is not None:
            held.end()


class _HeldAudio:
    """Audio for sinks that measure it, which is held back until their stream has begun.

    It arrives before the stream can be announced, maybe in another thread; that is a few blocks at
    most.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks: Sequence[Sink] = sinks
        self._held: list[Block | Gap] = []
        self._released = False
        self._lock = threading.Lock()

    def take(self, item: Block | Gap) -> None:
        """Hand on a block or a gap, or hold it back."""
        with self._lock:
            if self._released:
                self._measure(item)
            else:
                self._held.append(item)

    def release(self) -> None:
        """Hand on what is held back, and all that follows."""
        if not self._released:
            with self._lock:
                for item in self._held:
                    self._measure(item)
                self._held, self._released = [], True

    def end(self) -> None:
        """Hand on nothing any more, even if a thread that hangs goes on later."""
        with self._lock:
            self._sinks = ()

    def _measure(self, item: Block | Gap) -> None:
        for sink in self._sinks:
            sink.measure(item)


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
