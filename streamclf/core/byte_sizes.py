"""Sizes as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([kMG]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}


def read_size(text: str) -> int | None:
    """Bytes of ``10MB``, ``500 kB``, ``1G`` (thousands, millions, ...); None if it is no size."""
    found = _SIZE.fullmatch(text.strip())
    return round(float(found[1]) * _UNITS[found[2].lower()]) if found else None
