"""Readers whose file may be closed while another thread reads from it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from streamclf.core.records import Block, Gap, Notice


class GuardedReader(ABC):
    """Reader of a file that can be closed at any moment, from any thread.

    libsndfile and FFmpeg do not allow that: a read that comes back from a slow disk after the file
    was closed writes into freed memory, and the process crashes, often much later. So a file that
    is being read is closed by the thread that reads it, when the read has come back.
    """

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._close_wanted = False
        self._is_closed = False

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[Block | Gap | Notice]:
        """Yield what the file holds; missing audio becomes gaps. It ends when the file was closed.

        Args:
            stopped: Called before each read; True ends the iteration.

        Raises:
            SourceError: The audio is damaged or truncated, or there is none; raised after all that
                can be read.
        """
        items = self._read(stopped)
        while True:
            item = None
            try:
                with self._reading:
                    if not self._close_wanted:
                        item = next(items, None)
            finally:
                if self._close_wanted:
                    self.close()
            if item is None:
                return
            yield item

    def close(self) -> None:
        """Close the file now, or let the thread do so that reads from it at this moment."""
        self._close_wanted = True
        if self._reading.acquire(blocking=False):
            try:
                if not self._is_closed:
                    self._is_closed = True
                    self._close()
            finally:
                self._reading.release()

    @abstractmethod
    def _read(self, stopped: Callable[[], bool]) -> Iterator[Block | Gap | Notice]:
        """Yield what `blocks` yields."""

    @abstractmethod
    def _close(self) -> None:
        """Close the file; nothing reads from it."""
