"""Runs an engine over a source into sinks, and ends it cleanly when interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
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
    begun = False
    for result in engine.run(source, on_start, on_audio=on_audio, start=start):
        if not begun:
            info = stream_info(engine, source)
            for sink in sinks:
                sink.begin(info)
            begun = True
        _write(result, sinks)
        if isinstance(result, Notice):
            say(f"{source.name}: {result.message}")
        elif isinstance(result, Average):
            on_average(result)


def _write(result: Result, sinks: Iterable[Sink]) -> None:
    for sink in sinks:
        sink.write(result)


def stream_info(engine: Engine, source: Source) -> StreamInfo:
    """What sinks need to know of the stream that the engine is listening to."""
    card = engine.card
    started = engine.started if source.live else None
    return StreamInfo(source.name, card.sample_rate, card.labels, card.task, started)


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
