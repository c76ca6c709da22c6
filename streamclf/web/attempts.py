"""Pauses after wrong passwords, so that nobody can try them all."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

FREE = 5
"""Wrong passwords of one address before its first pause."""
FREE_OF_ALL = 20
"""Wrong passwords of all addresses together that may be tried at once."""
PAUSE_OF_ALL_S = 180.0
"""Time after which all of them have another try. No address alone uses up as many."""
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 900.0
"""Each further wrong password doubles the pause, up to this one."""
FORGET_S = 3600.0
"""Time after which a wrong password does not count any more."""
_MAX_ADDRESSES = 1000


@dataclass
class _Count:
    wrong: int = 0
    newest_s: float = 0.0
    until_s: float = 0.0


class Attempts:
    """Counts tries by address, and altogether.

    An address from which the right password came once waits for no other address: so nobody can
    keep the owner out by trying from many.

    Args:
        now: Clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counts: dict[str, _Count] = {}
        self._known: dict[str, None] = {}
        self._left_of_all = float(FREE_OF_ALL)
        self._left_at_s = now()

    def begin(self, address: str) -> float:
        """Count a try, which is taken for a wrong one until `forgive` is called.

        So many tries at once gain nothing.

        Returns:
            The pause in seconds that must pass first; 0.0 if the password may be looked at.
        """
        now, name = self._now(), _network(address)
        own = self._of(name)
        pause_s = max(own.until_s - now, 0.0 if name in self._known else self._pause_of_all())
        if pause_s > 0:
            return pause_s
        if name not in self._known:
            self._left_of_all -= 1
        own.wrong += 1
        own.newest_s = now
        if own.wrong >= FREE:
            doubled = FIRST_PAUSE_S * 2.0 ** min(own.wrong - FREE, 10)
            own.until_s = now + min(doubled, LONGEST_PAUSE_S)
        return 0.0

    def forgive(self, address: str) -> None:
        """Forget the tries of an address, whose password was right."""
        name = _network(address)
        own = self._counts.pop(name, _Count())
        if name not in self._known:
            self._left_of_all = min(self._left_of_all + own.wrong, FREE_OF_ALL)
        self._known.pop(name, None)  # the newest ones are at the end
        self._known[name] = None
        if len(self._known) > _MAX_ADDRESSES:
            del self._known[next(iter(self._known))]

    def _pause_of_all(self) -> float:
        now = self._now()
        more = (now - self._left_at_s) / PAUSE_OF_ALL_S
        self._left_of_all, self._left_at_s = min(self._left_of_all + more, FREE_OF_ALL), now
        missing = 1 - self._left_of_all
        # What rounding leaves is no pause.
        return missing * PAUSE_OF_ALL_S if missing > 1e-6 else 0.0

    def _of(self, name: str) -> _Count:
        now = self._now()
        count = self._counts.get(name)
        if count is not None and now - count.newest_s > FORGET_S:
            count = None
        if count is None:
            if len(self._counts) >= _MAX_ADDRESSES:
                oldest = min(self._counts, key=lambda each: self._counts[each].newest_s)
                del self._counts[oldest]
            count = self._counts[name] = _Count(newest_s=now)
        return count


def _network(address: str) -> str:
    """The address, or the part of it that a household shares in IPv6."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((known, 64), strict=False))
    return str(known)
