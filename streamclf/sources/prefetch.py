"""Iteration in a separate thread, a few items ahead of the reader.

Decoding overlaps with the network, and a reader that waits for an item can be stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """Mark for the end of the items, with the error that ended them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class PrefetchThread(Generic[T]):
    """Iterator that runs in a daemon thread, at most ``max_items`` ahead of the reader.

    `stop` may be called from another thread or from a signal handler: it uses only SimpleQueue,
    which a handler may enter while the main thread is inside it. The thread also stops when the
    reader stops iterating early.

    Args:
        produce: Called in the thread; its items go to the reader, and its errors are raised in the
            reader. A generator is closed in the thread. If `stop` is called before the first item
            is read, it is never called.
        max_items: Number of items by which the thread may be ahead.
    """

    def __init__(self, produce: Callable[[], Iterator[T]], max_items: int = 16) -> None:
        self._produce = produce
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(max_items - 1):  # the thread holds one more item that waits for room
            self._room.put(None)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="streamclf-prefetch", daemon=True)

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
        """End the iteration after the items that are already queued."""
        self._stopped = True
        self._items.put(_End())
        self._room.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended.

        Returns:
            Whether it has ended within ``timeout_s`` seconds.
        """
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
"""Number of blocks read ahead: enough that neither thread waits for the other, and few enough that
stopping is immediate."""

JOIN_TIMEOUT_S = 0.5
"""Longest wait for the thread to end; only a disk that hangs takes longer than this for a block."""


def read_ahead(items: Iterable[T], max_items: int = MAX_ITEMS) -> Generator[T, None, None]:
    """Yield items in their order while a thread makes the next ones.

    Decoding, resampling and the network all release the interpreter's lock, so they overlap where
    a core is free. An error of the iterable is raised here, after the items before it. Closing
    this generator waits for the thread to end, but not for a disk that hangs: what the thread reads
    may be closed afterwards, and must then not mind that it is being read.
    """
    thread = PrefetchThread(lambda: iter(items), max_items)
    try:
        yield from thread
    finally:
        thread.stop()
        thread.join(JOIN_TIMEOUT_S)
