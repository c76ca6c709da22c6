"""Runs the front of a recording's pipeline in a thread, a little ahead of whoever reads it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TypeVar

from streamclf.sources.prefetch import Pump

T = TypeVar("T")

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
