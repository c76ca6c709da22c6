"""Calls for many items, several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 64
"""Calls for each thread whose results may wait."""


def call_for_each(function: Callable[[T], R], items: Iterable[T], n_threads: int) -> Iterator[R]:
    """Call a function for each item, several at once; results come in the order of the items.

    Only some of them are held at a time. Where it ends early, calls that have not begun are left
    out.
    """
    rest = iter(items)
    threads = ThreadPoolExecutor(n_threads, "streamclf-archive")
    try:
        while some := list(islice(rest, _AHEAD * n_threads)):
            yield from threads.map(function, some)
    finally:
        threads.shutdown(cancel_futures=True)
