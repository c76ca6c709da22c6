"""Runs an engine over a source into sinks, and ends it cleanly when interrupted."""

from __future__ import annotations

import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import Any, Self

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


_ENDING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class Interrupts:
    """While entered, SIGINT, SIGTERM and SIGHUP end the run as if its stream had ended.

    A second SIGINT raises KeyboardInterrupt, for a run that does not end. Who started the process
    with a signal ignored (`nohup`) wants it ignored.

    A thread acts on the signals. Python's own handlers run in the main thread, which a signal
    does not wake if it comes a moment before the thread waits for audio that never arrives.

    Args:
        stop: Called by a signal.
        reopen: Called by SIGHUP, which then ends nothing.

    Attributes:
        happened: Whether a signal came that ends the run.
    """

    def __init__(self, stop: Callable[[], None], reopen: Callable[[], None] | None = None) -> None:
        self.happened = False
        self._stop = stop
        self._reopen = reopen
        self._n_interrupts = 0
        self._before: dict[int, Any] = {}
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._sockets = socket.socketpair()
        self._sockets[1].setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(
            self._sockets[1].fileno(), warn_on_full_buffer=False
        )
        self._thread = threading.Thread(target=self._watch, name="streamclf-signals", daemon=True)
        self._thread.start()
        for number in _ENDING:
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:
                # Noted first: the thread leaves alone what it does not find here, and a signal
                # may come as soon as there is a handler.
                self._before[number] = before
                signal.signal(number, self._handle)
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
        if self._sockets is not None and self._thread is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            self._sockets[1].close()
            self._thread.join()
            self._sockets[0].close()
            self._sockets = None

    def _watch(self) -> None:
        """Act on each signal: the system writes its number."""
        assert self._sockets is not None
        while numbers := self._sockets[0].recv(64):
            for number in numbers:
                if number not in self._before:
                    continue
                if self._reopen is not None and number not in (signal.SIGINT, signal.SIGTERM):
                    self._reopen()
                else:
                    self.happened = True
                    self._stop()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._n_interrupts += number == signal.SIGINT
        if self._n_interrupts > 1:
            raise KeyboardInterrupt
