"""What tests of `streamclf serve` share: sources that a test feeds, and a server in a thread."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import toys
from live_runs import PATIENCE_S, Words

from streamclf.core.log import LOGGER
from streamclf.core.records import Block, Gap, Notice
from streamclf.runs.serve.plan import ServePlan, StreamPlan
from streamclf.runs.serve.server import Server
from streamclf.runs.systemd_notifier import SystemdNotifier
from streamclf.sources.base import Source

BLOCK = 400


class Fed(Source):
    """A live source that delivers what a test feeds it, and fails when the test says so."""

    live = True

    def __init__(self, name: str = "fed") -> None:
        self.name = name
        self.closed = threading.Event()
        self._items: queue.SimpleQueue[np.ndarray | Exception | Callable[[], None] | None]
        self._items = queue.SimpleQueue()
        self._fed = self._taken = 0

    def feed(self, waveform: np.ndarray) -> None:
        """Deliver audio, ``(samples,)``, in blocks."""
        for start in range(0, len(waveform), BLOCK):
            self._items.put(waveform[start : start + BLOCK])

    def do(self, action: Callable[[], None]) -> None:
        """Run something in the thread that reads, before what is fed next."""
        self._items.put(action)

    def fail(self, error: Exception) -> None:
        """Raise an error after all that was fed."""
        self._items.put(error)

    def end(self) -> None:
        """End after all that was fed."""
        self._items.put(None)

    def drain(self) -> None:
        """Wait until all that was fed has been taken, and worked on."""
        done = threading.Event()
        self.do(done.set)
        assert done.wait(PATIENCE_S)

    def blocks(self, sample_rate: int) -> Iterator[Block | Gap | Notice]:
        position = 0
        while (item := self._items.get(timeout=PATIENCE_S)) is not None:
            if isinstance(item, Exception):
                raise item
            if callable(item):
                item()
                continue
            yield Block(position, item[np.newaxis], toys.RATE)
            position += item.size

    def stop(self) -> None:
        self._items.put(None)

    def close(self) -> None:
        self.closed.set()


class Heard(logging.Handler):
    """The lines of the log, awaited."""

    def __init__(self) -> None:
        super().__init__()
        self.words = Words()

    def emit(self, record: logging.LogRecord) -> None:
        self.words(f"{record.levelname.lower()}: {record.getMessage()}")


class Serving:
    """A server in a thread, whose sources a test feeds.

    Attributes:
        sources: All sources opened so far, by the name of their stream, the newest last.
        plan: What the settings say when they are read again; an exception is raised.
        code: The exit code, after the end.
    """

    def __init__(self, plan: ServePlan, service: SystemdNotifier | None = None) -> None:
        self.plan: ServePlan | Exception = plan
        self.sources: dict[str, list[Fed]] = {}
        self.code: int | None = None
        self._opened = threading.Condition()
        self._log = Heard()
        self.words = self._log.words
        LOGGER.addHandler(self._log)
        self.server = Server(plan, self._read, open_plan=self._open, service=service)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def source(self, name: str, number: int = 0) -> Fed:
        """Wait until a stream has opened its source, for the first time or again."""
        with self._opened:
            assert self._opened.wait_for(
                lambda: len(self.sources.get(name, [])) > number, PATIENCE_S
            )
            return self.sources[name][number]

    def reload(self, plan: ServePlan | Exception, *, refused: bool = False) -> str:
        """Let it read new settings; returns what it says of them."""
        self.plan = plan
        self.server.reload()
        said = "the settings that were in force stay" if refused else "settings read anew"
        return self.words.until(said)

    def end(self) -> int:
        """Stop it, and return its exit code."""
        self.server.stop()
        return self.join()

    def join(self) -> int:
        """Wait until it has ended by itself."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        LOGGER.removeHandler(self._log)
        assert self.code is not None
        return self.code

    def _run(self) -> None:
        self.code = self.server.run()

    def _read(self) -> ServePlan:
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan

    def _open(self, plan: StreamPlan) -> Source:
        source = Fed()
        with self._opened:
            self.sources.setdefault(plan.name, []).append(source)
            self._opened.notify_all()
        return source


def rows(store: Path, sql: str) -> list[tuple]:
    """What a store answers."""
    connection = sqlite3.connect(store)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def runs_of(store: Path) -> dict[str, list[tuple[int, int, int, int]]]:
    """Each source's runs: first position, samples elapsed, heard, and in gaps."""
    found: dict[str, list[tuple[int, int, int, int]]] = {}
    for name, *counts in rows(
        store,
        "SELECT name, first_position, elapsed_samples, heard_samples, gap_samples FROM runs "
        "JOIN sources ON sources.id = source_id ORDER BY runs.id",
    ):
        found.setdefault(name, []).append(tuple(counts))
    return found
