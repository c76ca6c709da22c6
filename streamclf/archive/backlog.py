"""The items of a run that wait, and those that workers hold.

The longest items go first, so that the last ones are short and no worker is waited for at the end.
A worker holds two items at most: one that it hears and one that it begins with at once. A slow
worker asks less often and so gets fewer. A worker that is lost gives its items back.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MOST_HELD = 2
"""Items that a worker holds at most."""
MOST_DEATHS = 3
"""Workers that may end while they hear an item; then the item has failed."""
MOST_LOSSES = 10
"""Nodes that may be lost while one of their workers hears an item; then the item has failed."""


class Backlog:
    """Items that wait, and those that workers hold.

    Args:
        items: Numbers of the items.
        seconds: Length of each item's audio, in seconds, shape ``(items,)``.
    """

    def __init__(
        self, items: Sequence[int] | npt.NDArray[np.int64], seconds: npt.ArrayLike
    ) -> None:
        numbers = np.asarray(items, np.int64)
        # Of items as long as each other the first goes first: pieces of a recording stay together.
        self._order = numbers[np.lexsort((numbers, -np.asarray(seconds, np.float64)))]
        self._next = 0
        self._returned: deque[int] = deque()
        self._held: dict[int, deque[int]] = {}
        self._n_held = 0
        self._deaths: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()

    @property
    def n_waiting(self) -> int:
        """Number of items that no worker holds."""
        return len(self._returned) + len(self._order) - self._next

    @property
    def n_workers(self) -> int:
        """Number of workers that have joined and not left."""
        return len(self._held)

    @property
    def done(self) -> bool:
        """Whether no item waits, and none is held."""
        return not self.n_waiting and not self._n_held

    def join(self, worker: int) -> None:
        """Let a worker ask for items."""
        self._held[worker] = deque()

    def held(self, worker: int) -> tuple[int, ...]:
        """The items that a worker holds, in the order in which it hears them."""
        return tuple(self._held.get(worker, ()))

    def idle(self) -> list[int]:
        """The workers that hold nothing."""
        return [worker for worker, held in self._held.items() if not held]

    def take(self, worker: int) -> int | None:
        """Give a worker an item; None if it holds enough, or there is none for it.

        The last items are not kept for later by workers that hear another one.
        """
        held = self._held[worker]
        if len(held) >= MOST_HELD or (held and self.n_waiting < self.n_workers):
            return None
        item = self._pop()
        if item is not None:
            held.append(item)
            self._n_held += 1
        return item

    def _pop(self) -> int | None:
        if self._returned:
            return self._returned.popleft()
        if self._next == len(self._order):
            return None
        self._next += 1
        return int(self._order[self._next - 1])

    def finish(self, worker: int, item: int) -> None:
        """Take note that a worker has done with an item, heard or failed."""
        self._held[worker].remove(item)
        self._n_held -= 1

    def leave(self, worker: int, *, with_its_node: bool = False) -> int | None:
        """Take the items of a lost worker back.

        The first of them is what it heard when it was lost.

        Args:
            worker: A worker that has joined.
            with_its_node: Whether its node was lost, which is rarely the item's fault.

        Returns:
            The item that has ended one worker too many, and waits no more; None for none.
        """
        held = self._held.pop(worker)
        self._n_held -= len(held)
        if held:
            blamed, count, most = held[0], self._deaths, MOST_DEATHS
            if with_its_node:
                count, most = self._losses, MOST_LOSSES
            count[blamed] += 1
            if count[blamed] >= most:
                held.popleft()
                self._returned.extendleft(reversed(held))
                return blamed
        self._returned.extendleft(reversed(held))
        return None
