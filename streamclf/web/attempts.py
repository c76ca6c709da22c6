"""Pauses after wrong passwords, so that nobody can try them all."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

FREE = 5
"""Wrong passwords of one address before its first pause."""
FREE_OF_ALL = 20
"""Wrong passwords of all addresses together before the first pause of all."""
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 900.0
"""Each further wrong password doubles the pause, up to this one."""
FORGET_S = 3600.0
"""Time after which a wrong password does not count any more."""
_MAX_ADDRESSES = 1000
_ALL = "all"


@dataclass
class _Count:
    wrong: int = 0
    newest_s: float = 0.0
    until_s: float = 0.0


class Attempts:
    """Counts tries by address, and altogether.

    Args:
        now: Clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counts: dict[str, _Count] = {}

    def begin(self, address: str) -> float:
        """Count a try, which is taken for a wrong one until `forgive` is called.

        So many tries at once gain nothing.

        Returns:
            The pause in seconds that must pass first; 0.0 if the password may be looked at.
        """
        now = self._now()
        names = (_network(address), _ALL)
        pause_s = max(self._of(name).until_s - now for name in names)
        if pause_s > 0:
            return pause_s
        for name, free in zip(names, (FREE, FREE_OF_ALL), strict=True):
            count = self._of(name)
            count.wrong += 1
            count.newest_s = now
            if count.wrong >= free:
                doubled = FIRST_PAUSE_S * 2.0 ** min(count.wrong - free, 10)
                count.until_s = now + min(doubled, LONGEST_PAUSE_S)
        return 0.0

    def forgive(self, address: str) -> None:
        """Forget the tries of an address, whose password was right."""
        own = self._counts.pop(_network(address), _Count())
        whole = self._of(_ALL)
        whole.wrong = max(whole.wrong - own.wrong, 0)
        if whole.wrong < FREE_OF_ALL:
            whole.until_s = 0.0

    def _of(self, name: str) -> _Count:
        now = self._now()
        count = self._counts.get(name)
        if count is not None and now - count.newest_s > FORGET_S:
            count = None
        if count is None:
            if len(self._counts) >= _MAX_ADDRESSES:
                others = [each for each in self._counts if each != _ALL]
                oldest = min(others, key=lambda each: self._counts[each].newest_s)
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
