"""Iterators run in a thread of their own, a little ahead of whoever reads them.

A reader that waits for one can be ended, and decoding overlaps with the network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """Marks the end of the stream, with the error that ended it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Pump(Generic[T]):
    """Iterates in a daemon thread, at most ``max_items`` ahead of the reader.

    `stop` may be called from another thread or from a signal handler: it relies on SimpleQueue
    alone, which a handler may enter while the main thread is inside it. A reader that leaves early
    stops the thread as well.

    Args:
        produce: Called in the thread, unless `stop` was called before the reader came; what it
            yields is handed on, what it raises is raised in the reader. A generator is closed in
            the thread.
        max_items: How far the thread may run ahead.
    """

    def __init__(self, produce: Callable[[], Iterator[T]], max_items: int = 16) -> None:
        self._produce = produce
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(max_items - 1):  # one more may wait to be taken
            self._room.put(None)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="streamclf-pump", daemon=True)

    def __iter__(self) -> Iterator[T]:
        if self._stopped:
            return
        self._thread.start()
        try:
            while True:
                item = self._items.get()
                if isinstance(item, _End):
                    if item.error is not None:
                        raise item.error
                    return
                self._room.put(None)
                yield item
        finally:
            self.stop()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def stop(self) -> None:
        """End the iteration after what is already queued."""
        self._stopped = True
        self._items.put(_End())
        self._room.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False if it has not by then."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            items = self._produce()
            try:
                for item in items:
                    self._items.put(item)
                    self._room.get()
                    if self._stopped:
                        return
            finally:
                if isinstance(items, Generator):
                    items.close()
        except BaseException as error:
            self._items.put(_End(error))
        else:
            self._items.put(_End())


MAX_ITEMS = 4
"""Blocks ahead: enough for either side never to wait for the other, few enough to end at once."""

PATIENCE_S = 0.5
"""How long the end waits for the thread; only a disk that hangs takes longer than one block."""


def read_ahead(items: Iterable[T], max_items: int = MAX_ITEMS) -> Generator[T, None, None]:
    """Yield the items, in order, while the next ones are made in a thread.

    Decoding, resampling and the network all release the interpreter's lock, so they overlap where
    a core is free. What the iterable raises is raised here, after all that came before it. When
    this generator is closed the thread has ended, so that a file can be closed behind it.
    """
    pump = Pump(lambda: iter(items), max_items)
    try:
        yield from pump
    finally:
        pump.stop()
        pump.join(PATIENCE_S)
