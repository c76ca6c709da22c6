"""A recording in a store, fetched in ranges a little ahead of its decoder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import PurePosixPath
from typing import TypeVar

from streamclf.sources.containers.streamed_file import StreamedFile

T = TypeVar("T")

FIRST_BYTES = 65_536
"""Bytes of the first range at a new place, if only a header is read: enough for most."""
RANGE_BYTES = 4 * 2**20
"""Bytes of the largest range. Ranges of audio that is read on and on double up to it."""
_KEPT = 3
"""Number of ranges kept: that of the header, the present one and the one before it."""


class RemoteFile(StreamedFile):
    """A file that is fetched in ranges; while one is decoded, the next one comes.

    Args:
        path: Its path in the store.
        size: Its size in bytes.
        fetch: Fetches a range from its first byte to the byte after the last. It asks again where
            that makes sense, and may return less than was asked for.
        first_bytes: Bytes of the first range at a new place.
    """

    def __init__(
        self,
        path: PurePosixPath,
        size: int,
        fetch: Callable[[int, int], bytes],
        first_bytes: int = FIRST_BYTES,
    ) -> None:
        self.path = path
        self.size = size
        self._fetch = fetch
        self._first_bytes = first_bytes
        self._ranges: list[tuple[int, bytes]] = []
        self._ahead: tuple[int, Future[bytes]] | None = None

    def read_at(self, start: int, n_bytes: int) -> bytes:
        """Read a range, see `StreamedFile.read_at`."""
        for first, data in reversed(self._ranges):
            if first <= start < first + len(data):
                return data[start - first : start - first + n_bytes]
        before = next((each for each in self._ranges if each[0] + len(each[1]) == start), None)
        wanted = self._first_bytes if before is None else min(2 * len(before[1]), RANGE_BYTES)
        data = self._take_ahead(start) or self._fetch(start, min(start + wanted, self.size))
        self._keep(start, data)
        if before is not None:
            self._read_ahead(start + len(data), min(2 * len(data), RANGE_BYTES))
        return data[:n_bytes]

    def _keep(self, start: int, data: bytes) -> None:
        """Keep a range; of the others, the header and the newest ones stay."""
        self._ranges.append((start, data))
        if len(self._ranges) > _KEPT:
            oldest = next(i for i, (first, _) in enumerate(self._ranges) if first > 0)
            del self._ranges[oldest]

    def _read_ahead(self, start: int, n_bytes: int) -> None:
        if start < self.size:
            end = min(start + n_bytes, self.size)
            self._ahead = start, run_aside(lambda: self._fetch(start, end))

    def _take_ahead(self, start: int) -> bytes:
        """Return the range that was fetched ahead, if it is this one; else nothing.

        Raises:
            StreamclfError: It could not be fetched.
        """
        ahead, self._ahead = self._ahead, None
        return ahead[1].result() if ahead is not None and ahead[0] == start else b""


def run_aside(function: Callable[[], T]) -> Future[T]:
    """Run a function in a thread of its own, which does not keep the program from ending."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="streamclf-fetch", daemon=True).start()
    return future
