"""JSON that every reader takes: browsers refuse a whole answer that holds NaN."""

from __future__ import annotations

import json
import math
from typing import Any


def write_json(value: Any, *, ascii_only: bool = True) -> str:
    """Write a value as JSON in one line; a number that is none (NaN, infinity) is null."""
    try:
        return _write(value, ascii_only=ascii_only)
    except ValueError:
        return _write(_without_nan(value), ascii_only=ascii_only)


def _write(value: Any, *, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"), allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return value
