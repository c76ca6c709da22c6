"""Runs an engine over a source into sinks, and ends it cleanly when interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from types import FrameType, TracebackType
from typing import Any, Self

from streamclf.engine import Engine
from streamclf.records import Average, Block, Gap, Notice, Result
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
    start: int = 0,
) -> None:
    """Listen to a source to its end and write what is found.

    Args:
        engine: Runs once here.
        source: Opened; the caller closes it.
        sinks: Each gets every result.
        say: Told the notices, a line each.
        on_start: Called when the first audio has arrived.
        on_average: Called at each window.
        on_audio: Shown the mono audio at the model's rate, and what is missing.
        start: Position of the first sample, where another run ended on the same timeline.

    Raises:
        SourceError: After all results before it were written.
        SinkError: A sink failed.
    """
    with closing(engine.run(source, on_start, on_audio=on_audio, start=start)) as results:
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
            say(f"{stream.source}: {result.message}")
        elif isinstance(result, Average):
            on_average(result)


def stream_info(engine: Engine, source: Source) -> StreamInfo:
    """What sinks need to know of the stream that the engine is listening to."""
    card = engine.card
    started = engine.started if source.live else None
    return StreamInfo(
        source.name,
        card.sample_rate,
        card.labels,
        card.task,
        started,
        card.unknown,
        engine.clock.jumps,
    )


class Interrupts:
    """While entered, SIGINT and SIGTERM end the run as if its stream had ended.

    A second SIGINT raises KeyboardInterrupt, for a run that does not end.

    Args:
        stop: Called by the first signal.

    Attributes:
        happened: Whether a signal came.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.happened = False
        self._stop = stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.happened and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.happened = True
        self._stop()
